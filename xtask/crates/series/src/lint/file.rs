//! Checks the bytes of a patch file, before anything parses them.

use std::fs;
use std::io;
use std::path::Path;

use crate::diff::bad_path;
use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use crate::load::LARGEST;

/// Reads the file, or returns the reason why it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, Remark> {
    let wrong = |text: String, help: &str| Remark::error(Check::File, At::Patch, text, help);
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let of = |error: io::Error| {
        if missing(&error) {
            let help = "write the file, or remove the patch from the list";
            return Remark::error(
                Check::Listing,
                At::Manifest(vec!["file"]),
                "listed but missing",
                help,
            );
        }
        wrong(
            format!("cannot be read: {error}"),
            "check the permissions of the file",
        )
    };
    let file = fs::symlink_metadata(path).map_err(of)?;
    if !file.is_file() {
        return Err(wrong(
            "is not a regular file".into(),
            "a patch file must have the format of `git format-patch`",
        ));
    }
    if file.len() > LARGEST {
        return Err(wrong(
            format!(
                "is larger than {} MB ({} bytes); it was not read",
                LARGEST >> 20,
                file.len()
            ),
            "no one reviews a patch of this size: remove generated and binary files, and split the rest",
        ));
    }
    fs::read(path).map_err(of)
}

/// Returns the bytes as text, or all remarks about them.
pub fn text(bytes: &[u8]) -> Result<&str, Vec<Remark>> {
    let wrong = |at: At, text: &str, help: &str| Remark::error(Check::File, at, text, help);
    if bytes.trim_ascii().is_empty() {
        let help = "write the patch, or remove it from the list";
        return Err(vec![wrong(At::Patch, "the file is empty", help)]);
    }
    let mut found = Vec::new();
    if let Err(error) = std::str::from_utf8(bytes) {
        found.push(wrong(
            At::Byte(error.valid_up_to()),
            "the file is not UTF-8",
            "write the message in UTF-8; a file of the tree in another encoding cannot be sent by \
             mail",
        ));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let help = "a patch is text: write it again with `git format-patch`";
        found.push(wrong(At::Byte(at), "the file has a NUL byte", help));
    }
    if let Some(at) = crlf(bytes) {
        let help = "an editor or a mail program changed the line ends: convert the file (`tr -d '\\r'`), or \
            write it again with `git format-patch`";
        found.push(wrong(At::Line(at), "lines end in CR LF", help));
    }
    if !bytes.ends_with(b"\n") {
        let help = "the file is truncated, or an editor removed the last newline: write it again with `git \
            format-patch`";
        let at = At::Byte(bytes.len());
        found.push(wrong(at, "the last line has no newline", help));
    }
    if let Some(what) = bad_path(bytes) {
        let help = "a patch names files by their paths from the top of the tree, as git does";
        found.push(wrong(At::Patch, &what, help));
    }
    match (std::str::from_utf8(bytes), found.is_empty()) {
        (Ok(text), true) => Ok(text),
        _ => Err(found),
    }
}

/// Returns the first line outside of hunks that ends in CR LF. Lines of a hunk
/// may, as files of the tree do.
fn crlf(bytes: &[u8]) -> Option<usize> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let outside = |line: &[u8]| !matches!(line.first(), Some(b' ' | b'+' | b'-' | b'\\'));
    lines
        .enumerate()
        .find(|(_, line)| line.ends_with(b"\r") && outside(line))
        .map(|(n, _)| n)
}

/// Finds the first line of a second mail of `git format-patch`.
pub fn more_mails(text: &str) -> Option<Remark> {
    let is_start = |line: &str| {
        let hash = line.strip_prefix("From ").and_then(|rest| rest.get(..40));
        let is_hash = hash.is_some_and(|hash| hash.chars().all(|c| c.is_ascii_hexdigit()));
        is_hash && line.ends_with(" Mon Sep 17 00:00:00 2001")
    };
    let mut starts = text.lines().enumerate().filter(|(_, line)| is_start(line));
    let (_, (second, _)) = (starts.next()?, starts.next()?);
    Some(Remark::error(
        Check::File,
        At::Line(second),
        "the file contains more than one patch",
        "put each patch in a file of its own, and list it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    #[test]
    fn files_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.patch");
        assert_eq!(read(&path).unwrap_err().text, "listed but missing");
        assert_eq!(read(dir.path()).unwrap_err().text, "is not a regular file");
        let file = fs::File::create(&path).unwrap();
        file.set_len(LARGEST).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, LARGEST);
        file.set_len(LARGEST + 1).unwrap();
        let wrong = read(&path).unwrap_err();
        assert_eq!(
            wrong.text,
            "is larger than 10 MB (10485761 bytes); it was not read"
        );
    }

    #[test]
    fn bytes_that_are_no_patch() {
        let table: [(&[u8], &[&str], Option<At>); 9] = [
            (b"From a\n\n+x\r\n", &[], None),
            (b"", &["the file is empty"], Some(At::Patch)),
            (b" \n\n", &["the file is empty"], Some(At::Patch)),
            (
                b"From a\n\xe9\n",
                &["the file is not UTF-8"],
                Some(At::Byte(7)),
            ),
            (
                b"From a\n\0\n",
                &["the file has a NUL byte"],
                Some(At::Byte(7)),
            ),
            (
                b"From a\r\nb\r\n",
                &["lines end in CR LF"],
                Some(At::Line(0)),
            ),
            (
                b"a\n@@ -1 +1 @@\r\n",
                &["lines end in CR LF"],
                Some(At::Line(1)),
            ),
            (
                b"a\nb",
                &["the last line has no newline"],
                Some(At::Byte(3)),
            ),
            (
                b"a\r\n\xff",
                &[
                    "the file is not UTF-8",
                    "lines end in CR LF",
                    "the last line has no newline",
                ],
                Some(At::Byte(3)),
            ),
        ];
        for (bytes, want, at) in table {
            let found = text(bytes).err().unwrap_or_default();
            assert_eq!(texts(&found), want, "{}", bytes.escape_ascii());
            assert_eq!(found.first().map(|remark| remark.at.clone()), at);
        }
    }

    #[test]
    fn two_mails_in_a_file() {
        let start = format!("From {:040} Mon Sep 17 00:00:00 2001\n", 0);
        assert_eq!(more_mails(&format!("{start}a\n")), None);
        assert_eq!(more_mails("From here to there\nFrom me\n"), None);
        let found = more_mails(&format!("{start}a\n{start}b\n")).unwrap();
        assert_eq!(found.at, At::Line(2));
    }
}

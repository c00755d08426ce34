//! Parses the diffs of git, as far as their preimages need it.

use crate::base::repo;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// One file of a diff.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileDiff {
    /// The old path; `None` for a new file.
    pub old: Option<String>,
    /// The new path; `None` for a removed file.
    pub new: Option<String>,
    /// The old blob id from the `index` line, which may be abbreviated.
    pub blob: Option<String>,
    /// The old mode.
    pub mode: Option<String>,
    /// The hunks of the file.
    pub hunks: Vec<Hunk>,
}

/// A hunk, with its old side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hunk {
    /// The first old line, from 1; 0 in an empty file.
    pub start: usize,
    /// The old lines, with their line ends.
    pub lines: Vec<Vec<u8>>,
    /// Whether the last line that was parsed is one of them.
    open: bool,
}

/// Returns the files of `diff`.
pub fn parse(diff: &[u8]) -> Vec<FileDiff> {
    let mut files: Vec<FileDiff> = Vec::new();
    // The lines of the hunk that are still to come, old and new.
    let mut left = (0_usize, 0_usize);
    let mut lines = diff.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if let Some(file) = files.last_mut()
            && body(file, &mut left, line)
        {
            continue;
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.starts_with("diff --git ") {
            files.push(FileDiff::default());
        } else if let Some(path) = text.strip_prefix("--- ")
            && lines.peek().is_some_and(|next| next.starts_with(b"+++ "))
        {
            // A plain diff has no `diff --git` line.
            if files.last().is_none_or(|file| !file.hunks.is_empty()) {
                files.push(FileDiff::default());
            }
            set(&mut files, |file| file.old = path_of(path));
        } else if let Some(path) = text.strip_prefix("+++ ") {
            set(&mut files, |file| file.new = path_of(path));
        } else if let Some(ids) = text.strip_prefix("index ") {
            let (ids, mode) = ids.split_once(' ').unwrap_or((ids, ""));
            let old = ids.split("..").next().unwrap_or_default();
            set(&mut files, |file| {
                let known = old.chars().any(|c| c != '0');
                file.blob = known.then(|| old.to_owned());
                if !mode.is_empty() {
                    file.mode = Some(mode.to_owned());
                }
            });
        } else if let Some(mode) = text
            .strip_prefix("old mode ")
            .or_else(|| text.strip_prefix("deleted file mode "))
        {
            set(&mut files, |file| file.mode = Some(mode.to_owned()));
        } else if let Some((start, old, new)) = header(text) {
            left = (old, new);
            set(&mut files, |file| {
                file.hunks.push(Hunk {
                    start,
                    ..Hunk::default()
                });
            });
        }
    }
    files.retain(|file| file.old.is_some() || file.new.is_some());
    files
}

/// The longest path that a diff may have, in bytes.
const LONGEST_PATH: usize = 1024;

/// Returns what is wrong with the first path of `diff` that no file of a tree
/// can have, if there is one.
pub fn bad_path(diff: &[u8]) -> Option<String> {
    let renamed = diff.split(|byte| *byte == b'\n').filter_map(|line| {
        let text = std::str::from_utf8(line).ok()?;
        ["rename from ", "rename to ", "copy from ", "copy to "]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .map(unquoted)
    });
    parse(diff)
        .into_iter()
        .flat_map(|file| [file.old, file.new])
        .flatten()
        .chain(renamed)
        .find_map(|path| {
            let what = wrong_with(&path)?;
            let shown: String = path.chars().take(80).collect();
            let more = if shown.len() < path.len() { ".." } else { "" };
            Some(format!("its path `{}{more}` {what}", shown.escape_debug()))
        })
}

/// Returns why no file of a tree can have this path.
fn wrong_with(path: &str) -> Option<&'static str> {
    let parts = path.split('/');
    match path {
        "" => Some("is empty"),
        path if path.len() > LONGEST_PATH => Some("is longer than 1024 bytes"),
        path if path.contains(char::is_control) => Some("has a control character"),
        path if path.starts_with(':') => Some("is a pattern of git"),
        path if path.starts_with('/') => Some("is absolute"),
        _ if parts.clone().any(|part| part == "..") => Some("leaves the tree"),
        _ if parts.clone().any(|part| part.eq_ignore_ascii_case(".git")) => {
            Some("is in a repository")
        }
        _ if parts.clone().any(|part| matches!(part, "" | ".")) => Some("is not the shortest one"),
        _ => None,
    }
}

fn set(files: &mut [FileDiff], change: impl FnOnce(&mut FileDiff)) {
    if let Some(file) = files.last_mut() {
        change(file);
    }
}

/// Parses a line of a hunk. Returns false if it is no such line.
fn body(file: &mut FileDiff, left: &mut (usize, usize), line: &[u8]) -> bool {
    let Some(hunk) = file.hunks.last_mut() else {
        return false;
    };
    if line.starts_with(b"\\") {
        // "\ No newline at end of file" is about the line before it.
        if hunk.open
            && let Some(last) = hunk.lines.last_mut()
        {
            last.truncate(last.len().saturating_sub(1));
        }
        return true;
    }
    if *left == (0, 0) {
        return false;
    }
    let (first, rest) = line.split_first().unwrap_or((&b' ', b"\n"));
    // An empty context line may have lost its space.
    let rest = if *first == b'\n' { line } else { rest };
    hunk.open = matches!(first, b' ' | b'-' | b'\n');
    if hunk.open {
        left.0 = left.0.saturating_sub(1);
        hunk.lines.push(rest.to_vec());
    }
    if matches!(first, b' ' | b'+' | b'\n') {
        left.1 = left.1.saturating_sub(1);
    }
    true
}

/// Parses `@@ -START,OLD +START,NEW @@`. Returns the old start and the number
/// of lines of each side.
fn header(text: &str) -> Option<(usize, usize, usize)> {
    let mut words = text.strip_prefix("@@ ")?.split(' ');
    let mut range = |sign: char| {
        let word = words.next()?.strip_prefix(sign)?;
        let (start, count) = word.split_once(',').unwrap_or((word, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let ((start, old), (_, new)) = (range('-')?, range('+')?);
    Some((start, old, new))
}

/// Returns the path of a `---` or `+++` line, without its first folder.
fn path_of(text: &str) -> Option<String> {
    let text = text.split('\t').next().unwrap_or(text).trim_end();
    if text == "/dev/null" {
        return None;
    }
    let text = unquoted(text);
    Some(match text.split_once('/') {
        Some((_, path)) => path.to_owned(),
        None => text,
    })
}

/// Unquotes a name as git quotes it: `"a/\303\251.c"`.
fn unquoted(text: &str) -> String {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return text.to_owned();
    };
    let mut bytes = Vec::new();
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(digit @ b'0'..=b'3') => {
                let mut value = digit - b'0';
                for _ in 0..2 {
                    if let Some(digit @ b'0'..=b'7') = rest.next() {
                        value = (value << 3) | (digit - b'0');
                    }
                }
                bytes.push(value);
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns a content that the hunks apply to: `like`, with the hunks' old lines
/// at their line numbers. It stands for a preimage that no repository has;
/// where it differs from the real file, the merge shows a conflict.
pub fn made_for(like: &[u8], hunks: &[Hunk]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = like.split_inclusive(|byte| *byte == b'\n').collect();
    for hunk in hunks {
        let start = hunk.start.saturating_sub(1);
        while lines.len() < start {
            lines.push(b"\n");
        }
        let end = (start + hunk.lines.len()).min(lines.len());
        // A hunk with only added lines has no old lines.
        let place = match hunk.lines.is_empty() {
            true => continue,
            false => start..end,
        };
        lines.splice(place, hunk.lines.iter().map(Vec::as_slice));
    }
    lines.concat()
}

/// The size of a diff in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The number of lines added and removed; `None` for a binary file.
    pub lines: Option<u64>,
    /// The path in the tree.
    pub path: String,
}

/// Parses `git apply --numstat -z`: `ADDED<tab>REMOVED<tab>PATH`, with `-` for
/// the counts of a binary file.
pub fn numstat(list: &[u8]) -> Vec<Stat> {
    let stat = |entry: &String| {
        let mut parts = entry.splitn(3, '\t');
        let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        Some(Stat {
            lines: (added != "-").then(|| number(added) + number(removed)),
            path: path.to_owned(),
        })
    };
    repo::names(list).iter().filter_map(stat).collect()
}

/// Returns the full id of the blob `id`. Copies it from `alternate` if only
/// that one has it.
pub fn blob(git: &Git, alternate: Option<&Git>, id: &str) -> Result<Option<String>, Failure> {
    const TRIED: &str = "find the preimage of a patch";
    let name = format!("{id}^{{blob}}");
    let args = ["rev-parse", "--verify", "--quiet", &name];
    let ran = git.run(TRIED, &args)?;
    if ran.ok && git.run(TRIED, &["cat-file", "-e", &ran.text()])?.ok {
        return Ok(Some(ran.text()));
    }
    let Some(alternate) = alternate else {
        return Ok(None);
    };
    let ran = alternate.run(TRIED, &["cat-file", "blob", &name])?;
    if !ran.ok {
        return Ok(None);
    }
    let args = ["hash-object", "-w", "--stdin"];
    Ok(Some(git.must(TRIED, &args, &ran.stdout)?.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_diff_was_made_for() {
        let diff = "\
A mail.
--- a line of it
diff --git a/x.c b/x.c
index 1111..2222 100644
--- a/x.c
+++ b/x.c
@@ -3,3 +3,3 @@ f(void)
 a
--- b
+++ c
\n\
@@ -9 +9 @@
-d
+e
\\ No newline at end of file
diff --git \"a/\\303\\251.c\" \"b/\\303\\251.c\"
new file mode 100644
index 0000..3333
--- /dev/null
+++ \"b/\\303\\251.c\"
@@ -0,0 +1 @@
+x
diff --git a/gone b/gone
deleted file mode 100755
index 4444..0000
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
\\ No newline at end of file
";
        let files = parse(diff.as_bytes());
        let heads: Vec<_> = files
            .iter()
            .map(|file| {
                let text = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".into());
                [&file.old, &file.new, &file.blob, &file.mode]
                    .map(text)
                    .join(" ")
            })
            .collect();
        assert_eq!(
            heads,
            ["x.c x.c 1111 100644", "- é.c - -", "gone - 4444 100755"]
        );
        let hunks = |n: usize| -> Vec<_> {
            let hunks = files[n].hunks.iter();
            let text = |hunk: &Hunk| String::from_utf8(hunk.lines.concat()).unwrap();
            hunks.map(|hunk| (hunk.start, text(hunk))).collect()
        };
        let hunk = |start: usize, text: &str| (start, text.to_owned());
        assert_eq!(hunks(0), [hunk(3, "a\n-- b\n\n"), hunk(9, "d\n")]);
        assert_eq!(hunks(2), [hunk(1, "x")]);
        let plain =
            "--- a/x\t2026\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n";
        let paths: Vec<_> = parse(plain.as_bytes()).into_iter().map(|f| f.old).collect();
        assert_eq!(paths, [Some("x".to_owned()), Some("y".to_owned())]);
        for none in ["", "\n", "diff --git", "@@ -1 +1 @@\n-a\n", "index 1..2\n"] {
            assert_eq!(parse(none.as_bytes()), [], "{none:?}");
        }
    }

    #[test]
    fn paths_that_no_file_can_have() {
        let diff = |path: &str| format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n");
        for (path, want) in [
            ("sys/kern/a.c", None),
            ("sys/..a/b.c", None),
            ("", Some("is empty")),
            ("../../x", Some("leaves the tree")),
            ("sys/../../x", Some("leaves the tree")),
            ("/etc/passwd", Some("is absolute")),
            (":(glob)**", Some("is a pattern of git")),
            (".git/config", Some("is in a repository")),
            ("sys//a.c", Some("is not the shortest one")),
            (&"x/".repeat(600), Some("is longer than 1024 bytes")),
        ] {
            let found = bad_path(diff(path).as_bytes());
            match want {
                None => assert_eq!(found, None, "{path}"),
                Some(want) => assert!(found.unwrap().ends_with(want), "{path}"),
            }
        }
        let renamed = "diff --git a/x b/x\nrename from x\nrename to ../x\n";
        let want = "its path `../x` leaves the tree";
        assert_eq!(bad_path(renamed.as_bytes()).as_deref(), Some(want));
    }

    #[test]
    fn lines_are_put_where_hunks_say() {
        let hunk = |start, lines: &[&str]| Hunk {
            start,
            lines: lines.iter().map(|line| line.as_bytes().to_vec()).collect(),
            open: false,
        };
        for (like, hunks, want) in [
            ("1\n2\n3\n", vec![hunk(2, &["b\n"])], "1\nb\n3\n"),
            ("1\n", vec![hunk(3, &["c\n", "d\n"])], "1\n\nc\nd\n"),
            ("1\n2\n", vec![hunk(1, &["a\n"]), hunk(2, &["b"])], "a\nb"),
            ("1\n2\n", vec![hunk(1, &[])], "1\n2\n"),
            ("", vec![hunk(0, &[])], ""),
        ] {
            let made = made_for(like.as_bytes(), &hunks);
            assert_eq!(String::from_utf8(made).unwrap(), want, "{like:?}");
        }
    }
}

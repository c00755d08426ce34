//! The files that a patch changes, as git parses it.

use crate::diff::{Stat, numstat};
use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use kdk_core::failure::Failure;
use kdk_core::git::{Git, Ran};

const TRIED: &str = "parse a patch";

/// A file that a patch changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// The path in the tree; of a deleted file the old one.
    pub path: String,
    /// The number of lines added and removed; 0 for a binary file.
    pub lines: u64,
}

/// Returns the files that the patch `text` changes, and remarks: why git cannot
/// parse it, and what a series cannot contain.
pub fn of(text: &[u8]) -> Result<(Vec<Touched>, Vec<Remark>), Failure> {
    let git = Git::nowhere();
    let ran = git.run_with(TRIED, &["apply", "--numstat", "-z", "-"], text)?;
    if !ran.ok {
        return Ok((Vec::new(), vec![corrupt(&ran)]));
    }
    let (touched, mut found) = changed(numstat(&ran.stdout));
    let ran = git.run_with(TRIED, &["apply", "--summary", "-"], text)?;
    found.extend(summary(&String::from_utf8_lossy(&ran.stdout)));
    Ok((touched, found))
}

/// Returns git's error about a patch that it cannot parse, with the line.
fn corrupt(ran: &Ran) -> Remark {
    let said = ran.summary();
    let help =
        "write the patch again: `cargo xtask patches edit`, or `git format-patch` in a clone";
    if said.starts_with("No valid patches") {
        return Remark::error(Check::File, At::Patch, "it changes nothing", help);
    }
    let at = match line(&said) {
        Some(line) => At::Line(line.saturating_sub(1)),
        None => At::Patch,
    };
    Remark::error(Check::File, at, format!("git says: {said}"), help)
}

/// Returns the line in an error of git: "corrupt patch at line 7", "at
/// <stdin>:7", "(line 7)".
fn line(said: &str) -> Option<usize> {
    let named = said.split_once("line ").map(|(_, rest)| rest);
    let rest = named.or_else(|| said.split_once("<stdin>:").map(|(_, rest)| rest))?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// Returns the files of a diff, and remarks about those that a series cannot
/// contain.
fn changed(stats: Vec<Stat>) -> (Vec<Touched>, Vec<Remark>) {
    let (mut touched, mut found) = (Vec::new(), Vec::new());
    for Stat { lines, path } in stats {
        if lines.is_none() {
            let text = format!("changes the binary file {path}");
            let help = "reviewers cannot read it, and mail cannot carry it: remove it, or generate the file \
                at build time";
            found.push(Remark::error(Check::File, At::Patch, text, help));
        }
        if path.split('/').any(|part| part == ".." || part.is_empty()) {
            let text = format!("'{path}' is not a path in the tree");
            let help = "paths start at the top of the tree: a/sys/kern/kern_exec.c";
            found.push(Remark::error(Check::File, At::Patch, text, help));
        }
        let lines = lines.unwrap_or(0);
        touched.push(Touched { path, lines });
    }
    (touched, found)
}

/// Parses `git apply --summary`.
fn summary(text: &str) -> Vec<Remark> {
    text.lines()
        .filter_map(|line| summed(line.trim()))
        .collect()
}

fn summed(line: &str) -> Option<Remark> {
    let say = |text: String, help: &str| Some(Remark::error(Check::File, At::Patch, text, help));
    let (what, rest) = line.split_once(' ')?;
    match what {
        "rename" | "copy" => say(
            format!("contains a {what}: {rest}"),
            "a series has none, so that each file merges by itself: run `cargo xtask patches refresh`, \
                which writes the files in full",
        ),
        "mode" => say(
            format!(
                "changes a file's mode: {}",
                rest.trim_start_matches("change ")
            ),
            "reviews do not show it: remove it, and ask the committer for it",
        ),
        "create" => {
            let (mode, path) = rest.strip_prefix("mode ")?.split_once(' ')?;
            match mode {
                "100644" | "100755" => None,
                _ => say(
                    format!("creates {path} with mode {mode}, which is not a regular file"),
                    "remove symbolic links and submodules",
                ),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    const HEAD: &str = "Mail.\n---\n";
    const GOOD: &str = "diff --git a/sys/a.c b/sys/a.c\n--- a/sys/a.c\n+++ b/sys/a.c\n@@ -1,2 +1,3 @@\n one\n-two\n+2\n+3\n";

    #[test]
    fn git_lists_the_changed_files() {
        let (touched, found) = of(format!("{HEAD}{GOOD}").as_bytes()).unwrap();
        let want = Touched {
            path: "sys/a.c".into(),
            lines: 3,
        };
        assert_eq!((touched, found), (vec![want], vec![]));
    }

    #[test]
    fn what_git_cannot_parse_is_reported_with_its_line() {
        let cut = GOOD.trim_end_matches("+3\n");
        let fragment = format!("{GOOD}more\n@@ -9 +9 @@\n-a\n+b\n");
        for (text, line, want) in [
            (cut, Some(9), "git says: corrupt patch at "),
            (
                &fragment,
                Some(11),
                "git says: patch fragment without header at line 12",
            ),
            ("", None, "it changes nothing"),
            ("--- a/x\n+++ b/x\n", None, "it changes nothing"),
        ] {
            let (touched, found) = of(format!("{HEAD}{text}").as_bytes()).unwrap();
            assert!(touched.is_empty());
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].text.starts_with(want), "{}", found[0].text);
            assert_eq!(found[0].at, line.map_or(At::Patch, At::Line), "{text}");
        }
    }

    #[test]
    fn lines_that_git_names() {
        for (said, want) in [
            ("corrupt patch at line 7", Some(7)),
            ("corrupt patch at <stdin>:7", Some(7)),
            ("lacks filename information (line 2)", Some(2)),
            (
                "patch fragment without header at line 7: @@ -3 +3 @@",
                Some(7),
            ),
            ("cannot apply", None),
            ("line x", None),
        ] {
            assert_eq!(line(said), want, "{said}");
        }
    }

    #[test]
    fn what_a_series_cannot_hold() {
        let id = "1".repeat(40);
        for (text, want) in [
            (
                "diff --git a/a.c b/b.c\nsimilarity index 100%\nrename from a.c\nrename to b.c\n"
                    .into(),
                "contains a rename: a.c => b.c (100%)",
            ),
            (
                "diff --git a/a.c b/b.c\nsimilarity index 100%\ncopy from a.c\ncopy to b.c\n"
                    .into(),
                "contains a copy: a.c => b.c (100%)",
            ),
            (
                "diff --git a/a.c b/a.c\nold mode 100644\nnew mode 100755\n".into(),
                "changes a file's mode: 100644 => 100755 a.c",
            ),
            (
                format!(
                    "diff --git a/a b/a\nnew file mode 120000\nindex {:040}..{id}\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+b\n",
                    0
                ),
                "creates a with mode 120000, which is not a regular file",
            ),
            (
                format!(
                    "diff --git a/a b/a\nindex {:040}..{id} 100644\nBinary files a/a and b/a differ\n",
                    0
                ),
                "changes the binary file a",
            ),
            (
                format!(
                    "diff --git a/a b/a\nnew file mode 100644\nindex {:040}..{id}\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 0\nHcmV?d00001\n\n",
                    0
                ),
                "changes the binary file a",
            ),
            (
                "--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n".into(),
                "'../x' is not a path in the tree",
            ),
        ] {
            let text: String = text;
            let (_, found) = of(text.as_bytes()).unwrap();
            assert_eq!(texts(&found), [want], "{text}");
        }
    }
}

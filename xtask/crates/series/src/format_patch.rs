//! The canonical form of a patch file: the output of `git format-patch` for its
//! commit. The `index` lines have full blob ids, which three-way merges need.
//! Nothing in the file depends on when or where it is written.

use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// The options of `git format-patch` that make its output reproducible.
pub const OPTIONS: [&str; 6] = [
    "--full-index",
    "--zero-commit",
    "--no-signature",
    "--no-stat",
    "--no-renames",
    "-N",
];

/// Returns the patch file of `commit`.
pub fn format_patch(git: &Git, commit: &str) -> Result<Vec<u8>, Failure> {
    let mut args = vec!["format-patch", "--stdout", "-1"];
    args.extend(OPTIONS);
    args.push(commit);
    Ok(git.must("write the patch of a commit", &args, b"")?.stdout)
}

/// Returns the `git patch-id` of a diff, which does not depend on line numbers.
pub fn patch_id(diff: &[u8]) -> Result<String, Failure> {
    let first = patch_ids(diff)?.into_iter().next();
    Ok(first.map(|(id, _)| id).unwrap_or_default())
}

/// Returns the patch id of each diff in `text`, with the commit named above it,
/// or zeros.
pub fn patch_ids(text: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let args = ["patch-id", "--stable"];
    let list = Git::nowhere().must("compute a patch id", &args, text)?;
    let pair = |line: &str| {
        let (id, commit) = line.split_once(' ')?;
        Some((id.to_owned(), commit.to_owned()))
    };
    Ok(list.text().lines().filter_map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::apply::{Change, chain};
    use crate::base::fixtures::kdk_repo;

    #[test]
    fn a_patch_file_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kdk_repo(dir.path());
        let diff =
            "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";
        let id = "a".to_owned();
        let plain = Change {
            id: id.clone(),
            diff: diff.into(),
        };
        let first = chain(&git, &head, &[plain]).unwrap();
        let written = format_patch(&git, &first[0]).unwrap();
        let change = Change {
            id,
            diff: written.clone(),
        };
        let second = chain(&git, &head, &[change]).unwrap();
        let again = format_patch(&git, &second[0]).unwrap();
        assert_eq!(
            String::from_utf8(again).unwrap(),
            String::from_utf8(written).unwrap()
        );
    }
}

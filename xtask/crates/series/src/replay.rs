//! Patches taken to another commit one by one.

use crate::base::repo;
use crate::merge::{self, Merged};
use crate::note;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// What a patch has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A commit.
    Commit(String),
    /// Nothing: all of it is there already.
    Empty,
    /// Files with markers.
    Conflict(Merged),
}

/// Takes the patch `id`, which is the difference between two commits, to the
/// commit `tip`, with its author and message.
pub fn take(
    git: &Git,
    id: &str,
    (before, after): (&str, &str),
    tip: &str,
) -> Result<Taken, Failure> {
    // Most often nothing under it has changed.
    if before == tip {
        return Ok(Taken::Commit(after.to_owned()));
    }
    let merged = merge::merge(git, id, before, after, tip)?;
    if !merged.conflicts.is_empty() {
        return Ok(Taken::Conflict(merged));
    }
    if merged.tree == repo::tree_of(git, tip)? {
        return Ok(Taken::Empty);
    }
    let note = note::read(git, after)?;
    note::commit(git, &merged.tree, tip, &note).map(Taken::Commit)
}

/// The files that differ between two commits or trees.
pub fn touched(git: &Git, before: &str, after: &str) -> Result<Vec<String>, Failure> {
    let args = [
        "diff-tree",
        "-r",
        "-z",
        "--no-renames",
        "--name-only",
        before,
        after,
    ];
    let ran = git.must("list the files of a patch", &args, b"")?;
    Ok(repo::names(&ran.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::apply::{Change, chain};
    use crate::base::fixtures::kit_repo;

    #[test]
    fn a_patch_becomes_a_commit_nothing_or_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kit_repo(dir.path());
        let change = |from: &str, to: &str| {
            let diff = format!(
                "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,3 @@\n one\n-{from}\n+{to}\n three\n"
            );
            let id = "count".to_owned();
            [Change {
                id,
                diff: diff.into(),
            }]
        };
        let two = &chain(&git, &head, &change("two", "2")).unwrap()[0];
        let zwei = &chain(&git, &head, &change("two", "zwei")).unwrap()[0];
        let b = "--- a/sys/kern/b.c\n+++ b/sys/kern/b.c\n@@ -1 +1 @@\n-b\n+c\n";
        let b = Change {
            id: "b".into(),
            diff: b.into(),
        };
        let other = &chain(&git, &head, &[b]).unwrap()[0];
        let take = |tip: &str| take(&git, "count", (&head, two), tip).unwrap();
        assert_eq!(take(&head), Taken::Commit(two.clone()));
        assert_eq!(take(two), Taken::Empty);
        assert!(matches!(take(zwei), Taken::Conflict(_)));
        let Taken::Commit(taken) = take(other) else {
            panic!("it merges");
        };
        assert_eq!(touched(&git, other, &taken).unwrap(), ["sys/kern/a.c"]);
        let note = |commit: &str| note::read(&git, commit).unwrap();
        assert_eq!(note(&taken), note(two));
    }
}

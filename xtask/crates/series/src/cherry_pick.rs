//! Cherry-picks: one patch, applied to another commit by a three-way merge.

use crate::base::repo;
use crate::commit_meta;
use crate::merge::{self, Merged};
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// The result of a cherry-pick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickResult {
    /// The new commit.
    Commit(String),
    /// The patch is empty there: its change is already in the tree.
    Empty,
    /// The merge has conflicts.
    Conflict(Merged),
}

/// Applies the patch `id`, the difference between two commits, to the commit
/// `tip`, with its author and message.
pub fn cherry_pick(
    git: &Git,
    id: &str,
    (before, after): (&str, &str),
    tip: &str,
) -> Result<PickResult, Failure> {
    // Most often the parent has not changed.
    if before == tip {
        return Ok(PickResult::Commit(after.to_owned()));
    }
    let merged = merge::merge(git, id, before, after, tip)?;
    if !merged.conflicts.is_empty() {
        return Ok(PickResult::Conflict(merged));
    }
    if merged.tree == repo::tree_of(git, tip)? {
        return Ok(PickResult::Empty);
    }
    let meta = commit_meta::read(git, after)?;
    commit_meta::commit(git, &merged.tree, tip, &meta).map(PickResult::Commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::apply::{Change, chain};
    use crate::base::fixtures::kdk_repo;
    use crate::base::repo::changed_paths;

    #[test]
    fn a_patch_becomes_a_commit_nothing_or_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kdk_repo(dir.path());
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
        let pick = |tip: &str| cherry_pick(&git, "count", (&head, two), tip).unwrap();
        assert_eq!(pick(&head), PickResult::Commit(two.clone()));
        assert_eq!(pick(two), PickResult::Empty);
        assert!(matches!(pick(zwei), PickResult::Conflict(_)));
        let PickResult::Commit(taken) = pick(other) else {
            panic!("it merges");
        };
        assert_eq!(
            changed_paths(&git, other, &taken).unwrap(),
            ["sys/kern/a.c"]
        );
        let meta = |commit: &str| commit_meta::read(&git, commit).unwrap();
        assert_eq!(meta(&taken), meta(two));
    }
}

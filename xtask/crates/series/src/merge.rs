//! Three-way merges of a patch into another tree, without a checkout.

use crate::base::repo;
use kdk_core::failure::Failure;
use kdk_core::git::{self, Git};

const TRIED: &str = "merge a patch into another tree";

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The merged tree. Files with conflicts have markers.
    pub tree: String,
    /// The files with conflicts.
    pub conflicts: Vec<Conflict>,
}

/// A file with conflicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The path of the file.
    pub file: String,
    /// The conflicting hunks; none if one side removed the file.
    pub hunks: Vec<Hunk>,
}

/// A region that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// The line of the first marker, from 1.
    pub line: usize,
    /// The text from the first marker to the last.
    pub text: String,
}

/// Merges the change from the tree `from` to the tree `to` into `onto`. The
/// markers name the sides `kdk/base` and `kdk/patch/ID`.
pub fn merge(git: &Git, id: &str, from: &str, to: &str, onto: &str) -> Result<Merged, Failure> {
    // Synthetic commits make `from` the merge base; git before 2.40 has no
    // option for it.
    let commit = |name: &str, parents: &[&str]| {
        let tree = repo::tree_of(git, name)?;
        let mut args = vec!["commit-tree", &tree, "-m", "merge"];
        parents
            .iter()
            .for_each(|parent| args.extend(["-p", parent]));
        git.text(TRIED, &args)
    };
    let base = commit(from, &[])?;
    let (ours, theirs) = ("kdk/base", format!("kdk/patch/{id}"));
    for (name, side) in [(ours, onto), (&theirs, to)] {
        let commit = commit(side, &[&base])?;
        git.text(TRIED, &["update-ref", &format!("refs/{name}"), &commit])?;
    }
    let merged = merged(git, ours, &theirs);
    for name in [ours, &theirs] {
        git.text(TRIED, &["update-ref", "-d", &format!("refs/{name}")])?;
    }
    merged
}

fn merged(git: &Git, ours: &str, theirs: &str) -> Result<Merged, Failure> {
    let args = [
        "merge-tree",
        "--write-tree",
        "--name-only",
        "--no-messages",
        "-z",
        ours,
        theirs,
    ];
    let ran = git.run(TRIED, &args)?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let mut parts = text.split('\0').filter(|part| !part.is_empty());
    // git exits with 1 on conflicts, and prints a tree all the same.
    let Some(tree) = parts.next().filter(|_| ran.stderr.is_empty()) else {
        return Err(git::failed(TRIED, &ran));
    };
    let mut conflicts = Vec::new();
    for file in parts {
        let name = format!("{tree}:{file}");
        let shown = git.run(TRIED, &["cat-file", "blob", &name])?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        conflicts.push(Conflict {
            file: file.to_owned(),
            hunks: hunks(&text),
        });
    }
    let tree = tree.to_owned();
    Ok(Merged { tree, conflicts })
}

/// Returns the regions between conflict markers.
pub fn hunks(text: &str) -> Vec<Hunk> {
    let mut found = Vec::new();
    let mut open: Option<Hunk> = None;
    for (n, line) in text.lines().enumerate() {
        if line.starts_with("<<<<<<< ") {
            open = Some(Hunk {
                line: n + 1,
                text: String::new(),
            });
        }
        if let Some(hunk) = &mut open {
            hunk.text.push_str(line);
            hunk.text.push('\n');
        }
        if line.starts_with(">>>>>>> ") {
            found.extend(open.take());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::apply::{Change, commit};
    use crate::base::fixtures::kdk_repo;

    fn change(from: &str, to: &str) -> Change {
        let diff = format!(
            "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,3 @@\n one\n-{from}\n+{to}\n three\n"
        );
        Change {
            id: "count".into(),
            diff: diff.into(),
        }
    }

    #[test]
    fn a_change_is_merged_or_its_conflict_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kdk_repo(dir.path());
        let changed = commit(&git, &head, &[change("two", "2")]).unwrap();
        let merged = merge(&git, "count", &head, &changed, &head).unwrap();
        let tree = |name: &str| {
            git.text("x", &["rev-parse", &format!("{name}^{{tree}}")])
                .unwrap()
        };
        assert_eq!((merged.tree, merged.conflicts.len()), (tree(&changed), 0));
        // A change that is in the tree already is empty.
        let again = merge(&git, "count", &head, &changed, &changed).unwrap();
        assert_eq!((again.tree, again.conflicts.len()), (tree(&changed), 0));
        let other = commit(&git, &head, &[change("two", "zwei")]).unwrap();
        let conflict = merge(&git, "count", &head, &changed, &other)
            .unwrap()
            .conflicts;
        assert_eq!(conflict.len(), 1);
        assert_eq!(conflict[0].file, "sys/kern/a.c");
        assert_eq!(
            conflict[0].hunks,
            [Hunk {
                line: 2,
                text: "<<<<<<< kdk/base\nzwei\n=======\n2\n>>>>>>> kdk/patch/count\n".into()
            }]
        );
        let refs = git
            .text(
                "x",
                &["for-each-ref", "refs/kdk/base", "refs/kdk/patch/count"],
            )
            .unwrap();
        assert_eq!(refs, "");
    }

    #[test]
    fn a_file_that_is_gone_is_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kdk_repo(dir.path());
        let changed = commit(&git, &head, &[change("two", "2")]).unwrap();
        let gone = "diff --git a/sys/kern/a.c b/sys/kern/a.c\ndeleted file mode 100644\n--- a/sys/kern/a.c\n\
                    +++ /dev/null\n@@ -1,3 +0,0 @@\n-one\n-two\n-three\n";
        let change = Change {
            id: "gone".into(),
            diff: gone.into(),
        };
        let gone = commit(&git, &head, &[change]).unwrap();
        let merged = merge(&git, "count", &head, &changed, &gone).unwrap();
        assert_eq!(merged.conflicts.len(), 1);
        assert!(merged.conflicts[0].hunks.is_empty());
    }
}

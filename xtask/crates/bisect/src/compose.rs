//! Commits a tree that differs from a commit's in some files, without a
//! checkout and without an index of all files.

use std::collections::BTreeMap;

use crate::changes::{Entries, Entry};
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_series::base::repo;

const TRIED: &str = "commit the patched tree";

/// Commits the tree of `commit` with the files in `entries`, on top of it.
/// Returns `commit` itself if they change nothing. The id depends on the content
/// only. `git` is kdk's repository.
///
/// # Errors
/// git fails.
pub fn commit(
    git: &Git,
    commit: &str,
    entries: &Entries,
    message: &str,
) -> Result<String, Failure> {
    let before = repo::tree_of(git, commit)?;
    let changes: Vec<(&str, &Entry)> = entries
        .iter()
        .map(|(path, entry)| (path.as_str(), entry))
        .collect();
    let tree = folder(git, Some(&before), &changes)?;
    match tree {
        Some(tree) if tree != before => {
            let args = ["commit-tree", &tree, "-p", commit, "-F", "-"];
            Ok(git.must(TRIED, &args, message.as_bytes())?.text())
        }
        _ => Ok(commit.to_owned()),
    }
}

/// Writes the folder whose tree is `tree` with `changes`, whose paths begin in
/// it. Returns none if nothing is left in it.
fn folder(
    git: &Git,
    tree: Option<&str>,
    changes: &[(&str, &Entry)],
) -> Result<Option<String>, Failure> {
    let mut entries: BTreeMap<String, (String, String, String)> = BTreeMap::new();
    if let Some(tree) = tree {
        for entry in repo::entries(git, TRIED, &[tree])? {
            entries.insert(entry.path, (entry.mode, entry.kind, entry.id));
        }
    }
    let mut below: BTreeMap<&str, Vec<(&str, &Entry)>> = BTreeMap::new();
    for (path, entry) in changes {
        match (path.split_once('/'), entry) {
            (Some((name, rest)), _) => below.entry(name).or_default().push((rest, entry)),
            (None, Some((mode, id))) => {
                let kind = if mode == "160000" { "commit" } else { "blob" };
                let file = (mode.clone(), kind.to_owned(), id.clone());
                entries.insert((*path).to_owned(), file);
            }
            (None, None) => {
                entries.remove(*path);
            }
        }
    }
    for (name, changes) in below {
        let present = entries.get(name).filter(|(_, kind, _)| kind == "tree");
        let id = present.map(|(_, _, id)| id.clone());
        let is_file = id.is_none() && entries.contains_key(name);
        match folder(git, id.as_deref(), &changes)? {
            Some(id) => {
                let folder = ("040000".to_owned(), "tree".to_owned(), id);
                entries.insert(name.to_owned(), folder);
            }
            // Files that are absent on both sides leave a file in their place.
            None if is_file => {}
            None => {
                entries.remove(name);
            }
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let line = |(name, (mode, kind, id)): (&String, &(String, String, String))| {
        format!("{mode} {kind} {id}\t{name}\0")
    };
    let input: String = entries.iter().map(line).collect();
    // Without the alternate: git would update the times of objects there that
    // it would write again.
    let own = git.clone().objects(repo::own_objects(git));
    let args = ["mktree", "--missing", "-z"];
    Ok(Some(own.must(TRIED, &args, input.as_bytes())?.text()))
}

#[cfg(test)]
mod tests {
    use kdk_series::base::fixtures;

    use super::*;
    use crate::changes;

    #[test]
    fn the_tree_is_the_same_as_that_of_a_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = fixtures::kdk_repo(dir.path());
        let src = dir.path().join("src");
        fixtures::write(&src.join("sys/dev/x/x.c"), "x\n");
        fixtures::write(&src.join("sys/kern/a.c"), "changed\n");
        std::fs::remove_file(src.join("tests/Makefile")).unwrap();
        let wanted = fixtures::commit(&src, "all");
        let (_, new) = changes::difference(&git, &head, &wanted).unwrap();
        let made = commit(&git, &head, &new, "m\n").unwrap();
        let tree = |name: &str| repo::tree_of(&git, name).unwrap();
        assert_eq!(tree(&made), tree(&wanted));
        assert_eq!(commit(&git, &head, &new, "m\n").unwrap(), made);
        // And back.
        let (_, old) = changes::difference(&git, &wanted, &head).unwrap();
        let back = commit(&git, &made, &old, "m\n").unwrap();
        assert_eq!(tree(&back), tree(&head));
        assert_eq!(commit(&git, &head, &old, "m\n").unwrap(), head);
        let mut absent = Entries::new();
        absent.insert("Makefile/no/such".into(), None);
        absent.insert("no/such".into(), None);
        assert_eq!(commit(&git, &head, &absent, "m\n").unwrap(), head);
    }
}

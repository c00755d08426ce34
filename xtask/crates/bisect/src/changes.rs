//! What each commit of a range changes, read from git in one go.

use std::collections::BTreeMap;

use crate::candidates::Candidates;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_series::base::repo;

const TRIED: &str = "read the changes of the commits";

/// The mode and the object id of a file; none if the tree does not have it.
pub type Entry = Option<(String, String)>;

/// The entries of some paths of a tree.
pub type Entries = BTreeMap<String, Entry>;

/// New paths of files, by their paths before.
pub type Renames = BTreeMap<String, String>;

/// A file that a commit changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path from the top of the tree.
    pub path: String,
    /// The file before the commit.
    pub before: Entry,
    /// The file after the commit.
    pub after: Entry,
}

/// Returns the changes of each commit against its first parent. The first
/// element, that of the good endpoint, is empty.
///
/// # Errors
/// git cannot read a commit.
pub fn read(git: &Git, candidates: &Candidates) -> Result<Vec<Vec<Change>>, Failure> {
    let commits = &candidates.commits;
    let line =
        |two: &[crate::candidates::Candidate]| format!("{} {}\n", two[1].commit, two[0].commit);
    let input: String = commits.windows(2).map(line).collect();
    let args = ["diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames"];
    let ran = git.must(TRIED, &args, input.as_bytes())?;
    let mut changes = vec![Vec::new(); commits.len()];
    let mut at = 0;
    let mut parts = ran.stdout.split(|byte| *byte == 0);
    while let Some(part) = parts.next() {
        let text = String::from_utf8_lossy(part);
        if let Some(meta) = text.strip_prefix(':') {
            let path = parts.next().unwrap_or_default();
            let path = String::from_utf8_lossy(path).into_owned();
            changes[at].extend(change(meta, path));
        } else if !text.is_empty() {
            // The header of a commit; one that changes nothing has none.
            let position = commits[at..]
                .iter()
                .position(|one| one.commit == text.trim());
            at += position.ok_or_else(|| Failure::infra(TRIED, "git lists another commit"))?;
        }
    }
    Ok(changes)
}

/// Returns the files that the commit at position `at` renames.
///
/// # Errors
/// git cannot read the commit.
pub fn renames(git: &Git, candidates: &Candidates, at: usize) -> Result<Renames, Failure> {
    let Some(below) = at.checked_sub(1) else {
        return Ok(Renames::new());
    };
    let commit = |at: usize| candidates.commits[at].commit.as_str();
    let args = [
        "diff-tree",
        "-r",
        "-z",
        "--name-status",
        "--find-renames",
        "--diff-filter=R",
        commit(below),
        commit(at),
    ];
    let ran = git.must(TRIED, &args, b"")?;
    let names = repo::names(&ran.stdout);
    // The status with the similarity, the old path and the new one.
    let rename = |three: &[String]| match three {
        [_, from, to] => Some((from.clone(), to.clone())),
        _ => None,
    };
    Ok(names.chunks(3).filter_map(rename).collect())
}

/// Parses `MODE MODE ID ID STATUS` for `path`.
fn change(meta: &str, path: String) -> Option<Change> {
    let mut words = meta.split(' ');
    let (from, to) = (words.next()?, words.next()?);
    let (old, new) = (words.next()?, words.next()?);
    let entry = |mode: &str, id: &str| (mode != "000000").then(|| (mode.to_owned(), id.to_owned()));
    Some(Change {
        path,
        before: entry(from, old),
        after: entry(to, new),
    })
}

/// Returns the entries of `paths` in the tree of `commit`.
///
/// # Errors
/// git cannot read the tree.
pub fn entries<'a>(
    git: &Git,
    commit: &str,
    paths: impl Iterator<Item = &'a str>,
) -> Result<Entries, Failure> {
    let mut found: Entries = paths.map(|path| (path.to_owned(), None)).collect();
    if found.is_empty() {
        return Ok(found);
    }
    let mut args = vec!["--full-tree", commit, "--"];
    let paths: Vec<String> = found.keys().cloned().collect();
    args.extend(paths.iter().map(String::as_str));
    for entry in repo::entries(git, TRIED, &args)? {
        found.insert(entry.path, Some((entry.mode, entry.id)));
    }
    Ok(found)
}

/// Returns the entries of the files that differ between two commits, in each
/// of them.
///
/// # Errors
/// git cannot read the commits.
pub fn difference(git: &Git, before: &str, after: &str) -> Result<(Entries, Entries), Failure> {
    let args = [
        "diff-tree",
        "-r",
        "-z",
        "--raw",
        "--no-renames",
        before,
        after,
    ];
    let ran = git.must(TRIED, &args, b"")?;
    let (mut old, mut new) = (Entries::new(), Entries::new());
    let mut parts = ran.stdout.split(|byte| *byte == 0);
    while let (Some(meta), Some(path)) = (parts.next(), parts.next()) {
        let path = String::from_utf8_lossy(path).into_owned();
        let meta = String::from_utf8_lossy(meta);
        if let Some(change) = change(meta.trim_start_matches(':'), path) {
            old.insert(change.path.clone(), change.before);
            new.insert(change.path, change.after);
        }
    }
    Ok((old, new))
}

#[cfg(test)]
mod tests {
    use kdk_series::base::fixtures;

    use super::*;
    use crate::candidates;

    #[test]
    fn changes_of_each_commit() {
        let dir = tempfile::tempdir().unwrap();
        let tree = fixtures::tree(dir.path(), "src", 1_501_000);
        let run = |args: &[&str]| fixtures::git(&tree, args);
        let first = run(&["rev-parse", "HEAD"]);
        fixtures::write(&tree.join("sys/kern/b c.c"), "new\n");
        std::fs::remove_file(tree.join("sys/kern/a.c")).unwrap();
        fixtures::commit(&tree, "two");
        run(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
        run(&["checkout", "-q", "-b", "side"]);
        fixtures::write(&tree.join("sys/kern/side.c"), "s\n");
        fixtures::commit(&tree, "side");
        run(&["checkout", "-q", "main"]);
        run(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
        let last = run(&["rev-parse", "HEAD"]);
        let git = Git::new(tree.join(".git"));
        let range = candidates::list(&git, &first, &last).unwrap();
        let changes = read(&git, &range).unwrap();
        let paths: Vec<Vec<&str>> = changes
            .iter()
            .map(|changes| changes.iter().map(|change| &*change.path).collect())
            .collect();
        let want: [&[&str]; 4] = [
            &[],
            &["sys/kern/a.c", "sys/kern/b c.c"],
            &[],
            &["sys/kern/side.c"],
        ];
        assert_eq!(paths, want);
        assert!(changes[1][0].after.is_none() && changes[1][1].before.is_none());
        let (old, new) = difference(&git, &first, &last).unwrap();
        assert_eq!(old.len(), 3);
        assert_eq!(new["sys/kern/a.c"], None);
        let now = entries(&git, &last, old.keys().map(String::as_str)).unwrap();
        assert_eq!(now, new);
    }
}

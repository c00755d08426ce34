//! The uncommitted changes of a user's checkout, as a commit in kdk's
//! repository.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::base::repo;
use crate::base::source::Source;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// The state of a user's checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit: the source's own, or one of kdk on top of it.
    pub commit: String,
    /// The files under sys/ that differ from the source's own commit.
    pub changed: Vec<String>,
}

/// Returns the commit checked out in `source`, with the uncommitted changes of
/// tracked files under sys/ on top. `git` is kdk's repository, with `source` as
/// an alternate. Nothing is written to `source`.
pub fn snapshot(git: &Git, source: &Source) -> Result<Snapshot, Failure> {
    let head = source.head()?;
    let unchanged = Snapshot {
        commit: head.clone(),
        changed: Vec::new(),
    };
    let Some(work_tree) = &source.work_tree else {
        return Ok(unchanged);
    };
    if !work_tree.join("sys").is_dir() {
        return Ok(unchanged);
    }
    let tried = format!("read the uncommitted changes of {}", source.dir.display());
    let index = git.git_dir().join("source.index");
    copy_index(&source.index(), &index)
        .map_err(|error| Failure::io(&tried, &source.index(), error))?;
    // kdk's own repository and index, with the user's files: nothing in the
    // user's repository changes.
    let git = settings_of(source, git.clone())?
        .index(&index)
        .work_tree(work_tree);
    let args = ["diff-index", "--quiet", &head, "--", "sys"];
    if git.run(&tried, &args)?.ok {
        return Ok(unchanged);
    }
    // Without the alternate: git would update the times of objects there that
    // it would write again.
    let own = git.clone().objects(repo::own_objects(&git));
    own.text(&tried, &["add", "--update", "--", "sys"])?;
    let args = [
        "diff-index",
        "--cached",
        "--no-renames",
        "-z",
        &head,
        "--",
        "sys",
    ];
    let list = git.must(&tried, &args, b"")?.stdout;
    let changes = changes(&list);
    if changes.is_empty() {
        return Ok(unchanged);
    }
    let reference = reference(&head, &list);
    let message = format!("uncommitted changes of {}\n", source.dir.display());
    Ok(Snapshot {
        commit: match repo::pinned(&git, &reference)? {
            Some(commit) => commit,
            None => {
                let commit = commit(&git, &head, &changes, &message)?;
                repo::pin(&git, &reference, &commit)?;
                commit
            }
        },
        changed: changes.into_iter().map(|change| change.path).collect(),
    })
}

/// Returns the reference to the commit of these changes.
fn reference(head: &str, list: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head.as_bytes());
    hasher.update(list);
    format!("refs/kdk/uncommitted/{}", hasher.finalize().to_hex())
}

/// A file that differs from the commit.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    mode: String,
    object: String,
    path: String,
}

/// Reads `:OLDMODE NEWMODE OLDID NEWID STATUS<nul>PATH<nul>`...
fn changes(list: &[u8]) -> Vec<Change> {
    let change = |pair: &[String]| {
        let [head, path] = pair else { return None };
        let mut fields = head.split(' ').skip(1);
        let (mode, _, object) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Change {
            mode: mode.to_owned(),
            object: object.to_owned(),
            path: path.clone(),
        })
    };
    repo::names(list).chunks(2).filter_map(change).collect()
}

/// Commits `changes` on top of `head`. In a fresh index git knows the trees of
/// `head`, and writes only the ones that differ.
fn commit(git: &Git, head: &str, changes: &[Change], message: &str) -> Result<String, Failure> {
    const TRIED: &str = "commit the uncommitted changes";
    let git = git.clone().index(git.git_dir().join("uncommitted.index"));
    let _ = fs::remove_file(git.git_dir().join("uncommitted.index.lock"));
    git.text(TRIED, &["read-tree", head])?;
    let lines: String = changes
        .iter()
        .map(|change| format!("{} {}\t{}\0", change.mode, change.object, change.path))
        .collect();
    repo::set_entries(&git, TRIED, lines.as_bytes())?;
    repo::commit_index(&git, head, message)
}

/// Copies the index unless the copy is up to date. The copy keeps the
/// modification time: git distrusts files that are newer than the index.
pub fn copy_index(from: &Path, to: &Path) -> io::Result<()> {
    let source = fs::metadata(from)?;
    let stamp = format!("{:?} {}\n", source.modified()?, source.len());
    let stamp_file = to.with_extension("stamp");
    if to.exists() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(());
    }
    let _ = fs::remove_file(to.with_extension("index.lock"));
    fs::copy(from, to)?;
    File::options()
        .append(true)
        .open(to)?
        .set_modified(source.modified()?)?;
    fs::write(stamp_file, stamp)
}

/// Returns `git` with the settings of the checkout that decide whether a file
/// has changed.
fn settings_of(source: &Source, mut git: Git) -> Result<Git, Failure> {
    let tried = format!("read the settings of {}", source.dir.display());
    let pattern = "^core\\.(filemode|symlinks|ignorecase|autocrlf|precomposeunicode)$";
    let settings = source
        .git()
        .run(&tried, &["config", "--get-regexp", pattern])?;
    for line in settings.text().lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, "true"));
        git = git.setting(format!("{name}={value}"));
    }
    // With a split index git would write a second file beside the user's index.
    Ok(git
        .setting("core.splitIndex=false")
        .setting("core.bare=false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_as_git_lists_them() {
        let list =
            b":100644 100755 aaaa bbbb M\0sys/kern/a.c\0:100644 000000 cccc 0000 D\0sys/b c.h\0";
        let change = |mode: &str, object: &str, path: &str| Change {
            mode: mode.into(),
            object: object.into(),
            path: path.into(),
        };
        let want = [
            change("100755", "bbbb", "sys/kern/a.c"),
            change("000000", "0000", "sys/b c.h"),
        ];
        assert_eq!(changes(list), want);
        assert!(changes(b"").is_empty());
    }
}

//! A checkout's uncommitted changes, as a commit of the kit's repository.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::base::git::Git;
use crate::base::repo;
use crate::base::source::Source;
use crate::failure::Failure;

/// What a base stands for right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit: the source's own, or one of the kit's on top of it.
    pub commit: String,
    /// The files under sys/ that differ from the source's own commit.
    pub changed: Vec<String>,
}

/// The commit checked out in `source`, with the uncommitted changes to tracked
/// files under sys/ on top. `git` is the kit's repository, which borrows from
/// `source`; nothing is written to the source.
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
    // The kit's own repository and index, with the user's files: new objects
    // go to the kit, and the user's repository is not told of any of it.
    let git = settings_of(source, git.clone())?
        .index(&index)
        .work_tree(work_tree);
    git.text(&tried, &["add", "--update", "--", "sys"])?;
    let args = ["diff-index", "--cached", "--name-only", "--no-renames", "-z", &head, "--", "sys"];
    let changed = names(&git.must(&tried, &args, b"")?.stdout);
    if changed.is_empty() {
        return Ok(unchanged);
    }
    let message = format!("uncommitted changes of {}\n", source.dir.display());
    Ok(Snapshot {
        commit: repo::commit_index(&git, &head, &message)?,
        changed,
    })
}

/// The paths in a list that git ended with NULs.
pub fn names(list: &[u8]) -> Vec<String> {
    list.split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// Copies the index unless the copy is of this one. The copy keeps the time of
/// the original: git distrusts files changed after the index was written.
fn copy_index(from: &Path, to: &Path) -> io::Result<()> {
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

/// The settings of the checkout that decide whether a file counts as changed.
fn settings_of(source: &Source, mut git: Git) -> Result<Git, Failure> {
    let tried = format!("read the settings of {}", source.dir.display());
    let pattern = "^core\\.(filemode|symlinks|ignorecase|autocrlf|precomposeunicode)$";
    let settings = source.git().run(&tried, &["config", "--get-regexp", pattern])?;
    for line in settings.text().lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, "true"));
        git = git.setting(format!("{name}={value}"));
    }
    // Left on, git would write a second file beside the user's index.
    Ok(git.setting("core.splitIndex=false").setting("core.bare=false"))
}

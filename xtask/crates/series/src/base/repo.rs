//! The repository that kdk has of a base. It is the only one that kdk writes to; a
//! user's repository is an alternate of it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::base::source::Source;
use kdk_core::cache_dir::{self, CacheDir};
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// Returns the path of the repository of the base `name`.
pub fn path(cache: &CacheDir, name: &str) -> PathBuf {
    cache.repos().join(format!("{name}.git"))
}

/// Returns git in the repository of the base `name`.
pub fn git(cache: &CacheDir, name: &str) -> Git {
    Git::new(path(cache, name))
}

/// Creates the repository if it does not exist, and completes one that a killed
/// run began.
pub fn ensure(cache: &CacheDir, name: &str) -> Result<Git, Failure> {
    const TRIED: &str = "create kdk's repository of the base";
    let git = git(cache, name);
    cache.create(&cache.repos())?;
    if !git.git_dir().join("kdk-ready").exists() {
        let dir: &Path = git.git_dir();
        let args = ["init", "--quiet", "--bare", "--initial-branch=kdk"];
        git.text(TRIED, &args)?;
        // Only parts of trees are checked out.
        for (name, value) in [
            ("core.sparseCheckout", "true"),
            ("core.logAllRefUpdates", "false"),
            ("index.threads", "true"),
        ] {
            git.text(TRIED, &["config", name, value])?;
        }
        fs::write(dir.join("kdk-ready"), b"").map_err(|error| Failure::io(TRIED, dir, error))?;
    }
    Ok(git)
}

/// Makes `source` an alternate of the repository. git follows chains of
/// alternates by itself.
pub fn add_alternate(git: &Git, source: &Source) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for objects in [source.objects(), own_objects(git)] {
        lines.extend(objects.into_os_string().into_encoded_bytes());
        lines.push(b'\n');
    }
    fs::create_dir_all(own_objects(git))
        .map_err(|error| Failure::io("use the base's source", &own_objects(git), error))?;
    sync_file(git, "objects/info/alternates", Some(&lines))?;
    sync_file(git, "shallow", source.shallow().as_deref())
}

/// Returns the directory of the objects that are written without the alternate.
pub fn own_objects(git: &Git) -> PathBuf {
    git.git_dir().join("own-objects")
}

/// Writes `content` to a file of the repository if it differs, or removes the
/// file.
fn sync_file(git: &Git, name: &str, content: Option<&[u8]>) -> Result<(), Failure> {
    let path = git.git_dir().join(name);
    if fs::read(&path).ok().as_deref() == content {
        return Ok(());
    }
    let done = match content {
        Some(content) => cache_dir::write_atomically(&path, content),
        None => fs::remove_file(&path),
    };
    done.map_err(|error| Failure::io("use the objects of the base's source", &path, error))
}

/// Points `reference` at `commit`, so that git does not prune it.
pub fn pin(git: &Git, reference: &str, commit: &str) -> Result<(), Failure> {
    git.text("keep a commit", &["update-ref", reference, commit])?;
    Ok(())
}

/// Returns the commit that `reference` points at, if it exists.
pub fn pinned(git: &Git, reference: &str) -> Result<Option<String>, Failure> {
    git.commit_id("look up a commit", reference)
}

/// Returns the id of the tree of `commit`, which may be a tree itself.
pub fn tree_of(git: &Git, commit: &str) -> Result<String, Failure> {
    let name = format!("{commit}^{{tree}}");
    git.text("read a commit", &["rev-parse", "--verify", &name])
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The mode in octal: "100644".
    pub mode: String,
    /// `blob`, `tree` or `commit`.
    pub kind: String,
    /// The id of the object.
    pub id: String,
    /// The path from the top of the tree.
    pub path: String,
}

/// Returns the entries that `git ls-tree -z ARGS` lists.
pub fn entries(git: &Git, tried: &str, args: &[&str]) -> Result<Vec<Entry>, Failure> {
    let args = [&["ls-tree", "-z"], args].concat();
    let list = git.must(tried, &args, b"")?.stdout;
    Ok(names(&list).iter().filter_map(|line| entry(line)).collect())
}

/// Reads `MODE TYPE ID<tab>PATH`.
fn entry(line: &str) -> Option<Entry> {
    let (head, path) = line.split_once('\t')?;
    let mut words = head.split(' ').map(str::to_owned);
    Some(Entry {
        mode: words.next()?,
        kind: words.next()?,
        id: words.next()?,
        path: path.to_owned(),
    })
}

/// Splits git's output at NUL bytes.
pub fn names(list: &[u8]) -> Vec<String> {
    list.split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// Returns the paths that differ between two commits or trees.
pub fn changed_paths(git: &Git, before: &str, after: &str) -> Result<Vec<String>, Failure> {
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
    Ok(names(&ran.stdout))
}

/// Updates the index with `lines`, each `MODE ID<tab>PATH` and a NUL. Mode 0
/// removes a path.
pub fn set_entries(git: &Git, tried: &str, lines: &[u8]) -> Result<(), Failure> {
    git.must(tried, &["update-index", "-z", "--index-info"], lines)?;
    Ok(())
}

/// Commits the index of `git` on top of `parent`. The id depends only on the
/// content. Missing objects are no error.
pub fn commit_index(git: &Git, parent: &str, message: &str) -> Result<String, Failure> {
    const TRIED: &str = "commit a tree";
    let tree = git.text(TRIED, &["write-tree", "--missing-ok"])?;
    let args = ["commit-tree", &tree, "-p", parent, "-F", "-"];
    Ok(git.must(TRIED, &args, message.as_bytes())?.text())
}

/// Removes the lock files of a killed git. The caller has kdk's own lock on the
/// repository, so no other git runs in it.
pub fn remove_stale_locks(git_dir: &Path) {
    for name in [
        "index.lock",
        "HEAD.lock",
        "config.lock",
        "shallow.lock",
        "packed-refs.lock",
    ] {
        let _ = fs::remove_file(git_dir.join(name));
    }
}

/// Writes a list that git reads.
pub fn write_list(path: &Path, lines: &str) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(path)?;
        file.write_all(lines.as_bytes())
    };
    write().map_err(|error| Failure::io("prepare a tree", path, error))
}

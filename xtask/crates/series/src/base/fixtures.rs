//! Small trees for tests.

// Only tests use this; a fixture that cannot be made fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kdk_vm::interrupt::Interrupt;

use crate::base::repo;
use crate::base::source::Source;
use kdk_core::cache_dir::CacheDir;
use kdk_core::git::Git;

/// Runs git in `dir` as a user would, and returns its output.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=a", "-c", "user.email=a@localhost"])
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(args)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Writes a file with its folders.
pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Creates a checkout `dir/name` with the few files that a FreeBSD tree must
/// have.
pub fn tree(dir: &Path, name: &str, osreldate: u32) -> PathBuf {
    let tree = dir.join(name);
    let param_h = format!("#define __FreeBSD_version {osreldate}\n");
    for (path, text) in [
        ("Makefile", "all:\n"),
        ("sys/sys/param.h", param_h.as_str()),
        ("sys/kern/a.c", "one\ntwo\nthree\n"),
        ("sys/kern/b.c", "b\n"),
        ("tests/Makefile", "t\n"),
        ("contrib/sqlite3/sqlite3.c", "a very large file\n"),
    ] {
        write(&tree.join(path), text);
    }
    git(&tree, &["init", "-q"]);
    commit(&tree, "import");
    tree
}

/// Commits everything in `tree`.
pub fn commit(tree: &Path, message: &str) -> String {
    git(tree, &["add", "-A", "-f", "."]);
    git(tree, &["commit", "-q", "-m", message]);
    git(tree, &["rev-parse", "HEAD"])
}

/// Creates kdk's repository of a base, with a small tree as its alternate.
/// Returns it with the commit of that tree.
pub fn kdk_repo(dir: &Path) -> (Git, String) {
    let source = Source::open(&tree(dir, "src", 1_501_000)).unwrap();
    let cache = CacheDir::at(dir.join("home"), &Interrupt::new()).unwrap();
    let git = repo::ensure(&cache, "releng-15.1").unwrap();
    repo::add_alternate(&git, &source).unwrap();
    (git, source.head().unwrap())
}

/// Returns every file below `dir` with its content and modification time, to
/// detect changes.
pub fn fingerprint(dir: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let time = fs::metadata(&path).unwrap().modified().unwrap();
                found.push((path.clone(), fs::read(&path).unwrap(), time));
            }
        }
    }
    found.sort();
    found
}

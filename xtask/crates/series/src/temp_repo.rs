//! Trees of a few files, in a temporary repository.
//!
//! It has no alternates: git updates the times of objects in an alternate that
//! it would write again, and kdk must not change a tree that it only reads.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::base::repo;
use crate::diff::numstat;
use kdk_core::failure::Failure;
use kdk_core::git::{Git, Ran};

const TRIED: &str = "copy the files that the series changes";

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The path of the file.
    pub path: String,
    /// The mode, as git writes it.
    pub mode: String,
    /// The blob id.
    pub id: String,
}

/// The entries of a tree for some paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The paths that are files.
    pub files: Vec<File>,
    /// The paths that are folders.
    pub folders: Vec<String>,
}

impl Listing {
    /// Returns the file at `path`.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// The offset at which a hunk applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// The path of the file.
    pub file: String,
    /// The number of the hunk in the file's part of the patch, from 1.
    pub hunk: usize,
    /// The number of lines further down; negative for up.
    pub lines: i64,
}

/// A patch that applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The tree with the patch.
    pub tree: String,
    /// The hunks that applied at another line than the patch says.
    pub offsets: Vec<Offset>,
}

/// A temporary repository.
#[derive(Debug)]
pub struct TempRepo {
    git: Git,
    _dir: TempDir,
}

impl TempRepo {
    /// Creates an empty repository.
    pub fn new() -> Result<Self, Failure> {
        let dir = tempfile::tempdir()
            .map_err(|error| Failure::io(TRIED, &std::env::temp_dir(), error))?;
        // Files that were not copied must not be taken for renamed ones.
        let git = Git::new(dir.path().join("git"))
            .index(dir.path().join("index"))
            .setting("merge.renames=false");
        git.text(TRIED, &["init", "--quiet", "--bare"])?;
        Ok(Self { git, _dir: dir })
    }

    /// Returns git in the repository.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Copies the blobs of `files` from the repository `from`, which is only
    /// read.
    pub fn take(&self, from: &Git, files: &[File]) -> Result<(), Failure> {
        let is_blob = |file: &&File| file.mode != "160000";
        let ids: BTreeSet<&str> = files.iter().filter(is_blob).map(|file| &*file.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let list: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let pack = from.must(TRIED, &["pack-objects", "--stdout", "-q"], list.as_bytes())?;
        self.git
            .must(TRIED, &["unpack-objects", "-q"], &pack.stdout)?;
        Ok(())
    }

    /// Reads `paths` of the folder `dir`, which need not be a repository.
    pub fn read(&self, dir: &Path, paths: &BTreeSet<String>) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        for path in paths {
            let at = dir.join(path);
            let failed = |error| Failure::io(TRIED, &at, error);
            let meta = match fs::symlink_metadata(&at) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    continue;
                }
                other => other.map_err(failed)?,
            };
            if meta.is_dir() {
                listing.folders.push(path.clone());
                continue;
            }
            let (mode, content) = if meta.is_symlink() {
                let to = fs::read_link(&at).map_err(failed)?;
                ("120000", to.as_os_str().as_bytes().to_vec())
            } else {
                let runs = meta.permissions().mode() & 0o100 != 0;
                let mode = if runs { "100755" } else { "100644" };
                (mode, fs::read(&at).map_err(failed)?)
            };
            let args = ["hash-object", "-w", "--no-filters", "--stdin"];
            listing.files.push(File {
                path: path.clone(),
                mode: mode.to_owned(),
                id: self.git.must(TRIED, &args, &content)?.text(),
            });
        }
        Ok(listing)
    }

    /// Writes a tree of `files`, whose blobs are in the repository.
    pub fn tree(&self, files: &[File]) -> Result<String, Failure> {
        let line = |file: &File| format!("{} {}\t{}\0", file.mode, file.id, file.path);
        let lines: String = files.iter().map(line).collect();
        self.git.text(TRIED, &["read-tree", "--empty"])?;
        repo::set_entries(&self.git, TRIED, lines.as_bytes())?;
        self.git.text(TRIED, &["write-tree"])
    }

    /// Returns the diff between the trees `from` and `to`, of all files or of
    /// one.
    pub fn diff(&self, from: &str, to: &str, file: Option<&str>) -> Result<Vec<u8>, Failure> {
        let mut args = vec![
            "--literal-pathspecs",
            "diff-tree",
            "-p",
            "--binary",
            "--full-index",
            "--no-renames",
            from,
            to,
        ];
        args.extend(file.map(|file| ["--", file]).into_iter().flatten());
        Ok(self.git.must(TRIED, &args, b"")?.stdout)
    }

    /// Applies `diff` to `tree`, with fuzz 0. Returns git's output if it does
    /// not apply.
    pub fn apply(&self, tree: &str, diff: &[u8]) -> Result<Result<Applied, Ran>, Failure> {
        self.git.text(TRIED, &["read-tree", tree])?;
        let args = ["apply", "--cached", "-v", "--whitespace=nowarn", "-"];
        let ran = self.git.run_with(TRIED, &args, diff)?;
        if !ran.ok {
            return Ok(Err(ran));
        }
        Ok(Ok(Applied {
            tree: self.git.text(TRIED, &["write-tree"])?,
            offsets: offsets(&ran.stderr),
        }))
    }

    /// Returns the files that the diff of the patch `id` names, on either side.
    pub fn files_of(&self, id: &str, diff: &[u8]) -> Result<BTreeSet<String>, Failure> {
        let tried = format!("read the patch `{id}`");
        let ran = self
            .git
            .run_with(&tried, &["apply", "--numstat", "-z", "-"], diff)?;
        if !ran.ok {
            return Err(
                Failure::usage(tried, format!("git says: {}", ran.summary())).help(format!(
                    "restore its file from your repository, or write it again: cargo xtask patches edit {id}"
                )),
            );
        }
        // The names on the old side, if the diff can be reversed.
        let args = ["apply", "--numstat", "-z", "-R", "-"];
        let mut list = ran.stdout;
        list.extend(self.git.run_with(&tried, &args, diff)?.stdout);
        Ok(numstat(&list).into_iter().map(|stat| stat.path).collect())
    }
}

/// Returns the entries of `commit` for `paths`.
pub fn listing(git: &Git, commit: &str, paths: &BTreeSet<String>) -> Result<Listing, Failure> {
    let mut listing = Listing::default();
    if paths.is_empty() {
        return Ok(listing);
    }
    let mut args = vec!["--full-tree", commit, "--"];
    args.extend(paths.iter().map(String::as_str));
    for entry in repo::entries(git, TRIED, &args)? {
        let repo::Entry {
            mode,
            kind,
            id,
            path,
        } = entry;
        match kind.as_str() {
            "tree" => listing.folders.push(path),
            _ => listing.files.push(File { path, mode, id }),
        }
    }
    Ok(listing)
}

/// Parses the lines of `git apply -v` about hunks with an offset: `Hunk #1
/// succeeded at 4 (offset -2 lines).` after `Checking patch FILE...`.
fn offsets(said: &str) -> Vec<Offset> {
    let mut found = Vec::new();
    let mut file = "";
    for line in said.lines() {
        if let Some(name) = line.strip_prefix("Checking patch ") {
            file = name.strip_suffix("...").unwrap_or(name);
        }
        let offset = || {
            let rest = line.strip_prefix("Hunk #")?;
            let (hunk, rest) = rest.split_once(' ')?;
            let (_, rest) = rest.split_once("(offset ")?;
            Some(Offset {
                file: file.to_owned(),
                hunk: hunk.parse().ok()?,
                lines: rest.split(' ').next()?.parse().ok()?,
            })
        };
        found.extend(offset());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fixtures::{commit, fingerprint, git as run, kdk_repo, tree, write};

    #[test]
    fn offsets_are_parsed() {
        let offset = |file: &str, hunk, lines| Offset {
            file: file.into(),
            hunk,
            lines,
        };
        for (said, want) in [
            ("Checking patch a...\nApplied patch a cleanly.\n", vec![]),
            (
                "Checking patch sys/a.c...\nHunk #2 succeeded at 24 (offset 2 lines).\n\
                 Checking patch b...\nHunk #1 succeeded at 1 (offset -1 line).\n",
                vec![offset("sys/a.c", 2, 2), offset("b", 1, -1)],
            ),
            ("Hunk #x succeeded at 24 (offset 2 lines).\n", vec![]),
        ] {
            assert_eq!(offsets(said), want, "{said}");
        }
    }

    fn paths(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_small_tree_has_the_same_files_wherever_they_come_from() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kdk_repo(dir.path());
        let src = dir.path().join("src");
        let wanted = paths(&["sys/kern/a.c", "tests", "sys/kern/no.c", "Makefile/no"]);
        let before = fingerprint(&src);
        let repo = TempRepo::new().unwrap();
        let listed = listing(&git, &head, &wanted).unwrap();
        assert_eq!(listed.folders, ["tests"]);
        assert_eq!(listed.files.len(), 1);
        assert_eq!(repo.read(&src, &wanted).unwrap(), listed);
        let other = TempRepo::new().unwrap();
        other.take(&git, &listed.files).unwrap();
        assert_eq!(
            repo.tree(&listed.files).unwrap(),
            other.tree(&listed.files).unwrap()
        );
        assert!(before == fingerprint(&src), "the source was written to");
    }

    #[test]
    fn modes_and_links_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let src = tree(dir.path(), "src", 1_501_000);
        write(&src.join("run.sh"), "#!/bin/sh\n");
        fs::set_permissions(src.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("run.sh", src.join("link")).unwrap();
        commit(&src, "more");
        let wanted = paths(&["run.sh", "link"]);
        let repo = TempRepo::new().unwrap();
        let git = Git::new(src.join(".git"));
        let listed = listing(&git, "HEAD", &wanted).unwrap();
        assert_eq!(repo.read(&src, &wanted).unwrap(), listed);
        assert_eq!(run(&src, &["status", "--porcelain"]), "");
    }

    #[test]
    fn a_diff_applies_or_git_reports_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let repo = TempRepo::new().unwrap();
        let tree = |first: &str, sixth: &str| {
            let text = format!("{first}1\n2\n3\n4\n5\n{sixth}\n7\n8\n9\n");
            write(&dir.path().join("a"), &text);
            let files = repo.read(dir.path(), &paths(&["a"])).unwrap().files;
            repo.tree(&files).unwrap()
        };
        let (one, two) = (tree("", "6"), tree("", "x"));
        let diff = repo.diff(&one, &two, None).unwrap();
        assert_eq!(repo.files_of("a", &diff).unwrap(), paths(&["a"]));
        let renamed = b"diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n";
        assert_eq!(repo.files_of("a", renamed).unwrap(), paths(&["x", "y"]));
        let cut = repo.files_of("a", &diff[..diff.len() - 20]).unwrap_err();
        assert_eq!(
            cut.in_one_line(),
            "could not read the patch `a`: git says: corrupt patch at line 7"
        );
        assert_eq!(repo.diff(&one, &two, Some("a")).unwrap(), diff);
        assert!(repo.diff(&one, &two, Some("*")).unwrap().is_empty());
        let applied = repo.apply(&one, &diff).unwrap().unwrap();
        assert_eq!((applied.tree, applied.offsets.len()), (two.clone(), 0));
        let moved = repo.apply(&tree("0\n", "6"), &diff).unwrap().unwrap();
        assert_eq!(moved.tree, tree("0\n", "x"));
        assert_eq!(moved.offsets[0].lines, 1);
        let ran = repo.apply(&two, &diff).unwrap().unwrap_err();
        assert!(ran.stderr.contains("patch failed: a:3"), "{}", ran.stderr);
    }
}

//! The targets of `patches drift`: an added base, a git repository, or a folder
//! with some of a tree's files. kdk only reads them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::applied::{self, LockedBase};
use crate::base::record;
use crate::base::source::Source;
use crate::temp_repo::{Listing, TempRepo, listing};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// A target, as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name that the user gave.
    pub name: String,
    place: TargetSource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TargetSource {
    Base,
    Repository { source: Source, commit: String },
    Folder(PathBuf),
}

/// A target that is open for reading.
#[derive(Debug)]
pub enum OpenTarget {
    /// A base, locked until this is dropped.
    Base(Box<LockedBase>),
    /// A repository, with its commit.
    Repository(Source, String),
    /// A folder without history.
    Folder(PathBuf),
}

impl Target {
    /// Returns the base of that name, else the directory.
    ///
    /// # Errors
    /// There is no such base or directory, or it cannot be read.
    pub fn find(cache: &CacheDir, name: &str) -> Result<Self, Failure> {
        let bases = record::all(cache)?;
        let place = if bases.iter().any(|base| base.name == name) {
            TargetSource::Base
        } else {
            directory(cache, name)?
        };
        Ok(Self {
            name: name.to_owned(),
            place,
        })
    }

    /// Returns whether it is an added base.
    pub fn is_base(&self) -> bool {
        self.place == TargetSource::Base
    }

    /// Opens the target. A base stays locked until the result is dropped.
    pub fn open(&self, cache: &CacheDir, say: &dyn Fn(String)) -> Result<OpenTarget, Failure> {
        Ok(match &self.place {
            TargetSource::Base => {
                OpenTarget::Base(Box::new(applied::lock_base(cache, &self.name, say)?))
            }
            TargetSource::Repository { source, commit } => {
                OpenTarget::Repository(source.clone(), commit.clone())
            }
            TargetSource::Folder(dir) => OpenTarget::Folder(dir.clone()),
        })
    }
}

impl OpenTarget {
    /// Returns the repository and commit; `None` for a folder.
    pub fn history(&self) -> Option<(Git, &str)> {
        match self {
            Self::Base(base) => Some((base.resolved.git.clone(), &base.resolved.commit)),
            Self::Repository(source, commit) => Some((source.git(), commit)),
            Self::Folder(_) => None,
        }
    }

    /// Returns the entries for `paths`, and copies their blobs to `temp`.
    pub fn files(
        &self,
        temp: &TempRepo,
        paths: &BTreeSet<String>,
        say: &dyn Fn(String),
    ) -> Result<Listing, Failure> {
        match self {
            Self::Folder(dir) => temp.read(dir, paths),
            Self::Base(base) => {
                let base = &base.resolved;
                let listed = listing(&base.git, &base.commit, paths)?;
                // kdk's own clone may have to fetch some.
                temp.take(&base.git.clone().network(), &listed.files)?;
                Ok(listed)
            }
            Self::Repository(source, commit) => {
                let listed = listing(&source.git(), commit, paths)?;
                must_have(source, &listed)?;
                temp.take(&source.git(), &listed.files)?;
                if let Some(work_tree) = &source.work_tree {
                    let now = temp.read(work_tree, paths)?;
                    for path in changed(&listed, &now) {
                        let at = work_tree.join(path);
                        say(format!(
                            "{} has uncommitted changes, which are ignored",
                            at.display()
                        ));
                    }
                }
                Ok(listed)
            }
        }
    }
}

/// Returns the files that are in both and differ.
fn changed<'a>(committed: &'a Listing, now: &Listing) -> Vec<&'a str> {
    let differs = |path: &str, id: &str| now.file(path).is_some_and(|file| file.id != id);
    let files = committed.files.iter();
    files
        .filter(|file| differs(&file.path, &file.id))
        .map(|file| file.path.as_str())
        .collect()
}

/// Fails if a partial clone lacks blobs, which git would fetch into it.
fn must_have(source: &Source, listed: &Listing) -> Result<(), Failure> {
    if listed.files.is_empty() {
        return Ok(());
    }
    let at = source.dir.display();
    let tried = format!("read {at}");
    let args = [
        "rev-list",
        "--objects",
        "--no-walk=unsorted",
        "--missing=print",
        "--no-object-names",
        "--stdin",
    ];
    let blobs = listed.files.iter().filter(|file| file.mode != "160000");
    let ids: String = blobs.map(|file| format!("{}\n", file.id)).collect();
    let list = source.git().must(&tried, &args, ids.as_bytes())?.text();
    let is_missing = |id: &str| list.lines().any(|line| line.strip_prefix('?') == Some(id));
    match listed.files.iter().find(|file| is_missing(&file.id)) {
        None => Ok(()),
        Some(file) => Err(Failure::usage(
            tried,
            format!("it is a partial clone without the content of {}", file.path),
        )
        .help(format!("fetch it: git -C {at} cat-file -e {}", file.id))),
    }
}

fn directory(cache: &CacheDir, name: &str) -> Result<TargetSource, Failure> {
    let tried = format!("try the series on {name}");
    let looked = fs::canonicalize(name).and_then(|dir| fs::read_dir(&dir).map(|_| dir));
    let dir = match looked {
        Ok(dir) => dir,
        Err(error) if error.kind() == ErrorKind::NotFound && !name.contains('/') => {
            return Err(match record::find(cache, name) {
                Err(failure) => failure,
                Ok(_) => Failure::usage(tried, "it was added just now").help("try again"),
            });
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Failure::usage(tried, format!("{name} does not exist")).help(
                "give --to an added base (`cargo xtask base list`), a git repository, or a folder \
                 with the files that the series changes",
            ));
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(Failure::usage(tried, format!("{name} is not a directory"))
                .help("give --to the folder whose sys/ contains the files"));
        }
        Err(error) => return Err(Failure::io(tried, Path::new(name), error)),
    };
    let Some(source) = Source::at(&tried, &dir)? else {
        if dir.join(".git").exists() {
            return Err(
                Failure::usage(tried, format!("git cannot use {name}/.git")).help(format!(
                    "`git -C {name} status` reports the reason; without .git it is read as a plain folder"
                )),
            );
        }
        return Ok(TargetSource::Folder(dir));
    };
    let Some(commit) = source.git().commit_id(&tried, "HEAD")? else {
        return Err(Failure::usage(tried, "it has no commits")
            .help("commit the tree in it: git add -f . && git commit -m import"));
    };
    Ok(TargetSource::Repository { commit, source })
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::base::fixtures::{git, tree, write};
    use kdk_core::failure::rendered;

    #[test]
    fn what_cannot_be_a_target_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let cache = CacheDir::at(root.join("home"), &Interrupt::new()).unwrap();
        write(&root.join("file"), "x");
        git(&root, &["init", "-q", "empty"]);
        write(&root.join("broken/.git"), "gitdir: nowhere\n");
        let mut texts = Vec::new();
        for name in ["missing", "file", "empty", "broken"] {
            let path = root.join(name).display().to_string();
            let failure = Target::find(&cache, &path).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{name}");
            texts.push(rendered(&failure).replace(&*root.to_string_lossy(), "TMP"));
        }
        texts.push(rendered(&Target::find(&cache, "mian").unwrap_err()));
        texts.push(rendered(&Target::find(&cache, "main").unwrap_err()));
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_partial_clone_is_not_made_to_fetch() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let cache = CacheDir::at(root.join("home"), &Interrupt::new()).unwrap();
        let src = tree(&root, "src", 1_501_000);
        git(&src, &["config", "uploadpack.allowFilter", "true"]);
        let url = format!("file://{}", src.display());
        let args = ["clone", "-q", "--bare", "--filter=blob:none", &url, "part"];
        git(&root, &args);
        let part = root.join("part");
        let before = crate::base::fixtures::fingerprint(&part);
        let target = Target::find(&cache, &part.display().to_string()).unwrap();
        let opened = target.open(&cache, &|_| {}).unwrap();
        let paths = BTreeSet::from(["sys/kern/a.c".to_owned()]);
        let failure = opened
            .files(&TempRepo::new().unwrap(), &paths, &|_| {})
            .unwrap_err();
        insta::assert_snapshot!(rendered(&failure).replace(&*root.to_string_lossy(), "TMP"));
        assert!(before == crate::base::fixtures::fingerprint(&part));
    }

    #[test]
    fn files_that_are_not_as_committed_are_named() {
        let file = |path: &str, id: &str| crate::temp_repo::File {
            path: path.into(),
            mode: "100644".into(),
            id: id.into(),
        };
        let listing = |files: &[(&str, &str)]| Listing {
            files: files.iter().map(|(path, id)| file(path, id)).collect(),
            folders: Vec::new(),
        };
        let committed = listing(&[("a", "1"), ("b", "1"), ("sparse", "1")]);
        let now = listing(&[("a", "1"), ("b", "2"), ("new", "3")]);
        assert_eq!(changed(&committed, &now), ["b"]);
    }
}

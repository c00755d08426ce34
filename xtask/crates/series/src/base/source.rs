//! A user's checkout or git directory. kdk only reads it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// A git repository of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The directory that the user named.
    pub dir: PathBuf,
    /// The git directory; of a worktree, its own part.
    pub git_dir: PathBuf,
    /// The part that all worktrees share, with the objects.
    pub common_dir: PathBuf,
    /// The checkout; `None` for a bare repository.
    pub work_tree: Option<PathBuf>,
}

impl Source {
    /// Finds the repository at `dir`.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let tried = format!("use {} as a base", dir.display());
        let dir = readable(&tried, dir)?;
        Self::at(&tried, &dir)?.ok_or_else(|| {
            Failure::usage(&tried, "it is not a git repository").help(
                "give a git checkout of FreeBSD or its git directory; for an unpacked tar file, \
                 run `git init && git add -f . && git commit -m import` in it first",
            )
        })
    }

    /// Returns the repository whose top is `dir`, an absolute path, if there is
    /// one.
    pub fn at(tried: &str, dir: &Path) -> Result<Option<Self>, Failure> {
        let parent = dir.parent().unwrap_or(dir);
        let what = ["--git-dir", "--git-common-dir", "--is-inside-work-tree"];
        let Some(answer) = rev_parse(tried, dir, Some(parent), &what)? else {
            return Ok(None);
        };
        let mut lines = answer.lines();
        let mut path = || lines.next().map(PathBuf::from);
        let (Some(git_dir), Some(common_dir)) = (path(), path()) else {
            return Err(Failure::infra(tried, "git printed no path")
                .help("`cargo xtask doctor` checks the version of git"));
        };
        let in_work_tree = lines.next() == Some("true");
        Ok(Some(Self {
            work_tree: in_work_tree.then(|| dir.to_owned()),
            git_dir,
            common_dir,
            dir: dir.to_owned(),
        }))
    }

    /// Returns the commit that is checked out.
    pub fn head(&self) -> Result<String, Failure> {
        let tried = format!("use {} as a base", self.dir.display());
        let ran = self.git().run(&tried, &["rev-parse", "--verify", "HEAD"])?;
        if ran.ok {
            return Ok(ran.text());
        }
        Err(Failure::usage(tried, "it has no commit yet")
            .help("commit the tree in it: git add -f . && git commit -m import"))
    }

    /// Returns git in this repository, to read it.
    pub fn git(&self) -> Git {
        Git::new(&self.git_dir)
    }

    /// Returns the directory of its objects.
    pub fn objects(&self) -> PathBuf {
        self.common_dir.join("objects")
    }

    /// Returns the content of its `shallow` file, if it is a shallow clone.
    pub fn shallow(&self) -> Option<Vec<u8>> {
        fs::read(self.common_dir.join("shallow")).ok()
    }

    /// Returns the path of the index of its checkout.
    pub fn index(&self) -> PathBuf {
        self.git_dir.join("index")
    }
}

/// Returns `dir` as an absolute path, if it is a readable directory.
fn readable(tried: &str, dir: &Path) -> Result<PathBuf, Failure> {
    let looked = fs::canonicalize(dir).and_then(|path| fs::read_dir(&path).map(|_| path));
    looked.map_err(|error| refuse(tried, dir, error))
}

/// Returns the failure of a directory that cannot be used.
fn refuse(tried: &str, dir: &Path, error: io::Error) -> Failure {
    let at = dir.display();
    match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(tried, format!("{at} does not exist"))
            .help("give --src the path of a FreeBSD checkout or git directory"),
        io::ErrorKind::NotADirectory => Failure::usage(tried, format!("{at} is not a directory"))
            .help("give --src the path of a FreeBSD checkout or git directory"),
        io::ErrorKind::PermissionDenied => {
            Failure::infra(tried, format!("this user may not read {at}")).help(format!(
                "run as a user who may, or allow it: chmod -R a+rX {at}"
            ))
        }
        _ => Failure::infra(tried, format!("{at} cannot be read")).source(error),
    }
}

/// Returns the git directory of the checkout that `dir` is in, and the path of
/// `dir` from its top: empty, or with a `/` at its end.
pub fn around(tried: &str, dir: &Path) -> Result<Option<(PathBuf, String)>, Failure> {
    let Some(answer) = rev_parse(tried, dir, None, &["--git-dir", "--show-prefix"])? else {
        return Ok(None);
    };
    let mut lines = answer.lines();
    let git_dir = lines.next().unwrap_or_default().into();
    Ok(Some((git_dir, lines.next().unwrap_or_default().to_owned())))
}

/// Runs `git rev-parse` in `dir`; `None` if there is no repository below
/// `ceiling`.
fn rev_parse(
    tried: &str,
    dir: &Path,
    ceiling: Option<&Path>,
    what: &[&str],
) -> Result<Option<String>, Failure> {
    let args = [&["rev-parse", "--path-format=absolute"], what].concat();
    let ran = Git::discover(dir, ceiling).run(tried, &args)?;
    // Not trimmed: an empty prefix is a line of its own.
    let text = || String::from_utf8_lossy(&ran.stdout).into_owned();
    Ok(ran.ok.then(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_core::failure::rendered;

    #[test]
    fn a_folder_that_cannot_be_used_is_refused_with_the_reason() {
        let mut texts = Vec::new();
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::NotADirectory,
            io::ErrorKind::PermissionDenied,
        ] {
            let failure = refuse("use /src as a base", Path::new("/src"), kind.into());
            texts.push(rendered(&failure));
        }
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_folder_inside_another_repository_is_not_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let outer = crate::base::fixtures::tree(dir.path(), "outer", 1_501_000);
        fs::create_dir_all(outer.join("unpacked/sys")).unwrap();
        let failure = Source::open(&outer.join("unpacked")).unwrap_err();
        let text = rendered(&failure).replace(&*dir.path().to_string_lossy(), "TMP");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn checkouts_worktrees_and_bare_repositories_are_found() {
        use crate::base::fixtures::{git, tree};
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let checkout = tree(&root, "src", 1_501_000);
        git(&checkout, &["worktree", "add", "-q", "../side"]);
        git(&root, &["clone", "-q", "--bare", "src", "bare.git"]);
        let objects = checkout.join(".git/objects");
        for (path, objects, checked_out) in [
            ("src", objects.clone(), true),
            ("side", objects.clone(), true),
            ("src/.git", objects, false),
            ("bare.git", root.join("bare.git/objects"), false),
        ] {
            let source = Source::open(&root.join(path)).unwrap();
            assert_eq!(source.objects(), objects, "{path}");
            assert_eq!(source.work_tree.is_some(), checked_out, "{path}");
            assert_eq!(source.head().unwrap().len(), 40, "{path}");
        }
    }
}

//! The repository as the checks see it: its files and its last commits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xshell::Shell;

use crate::commits;

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path below the root, with `/`.
    pub path: String,
    /// The content of the file.
    pub text: String,
}

impl Source {
    /// Reports whether the file's name ends with one of these extensions.
    pub fn is(&self, extensions: &[&str]) -> bool {
        let name = self.name();
        name.rsplit_once('.')
            .is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    /// Returns the last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Returns the lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().zip(1..).map(|(line, at)| (at, line))
    }
}

/// A commit of this repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its abbreviated id.
    pub id: String,
    /// How many parents it has.
    pub parents: usize,
    /// The first line of its message.
    pub subject: String,
}

/// Everything that the checks read.
#[derive(Debug, Clone, Default)]
pub struct Repo {
    /// The paths of all files, of binary ones too, below the root.
    pub paths: Vec<String>,
    /// The text files.
    pub sources: Vec<Source>,
    /// The last commits, the newest first.
    pub commits: Vec<Commit>,
}

/// Why the repository cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A git command failed.
    #[error("git cannot list the repository")]
    Git(#[from] xshell::Error),
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    File(PathBuf, #[source] io::Error),
}

impl Repo {
    /// Reads the files below `root` that git tracks, and those that it neither
    /// tracks nor ignores: a new file is checked before it is committed.
    ///
    /// # Errors
    /// `root` is not in a git repository, or a file cannot be read.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let shell = Shell::new()?;
        shell.change_dir(root);
        let files = xshell::cmd!(
            shell,
            "git ls-files -z --cached --others --exclude-standard"
        )
        .quiet()
        .read()?;
        let mut repo = Self {
            commits: commits::since_the_rule(&shell)?,
            ..Self::default()
        };
        let mut paths: Vec<&str> = files.split('\0').filter(|path| !path.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let bytes = match fs::read(root.join(path)) {
                Ok(bytes) => bytes,
                // git lists a file that was removed until that is committed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // A link to a folder.
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => continue,
                Err(error) => return Err(ReadError::File(path.into(), error)),
            };
            repo.paths.push(path.to_owned());
            if let Ok(text) = String::from_utf8(bytes) {
                repo.sources.push(Source {
                    path: path.to_owned(),
                    text,
                });
            }
        }
        Ok(repo)
    }

    /// Returns the text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        let source = self.sources.iter().find(|source| source.path == path)?;
        Some(&source.text)
    }

    /// Returns the text files whose name ends with one of these extensions.
    pub fn with_extension<'a>(
        &'a self,
        extensions: &'a [&'a str],
    ) -> impl Iterator<Item = &'a Source> {
        self.sources
            .iter()
            .filter(move |source| source.is(extensions))
    }

    /// Creates a repository of these files, for a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            sources: files
                .iter()
                .map(|(path, text)| Source {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
            commits: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tracked_and_new_files_but_no_ignored_or_binary_ones() {
        let dir = tempfile::tempdir().unwrap();
        let shell = Shell::new().unwrap();
        shell.change_dir(dir.path());
        for (path, bytes) in [
            (".gitignore", b"ignored\n".as_slice()),
            ("tracked", b"a\n"),
            ("removed", b"b\n"),
            ("new", b"c\n"),
            ("ignored", b"d\n"),
            ("binary", b"\xff\xfe"),
        ] {
            fs::write(dir.path().join(path), bytes).unwrap();
        }
        xshell::cmd!(shell, "git init -q").run().unwrap();
        xshell::cmd!(shell, "git add .gitignore tracked removed")
            .run()
            .unwrap();
        fs::remove_file(dir.path().join("removed")).unwrap();
        let repo = Repo::read(dir.path()).unwrap();
        assert_eq!(repo.paths, [".gitignore", "binary", "new", "tracked"]);
        assert_eq!(repo.text("new"), Some("c\n"));
        assert_eq!(repo.text("binary"), None);
        assert!(repo.commits.is_empty());
    }
}

//! Describes a file tree as data.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::InfraError;

/// The source of a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of the host.
    Host(PathBuf),
    /// The bytes themselves.
    Bytes(Vec<u8>),
}

/// A node of the tree. Its owner is root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory with this mode.
    Dir(u32),
    /// A file with this mode.
    File(u32, Content),
    /// A symbolic link to this target.
    Link(String),
}

/// A file tree. Paths are relative to its root, with `/` between names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Returns a tree with only a root directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, and the directories above it (mode 755).
    #[must_use]
    pub fn with(mut self, path: &str, entry: Entry) -> Self {
        let path = path.trim_matches('/');
        for (slash, _) in path.match_indices('/') {
            let above = path[..slash].to_owned();
            self.0.entry(above).or_insert(Entry::Dir(0o755));
        }
        self.0.insert(path.to_owned(), entry);
        self
    }

    /// Adds a directory.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.with(path, Entry::Dir(mode))
    }

    /// Adds a copy of a file of the host.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, host: impl Into<PathBuf>) -> Self {
        self.with(path, Entry::File(mode, Content::Host(host.into())))
    }

    /// Adds a file with these bytes.
    #[must_use]
    pub fn text(self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.with(path, Entry::File(mode, Content::Bytes(bytes.into())))
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.with(path, Entry::Link(target.to_owned()))
    }

    /// Returns the entries, parents before children.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Returns the tree as an mtree(5) list with every timestamp set to `time`,
    /// in seconds.
    pub fn mtree(&self, time: u64) -> String {
        let mut text = String::from("#mtree\n");
        let mut line = |path: &str, kind: &str, mode: u32| {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "{path} type={kind} uid=0 gid=0 mode={mode:04o} time={time}.0"
            );
            text.push('\n');
        };
        line(".", "dir", 0o755);
        for (path, entry) in &self.0 {
            let path = format!("./{}", escape(path));
            match entry {
                Entry::Dir(mode) => line(&path, "dir", *mode),
                Entry::File(mode, _) => line(&path, "file", *mode),
                Entry::Link(target) => {
                    let kind = format!("link link={}", escape(target));
                    line(&path, &kind, 0o777);
                }
            }
        }
        text
    }

    /// Creates the tree's names and contents under `dir`. The list sets modes
    /// and owners.
    pub fn stage(&self, dir: &Path) -> Result<(), InfraError> {
        for (path, entry) in &self.0 {
            let to = dir.join(path);
            let failed = |error| InfraError::io("stage", &to, error);
            match entry {
                Entry::Dir(_) => fs::create_dir_all(&to).map_err(failed)?,
                Entry::Link(target) => std::os::unix::fs::symlink(target, &to).map_err(failed)?,
                Entry::File(_, Content::Bytes(bytes)) => fs::write(&to, bytes).map_err(failed)?,
                Entry::File(_, Content::Host(from)) => place(from, &to)?,
            }
        }
        Ok(())
    }
}

/// Creates `to` from the file `from`, as a hard link if the file system allows
/// it.
pub(crate) fn place(from: &Path, to: &Path) -> Result<(), InfraError> {
    let from = fs::canonicalize(from).map_err(|e| InfraError::io("read", from, e))?;
    if fs::hard_link(&from, to).is_ok() {
        return Ok(());
    }
    // If the source can be opened, the target is at fault.
    fs::File::open(&from).map_err(|e| InfraError::io("read", &from, e))?;
    match fs::copy(&from, to) {
        Ok(_) => Ok(()),
        Err(error) => Err(InfraError::io("write", to, error)),
    }
}

/// Returns `text` with the special characters of a list in octal.
fn escape(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._/+-@,:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\{byte:03o}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_a_tree() {
        let tree = Tree::new()
            .dir("dev", 0o555)
            .dir("tmp", 0o1777)
            .text("sbin/init", 0o555, *b"x")
            .text("a b#c", 0o644, *b"")
            .link("suites/now", "../sbin/init");
        insta::assert_snapshot!(tree.mtree(1_700_000_000), @r"
        #mtree
        . type=dir uid=0 gid=0 mode=0755 time=1700000000.0
        ./a\040b\043c type=file uid=0 gid=0 mode=0644 time=1700000000.0
        ./dev type=dir uid=0 gid=0 mode=0555 time=1700000000.0
        ./sbin type=dir uid=0 gid=0 mode=0755 time=1700000000.0
        ./sbin/init type=file uid=0 gid=0 mode=0555 time=1700000000.0
        ./suites type=dir uid=0 gid=0 mode=0755 time=1700000000.0
        ./suites/now type=link link=../sbin/init uid=0 gid=0 mode=0777 time=1700000000.0
        ./tmp type=dir uid=0 gid=0 mode=1777 time=1700000000.0
        ");
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::new().file("boot/kdk.ko", 0o444, "/nonexistent/kdk.ko");
        let error = tree.stage(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("could not read /nonexistent/kdk.ko: No such file"));
    }
}

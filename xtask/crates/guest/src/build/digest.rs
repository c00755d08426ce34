//! Digests of source folders and git trees, as inputs of the store.

use std::fs;
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::store::Inputs;

/// The name of the folder of mutants in that of a suite.
pub const MUTANTS: &str = "mutants";

/// Returns a digest of every file below the folders `dirs` of `root`, with the
/// files' names. Folders that tools write (`target`, hidden ones) do not count,
/// nor do mutants, which no program is made of.
pub fn folders(root: &Path, dirs: &[&str]) -> Result<String, Failure> {
    Ok(Sources::read(root, dirs)?.digest(|_| true))
}

/// Returns the files that [`folders`] digests, sorted.
pub fn files(root: &Path, dirs: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for dir in dirs {
        collect(&root.join(dir), &mut files)?;
    }
    files.sort();
    Ok(files)
}

/// The same files with their contents, to digest in parts.
pub struct Sources(Vec<(PathBuf, Vec<u8>)>);

impl Sources {
    /// Reads the files that [`folders`] digests.
    pub fn read(root: &Path, dirs: &[&str]) -> Result<Self, Failure> {
        let mut sources = Vec::new();
        for file in files(root, dirs)? {
            let content =
                fs::read(&file).map_err(|error| Failure::io("read a source", &file, error))?;
            let name = file.strip_prefix(root).unwrap_or(&file).to_owned();
            sources.push((name, content));
        }
        Ok(Self(sources))
    }

    /// Adds the files that `wanted` selects to the inputs of a result, each by
    /// its path.
    pub fn declare(&self, inputs: &mut Inputs, wanted: impl Fn(&Path) -> bool) {
        for (name, content) in self.0.iter().filter(|(name, _)| wanted(name)) {
            inputs.bytes(name.to_string_lossy(), content);
        }
    }

    /// Returns a digest of the files that `wanted` selects by their path below
    /// the root.
    pub fn digest(&self, wanted: impl Fn(&Path) -> bool) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, content) in self.0.iter().filter(|(name, _)| wanted(name)) {
            hasher.update(name.as_os_str().as_encoded_bytes());
            hasher.update(&(content.len() as u64).to_le_bytes());
            hasher.update(content);
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_file() {
        into.push(path.to_owned());
        return Ok(());
    }
    let failed = |error| Failure::io("read the sources", path, error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_source = name != "target" && name != MUTANTS;
        if is_source && !name.as_encoded_bytes().starts_with(b".") {
            collect(&entry.path(), into)?;
        }
    }
    Ok(())
}

/// Returns the files of the tree of `commit`, as `(path, object id)`.
pub fn entries(repo: &Path, commit: &str) -> Result<Vec<(String, String)>, Failure> {
    let listing = Git::new(repo).text("list the files of the tree", &["ls-tree", "-r", commit])?;
    Ok(parse_ls_tree(&listing))
}

fn parse_ls_tree(listing: &str) -> Vec<(String, String)> {
    listing
        .lines()
        .filter_map(|line| {
            let (meta, name) = line.split_once('\t')?;
            let id = meta.split(' ').nth(2)?;
            Some((name.to_owned(), id.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_or_changed_file_is_another_digest() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/x"), "1").unwrap();
        let first = folders(root, &["a"]).unwrap();
        fs::write(root.join("a/x"), "2").unwrap();
        let second = folders(root, &["a"]).unwrap();
        fs::rename(root.join("a/x"), root.join("a/y")).unwrap();
        let third = folders(root, &["a"]).unwrap();
        assert!(first != second && second != third);
    }

    #[test]
    fn reads_a_tree_listing() {
        let listing = "040000 tree aa11\tsys\n100644 blob bb22\tMakefile with space";
        assert_eq!(
            parse_ls_tree(listing),
            [
                ("sys".to_owned(), "aa11".to_owned()),
                ("Makefile with space".to_owned(), "bb22".to_owned())
            ]
        );
    }
}

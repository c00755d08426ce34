//! The files of a base in the cache folder: list, measure, remove.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::base::{record, repo, worktree};
use kdk_core::cache_dir::CacheDir;
use walkdir::WalkDir;

/// Returns all files of the base `name`. Its record comes first, so that an
/// interrupted removal leaves garbage and not a base.
pub fn of(cache: &CacheDir, name: &str) -> Vec<PathBuf> {
    let mut paths = vec![
        record::path(cache, name),
        repo::path(cache, name),
        cache.history_of(name),
    ];
    for place in places(cache, name) {
        paths.extend([
            worktree::path(cache, &place),
            cache.obj().join(&place),
            cache.confined_obj().join(&place),
        ]);
    }
    paths.extend(store_entries(cache, name));
    paths.retain(|path| path.symlink_metadata().is_ok());
    paths
}

/// Returns the names of the checkouts of the base `name`: its own, and those of
/// kernels that are built side by side.
pub fn places(cache: &CacheDir, name: &str) -> Vec<String> {
    let mut places = vec![name.to_owned()];
    let folders = [cache.trees(), cache.obj(), cache.confined_obj()];
    let entries = folders
        .iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    for entry in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        if worktree::is_side_place(name, &entry) && !places.contains(&entry) {
            places.push(entry);
        }
    }
    places
}

/// Returns the store entries of the base `name`.
pub fn store_entries(cache: &CacheDir, name: &str) -> Vec<PathBuf> {
    let Ok(kinds) = fs::read_dir(cache.store()) else {
        return Vec::new();
    };
    let places = places(cache, name);
    let of = |kind: fs::DirEntry| {
        places
            .iter()
            .map(move |place| kind.path().join(place))
            .collect::<Vec<_>>()
    };
    kinds.flatten().flat_map(of).collect()
}

/// Returns the disk usage of `path` and everything below it in bytes. Does not
/// follow links.
pub fn disk_usage(path: &Path) -> u64 {
    WalkDir::new(path)
        .follow_root_links(false)
        .into_iter()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}

/// Removes `path` and everything below it. It is no error if it does not exist.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(entry) if entry.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::base::fixtures::write;

    #[test]
    fn a_base_owns_its_files_in_every_folder_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        for name in ["main", "head-2014"] {
            write(&cache.bases().join(format!("{name}.json")), "{}");
            write(&cache.trees().join(name).join("Makefile"), "x");
            write(&cache.history().join(name).join("1.json"), "{}");
            write(
                &cache.store().join("kernel").join(name).join("k/kernel"),
                "x",
            );
        }
        let all = of(&cache, "main");
        assert_eq!(all.len(), 4);
        for path in all {
            assert!(disk_usage(&path) > 0);
            remove(&path).unwrap();
            remove(&path).unwrap();
        }
        assert!(of(&cache, "main").is_empty());
        assert_eq!(of(&cache, "head-2014").len(), 4);
    }

    #[test]
    fn links_are_removed_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("far/file"), "x");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("far"), &link).unwrap();
        assert!(disk_usage(&link) < 4096 * 2);
        remove(&link).unwrap();
        assert!(dir.path().join("far/file").exists());
    }
}

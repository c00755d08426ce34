//! Which files of a tree its kernel, its host tools and `kdk.ko` are made of,
//! as the compilers recorded it in their dependency files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;

use super::make_py::KERNEL;

/// Links in a kernel's object directory, and what they point at in most trees.
const LINKS: [(&str, &str); 3] = [
    ("machine/", "sys/amd64/include/"),
    ("x86/", "sys/x86/include/"),
    ("i386/", "sys/i386/include/"),
];

/// Returns what [`files`] returns if a kernel of `base` was built. The dependency
/// files of a first build that was interrupted name only a part of the files;
/// none are known then.
///
/// # Errors
/// The object directory cannot be read.
pub fn of_whole_kernel(cache: &CacheDir, base: &str) -> Result<BTreeSet<String>, Failure> {
    let (found, has_kernel) = scan(cache, base)?;
    Ok(if has_kernel { found } else { BTreeSet::new() })
}

/// Returns the files of the tree of `base` that the builds so far have read, by
/// their paths in the tree; none if it was not built, or by a builder that
/// records no dependencies.
///
/// # Errors
/// The object directory cannot be read.
pub fn files(cache: &CacheDir, base: &str) -> Result<BTreeSet<String>, Failure> {
    scan(cache, base).map(|(found, _)| found)
}

/// Returns these files, and whether the objects of a kernel are complete.
fn scan(cache: &CacheDir, base: &str) -> Result<(BTreeSet<String>, bool), Failure> {
    let mut has_kernel = false;
    let tree = cache.trees().join(base);
    let mut found = BTreeSet::new();
    let mut folders = vec![cache.obj().join(base)];
    while let Some(folder) = folders.pop() {
        let failed = |error| Failure::io("read the dependency files of a build", &folder, error);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        let mut links = None;
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && name.as_encoded_bytes().starts_with(b".depend.") {
                let text = fs::read(entry.path()).map_err(failed)?;
                let links = links.get_or_insert_with(|| targets(&folder, &tree));
                read(&String::from_utf8_lossy(&text), &tree, links, &mut found);
            } else if entry.file_name() == KERNEL {
                has_kernel = true;
            }
        }
    }
    if !found.is_empty() {
        found.extend(of_module(&cache.store().join("kmod").join(base)));
    }
    Ok((found, has_kernel))
}

/// Returns the links of an object directory with the folders of the tree that
/// they point at.
fn targets(objects: &Path, tree: &Path) -> [(&'static str, PathBuf); 3] {
    LINKS.map(|(link, usual)| {
        let made = fs::read_link(objects.join(link.trim_end_matches('/'))).ok();
        let within = made.and_then(|to| to.strip_prefix(tree).map(Path::to_owned).ok());
        (link, within.unwrap_or_else(|| usual.into()))
    })
}

/// Adds the files below `tree` that a dependency file names.
fn read(text: &str, tree: &Path, links: &[(&'static str, PathBuf)], into: &mut BTreeSet<String>) {
    for word in text.split_whitespace() {
        let word = word.trim_end_matches(':');
        if let Ok(path) = Path::new(word).strip_prefix(tree) {
            into.insert(plain(path));
        }
        for (link, target) in links {
            if let Some(rest) = word.strip_prefix(link) {
                into.insert(plain(&target.join(rest)));
            }
        }
    }
}

/// Returns a path without `.` and `..`.
fn plain(path: &Path) -> String {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            other => out.push(other),
        }
    }
    out.to_string_lossy().into_owned()
}

/// Returns the files that the modules in the store were made of. A module that
/// cannot be read is no longer there.
fn of_module(family: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(family).into_iter().flatten().flatten();
    let inputs = entries.filter_map(|entry| {
        let text = fs::read(entry.path().join("inputs.json")).ok()?;
        serde_json::from_slice::<Inputs>(&text).ok()
    });
    inputs
        .flat_map(|inputs| inputs.digests.into_keys())
        .filter(|name| name.starts_with("sys/"))
        .collect()
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;

    #[test]
    fn dependency_files_name_the_files_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        assert!(files(&cache, "b").unwrap().is_empty());
        let (tree, objects) = (cache.trees().join("b"), cache.obj().join("b/src/sys/KDK"));
        fs::create_dir_all(&objects).unwrap();
        let tree = tree.display();
        let text = format!(
            "x.o: \\\n  {tree}/sys/kern/x.c opt_global.h \\\n {tree}/sys/dev/a/../b/b.h \\\n  machine/endian.h \
             /usr/include/stdio.h\n"
        );
        fs::write(objects.join(".depend.x.o"), text).unwrap();
        fs::write(objects.join("depend"), format!("{tree}/sys/no.c")).unwrap();
        let module = cache.store().join("kmod/b/1");
        fs::create_dir_all(&module).unwrap();
        let inputs = r#"{"kind":"kmod","base":"b","digests":{"sys/net/f.c":"1","kmod/x.rs":"2"}}"#;
        fs::write(module.join("inputs.json"), inputs).unwrap();
        let found: Vec<String> = files(&cache, "b").unwrap().into_iter().collect();
        let want = [
            "sys/amd64/include/endian.h",
            "sys/dev/b/b.h",
            "sys/kern/x.c",
            "sys/net/f.c",
        ];
        assert_eq!(found, want);
        // A tree that has the machine's headers elsewhere.
        let there = cache.trees().join("b/sys/arch/amd64/include");
        std::os::unix::fs::symlink(there, objects.join("machine")).unwrap();
        let moved = files(&cache, "b").unwrap();
        assert!(
            moved.contains("sys/arch/amd64/include/endian.h"),
            "{moved:?}"
        );
        // The kernel's first build has not ended.
        assert!(of_whole_kernel(&cache, "b").unwrap().is_empty());
        fs::write(objects.join(KERNEL), "elf").unwrap();
        assert_eq!(of_whole_kernel(&cache, "b").unwrap(), moved);
    }
}

//! Which files of a tree its kernel, its host tools and `kdk.ko` are made of,
//! as the compilers recorded it in their dependency files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;

/// Links in a kernel's object directory, and what they point at.
const LINKS: [(&str, &str); 3] = [
    ("machine/", "sys/amd64/include/"),
    ("x86/", "sys/x86/include/"),
    ("i386/", "sys/i386/include/"),
];

/// Returns the files of the tree of `base` that the builds so far have read, by
/// their paths in the tree; none if it was not built, or by a builder that
/// records no dependencies.
///
/// # Errors
/// The object directory cannot be read.
pub fn files(cache: &CacheDir, base: &str) -> Result<BTreeSet<String>, Failure> {
    let tree = cache.trees().join(base);
    let mut found = BTreeSet::new();
    let mut folders = vec![cache.obj().join(base)];
    while let Some(folder) = folders.pop() {
        let failed = |error| Failure::io("read the dependency files of a build", &folder, error);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            } else if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(b".depend.")
            {
                let text = fs::read(entry.path()).map_err(failed)?;
                read(&String::from_utf8_lossy(&text), &tree, &mut found);
            }
        }
    }
    if !found.is_empty() {
        found.extend(of_module(&cache.store().join("kmod").join(base)));
    }
    Ok(found)
}

/// Adds the files below `tree` that a dependency file names.
fn read(text: &str, tree: &Path, into: &mut BTreeSet<String>) {
    for word in text.split_whitespace() {
        let word = word.trim_end_matches(':');
        if let Ok(path) = Path::new(word).strip_prefix(tree) {
            into.insert(plain(path));
        }
        for (link, target) in LINKS {
            if let Some(rest) = word.strip_prefix(link) {
                into.insert(plain(&Path::new(target).join(rest)));
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
    }
}

//! The files that kdk.ko is built from: their names and digests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The names of files of a tree (`sys/net/iflib.c`), of the generated headers
/// of a kernel (`obj/opt_global.h`), and of the workspace (`kmod/shim/kpi.h`).
#[derive(Debug)]
pub struct Files {
    roots: [(&'static str, PathBuf); 3],
    digests: Mutex<BTreeMap<String, Option<String>>>,
}

impl Files {
    /// Returns the names for a tree with the folder `sys`, a kernel with the
    /// folder `objects`, and the workspace.
    pub fn new(sys: &Path, objects: &Path, workspace: &Path) -> Self {
        Self {
            roots: [("sys", sys), ("obj", objects), ("", workspace)]
                .map(|(name, folder)| (name, real(folder))),
            digests: Mutex::default(),
        }
    }

    /// Returns the name of the file at `path`, which may lead through links.
    pub fn name(&self, path: &Path) -> String {
        let path = real(path);
        let named = self.roots.iter().find_map(|(name, root)| {
            let rest = path.strip_prefix(root).ok()?;
            Some(Path::new(name).join(rest))
        });
        named.unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Returns the digest of the file of this name, if it can be read. A file
    /// is read once.
    pub fn digest(&self, name: &str) -> Option<String> {
        let known = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known().get(name) {
            return digest.clone();
        }
        let content = fs::read(self.path(name)).ok();
        let digest = content.map(|content| blake3::hash(&content).to_hex().to_string());
        known().insert(name.to_owned(), digest.clone());
        digest
    }

    fn path(&self, name: &str) -> PathBuf {
        let found = self.roots.iter().find_map(|(prefix, root)| {
            let rest = Path::new(name).strip_prefix(prefix).ok()?;
            Some(root.join(rest))
        });
        found.unwrap_or_else(|| name.into())
    }
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns the files that the rule of a depfile (clang's `-MD`) names behind
/// its target; none if it is not such a rule.
pub fn prerequisites(rule: &str) -> Vec<String> {
    let (_, list) = rule.split_once(": ").unwrap_or_default();
    let list = list.replace("\\\n", " ").replace("\\ ", "\0");
    list.split_whitespace()
        .map(|file| {
            file.replace('\0', " ")
                .replace("\\#", "#")
                .replace("$$", "$")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depfile_names_what_was_read() {
        for (rule, files) in [
            ("", &[][..]),
            ("a.o: a.c", &["a.c"]),
            (
                "a.o: a.c \\\n  /t/sys/param.h \\\n  x.h\n",
                &["a.c", "/t/sys/param.h", "x.h"],
            ),
            ("a.o: /my\\ tree/a.c b\\#$$.h", &["/my tree/a.c", "b#$.h"]),
        ] {
            assert_eq!(prerequisites(rule), files, "{rule}");
        }
    }

    #[test]
    fn a_file_is_named_by_where_it_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["kdk/kmod", "kdk/cache/tree/sys/amd64/include", "obj"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let sys = at("kdk/cache/tree/sys");
        std::os::unix::fs::symlink(sys.join("amd64/include"), at("obj/machine")).unwrap();
        let files = Files::new(&sys, &at("obj"), &at("kdk"));
        for (path, name) in [
            ("kdk/kmod/kpi.h", "kmod/kpi.h"),
            ("obj/opt_global.h", "obj/opt_global.h"),
            ("obj/machine/cpu.h", "sys/amd64/include/cpu.h"),
            ("kdk/kmod/../cache/tree/sys/a.c", "sys/a.c"),
        ] {
            assert_eq!(files.digest(name), None, "{name}");
            fs::write(at(path), path).unwrap();
            assert_eq!(files.name(&at(path)), name);
            let files = Files::new(&sys, &at("obj"), &at("kdk"));
            let digest = blake3::hash(path.as_bytes()).to_hex().to_string();
            assert_eq!(files.digest(name), Some(digest), "{name}");
        }
        assert_eq!(files.name(Path::new("/no/file.h")), "/no/file.h");
    }
}

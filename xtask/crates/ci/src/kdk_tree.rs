//! This repository as it is, or as an earlier commit has it: what decides about
//! keys beside the series and the guest's programs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;

/// What says how kernels are built and booted, beside the configurations.
const KERNELS: [&str; 3] = [
    "vm/bases",
    "xtask/crates/guest/src/build",
    "xtask/crates/series/src/base/definition.rs",
];

/// The checks of one patch.
const LINT: [&str; 2] = [
    "xtask/crates/series/src/lint",
    "xtask/crates/series/src/lint.rs",
];

/// What jobs do.
const JOBS: [&str; 2] = ["xtask/crates/ci/src/keys.rs", "xtask/crates/ci/src/work.rs"];

/// This repository, and whether kdk itself is the same there. Versions are
/// constants in kdk, so those of an earlier kdk are known only if its sources are
/// the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KdkTree {
    /// The repository with kernel configurations and mutants.
    pub root: PathBuf,
    /// Whether it builds and boots kernels in the same way.
    pub has_same_kernels: bool,
    /// Whether it has the same checks of patches.
    pub has_same_lint: bool,
    /// Whether its jobs do the same.
    pub has_same_jobs: bool,
}

impl KdkTree {
    /// Returns the repository as it is.
    pub fn now() -> Self {
        Self {
            root: workspace().to_owned(),
            has_same_kernels: true,
            has_same_lint: true,
            has_same_jobs: true,
        }
    }

    /// Returns the earlier repository at `root`, compared with the one at `now`.
    ///
    /// # Errors
    /// A source cannot be read.
    pub fn earlier(root: PathBuf, now: &Path) -> Result<Self, Failure> {
        let same = |parts: &[&str]| -> Result<bool, Failure> {
            for part in parts {
                if content(&root.join(part))? != content(&now.join(part))? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        Ok(Self {
            has_same_kernels: same(&KERNELS)?,
            has_same_lint: same(&LINT)?,
            has_same_jobs: same(&JOBS)?,
            root,
        })
    }
}

/// Returns the content of a file or of all files in a folder, by their paths in
/// it; nothing if there is neither.
fn content(path: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let mut files = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(at) = open.pop() {
        let full = match at.as_os_str().is_empty() {
            true => path.to_owned(),
            false => path.join(&at),
        };
        let failed =
            |error: io::Error| Failure::io("compare kdk with an earlier one", &full, error);
        if full.is_dir() {
            for entry in fs::read_dir(&full).map_err(failed)? {
                open.push(at.join(entry.map_err(failed)?.file_name()));
            }
        } else if full.is_file() {
            files.insert(at, fs::read(&full).map_err(failed)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_decides_about_its_versions() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let same = |changed: Option<&str>| {
            let _ = fs::remove_dir_all(dir.path().join("old"));
            for root in ["old", "now"] {
                for part in KERNELS.iter().chain(&LINT).chain(&JOBS) {
                    let part = match part.ends_with(".rs") {
                        true => (*part).to_owned(),
                        false => format!("{part}/sub/file"),
                    };
                    write(dir.path().join(root).join(part), "same");
                }
            }
            let old = dir.path().join("old");
            if let Some(changed) = changed {
                write(old.join(changed), "other");
            }
            let tree = KdkTree::earlier(old, &dir.path().join("now")).unwrap();
            [
                tree.has_same_kernels,
                tree.has_same_lint,
                tree.has_same_jobs,
            ]
        };
        for (changed, want) in [
            (None, [true, true, true]),
            (Some("xtask/crates/ci/src/store.rs"), [true, true, true]),
            (Some("vm/bases/sub/file"), [false, true, true]),
            (
                Some("xtask/crates/guest/src/build/new.rs"),
                [false, true, true],
            ),
            (Some("xtask/crates/series/src/lint.rs"), [true, false, true]),
            (
                Some("xtask/crates/series/src/lint/style.rs"),
                [true, false, true],
            ),
            (Some("xtask/crates/ci/src/work.rs"), [true, true, false]),
        ] {
            assert_eq!(same(changed), want, "{changed:?}");
        }
        // They are the places of this repository.
        for part in KERNELS.iter().chain(&LINT).chain(&JOBS) {
            assert!(
                !content(&workspace().join(part)).unwrap().is_empty(),
                "{part}"
            );
        }
    }
}

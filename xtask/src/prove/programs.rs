//! The sources of what runs in the guest, as far as tests depend on them: a
//! suite's own files change nothing for the tests of other suites.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use crate::build::digest;
use crate::failure::Failure;

/// What guests are made of, and the configuration of their kernels.
const FOLDERS: [&str; 4] = ["kmod", "userland-tests", "vm/conf", "vm/bases"];
/// Where a suite of userland programs has its folder, and what else is there.
const USERLAND: &str = "userland-tests";
const SHARED: [&str; 4] = ["init", "relay", "scene", "sys"];
/// Where a suite of kdk.ko has its folder, and what its other files begin
/// with.
const KERNEL: &str = "kmod";
const KERNEL_TESTS: &str = "kmod/src/tests";
const SHIM: &str = "kdk_";
/// Files of a suite that are named after what they are.
const ALSO: [(&str, &str); 5] = [
    ("nic82599", "ixgbe"),
    ("nic-oracle", "ixgbe"),
    ("nic", "ixgbe"),
    ("pci", "ixgbe"),
    ("ixgbe_io", "ixgbe"),
];
/// In-kernel tests beside a userland suite of the same subsystem.
const IN_KERNEL: &str = "-kernel";

/// The suites that have files of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suites(BTreeSet<String>);

impl Suites {
    /// Those of the workspace at `root`.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn of(root: &Path) -> Result<Self, Failure> {
        let mut names = BTreeSet::new();
        for place in [USERLAND, KERNEL_TESTS] {
            let place = root.join(place);
            let failed = |error| Failure::io("look for suites", &place, error);
            for entry in std::fs::read_dir(&place).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if entry.path().is_dir() {
                    names.insert(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        for shared in SHARED {
            names.remove(shared);
        }
        Ok(Self(names))
    }

    /// Digest of the files below `root` that tests `patterns` depend on.
    ///
    /// # Errors
    /// A source cannot be read.
    pub fn digest(&self, root: &Path, patterns: &[String]) -> Result<String, Failure> {
        let named = self.named(patterns);
        digest::chosen(root, &FOLDERS, &|path| match (&named, self.owner(path)) {
            (Some(named), Some(owner)) => named.contains(owner),
            _ => true,
        })
    }

    /// The suites that `patterns` spell out; `None` where they may be of any.
    fn named(&self, patterns: &[String]) -> Option<BTreeSet<String>> {
        if patterns.is_empty() {
            return None;
        }
        let mut named = BTreeSet::new();
        for pattern in patterns {
            let suite = pattern.split('/').next().unwrap_or(pattern);
            if pattern.starts_with('!') || suite.contains(['*', '?']) {
                return None;
            }
            named.insert(suite.strip_suffix(IN_KERNEL).unwrap_or(suite).to_owned());
        }
        Some(named)
    }

    /// The suite that alone has to do with the file `path` of the workspace.
    fn owner(&self, path: &Path) -> Option<&String> {
        let own = |name: &Path| {
            let stem = name.file_stem()?.to_str()?;
            let stem = stem.strip_prefix(SHIM).unwrap_or(stem);
            let also = ALSO.iter().find(|(name, _)| *name == stem);
            self.0.get(also.map_or(stem, |(_, suite)| *suite))
        };
        let below = |top| path.strip_prefix(top).ok();
        match (below(USERLAND), below(KERNEL)) {
            (Some(rest), _) => own(Path::new(rest.components().next()?.as_os_str())),
            (None, Some(rest)) => rest
                .components()
                .filter(|part| matches!(part, Component::Normal(_)))
                .find_map(|part| own(Path::new(part.as_os_str()))),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites() -> Suites {
        let names = ["bench", "flowtable", "ixgbe", "kmod", "sendfile"];
        Suites(names.map(str::to_owned).into())
    }

    #[test]
    fn a_file_is_of_the_suite_that_it_is_named_after() {
        for (path, owner) in [
            ("userland-tests/sendfile/src/main.rs", Some("sendfile")),
            ("userland-tests/kmod/src/main.rs", Some("kmod")),
            ("userland-tests/sys/src/sendfile.rs", None),
            ("userland-tests/Cargo.toml", None),
            ("kmod/src/lib.rs", None),
            ("kmod/src/kpi/sendfile.rs", Some("sendfile")),
            ("kmod/shim/kdk_flowtable.c", Some("flowtable")),
            ("kmod/shim/kdk_shim.c", None),
            ("kmod/shim/kdk_pci.c", Some("ixgbe")),
            ("kmod/nic82599/src/lib.rs", Some("ixgbe")),
            ("kmod/nic-oracle/src/lib.rs", Some("ixgbe")),
            ("kmod/src/tests/flowtable/bench.rs", Some("flowtable")),
            ("kmod/src/tests/mod.rs", None),
            ("vm/conf/KDK", None),
        ] {
            let found = suites().owner(Path::new(path)).cloned();
            assert_eq!(found.as_deref(), owner, "{path}");
        }
    }

    #[test]
    fn patterns_may_be_of_one_suite_or_of_any() {
        for (patterns, want) in [
            (&["sendfile/a", "sendfile-kernel/*"][..], Some("sendfile")),
            (&["flowtable"], Some("flowtable")),
            (&["flowtable/a", "kmod/b"], Some("flowtable kmod")),
            (&["send*/a"], None),
            (&["*"], None),
            (&["sendfile/a", "!sendfile/b"], None),
            (&[], None),
        ] {
            let patterns: Vec<String> = patterns.iter().map(|&text| text.into()).collect();
            let named = suites().named(&patterns);
            let named = named.map(|named| Vec::from_iter(named).join(" "));
            assert_eq!(named.as_deref(), want, "{patterns:?}");
        }
    }

    #[test]
    fn only_what_tests_depend_on_makes_their_digest() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for path in [
            "kmod/src/tests/flowtable/mod.rs",
            "kmod/src/lib.rs",
            "userland-tests/sendfile/main.rs",
            "userland-tests/sys/lib.rs",
            "vm/conf/KDK",
            "vm/bases/a.yaml",
        ] {
            write(path, "before");
        }
        let digest = |pattern: &str| {
            let suites = Suites::of(root).unwrap();
            suites.digest(root, &[pattern.into()]).unwrap()
        };
        for (changed, sendfile, flowtable) in [
            ("userland-tests/sendfile/main.rs", true, false),
            ("kmod/src/tests/flowtable/mod.rs", false, true),
            ("kmod/src/lib.rs", true, true),
            ("userland-tests/sys/lib.rs", true, true),
            ("vm/conf/KDK", true, true),
        ] {
            let (all, one, two) = (digest("*"), digest("sendfile/*"), digest("flowtable/*"));
            write(changed, "after");
            assert_eq!(digest("sendfile/*") != one, sendfile, "{changed}");
            assert_eq!(digest("flowtable/*") != two, flowtable, "{changed}");
            assert_ne!(digest("*"), all, "{changed}");
        }
    }
}

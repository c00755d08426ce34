//! The sources of what runs in the guest, as far as tests depend on them: a
//! suite's own files change nothing for the tests of other suites.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use kdk_core::failure::Failure;
use kdk_guest::build::digest::Sources;
use kdk_guest::build::userland::SUITES;

/// What guests are made of, and the configuration of their kernels.
const FOLDERS: [&str; 4] = ["kmod", "userland-tests", "vm/conf", "vm/bases"];
/// Where a suite of userland programs has its folder.
const USERLAND: &str = "userland-tests";
const SUITES_FOLDER: &str = "suites";
/// Where kdk.ko's sources are, and what the C files' names begin with.
const KERNEL: &str = "kmod";
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

/// The sources, read once.
#[derive(Debug)]
pub struct Programs(Sources);

impl Programs {
    /// Those of the workspace at `root`.
    ///
    /// # Errors
    /// A source cannot be read.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        Ok(Self(Sources::read(root, &FOLDERS)?))
    }

    /// Digest of those that tests `patterns` depend on.
    pub fn digest(&self, patterns: &[String]) -> String {
        let named = named(patterns);
        self.0.digest(|path| match (&named, owner(path)) {
            (Some(named), Some(owner)) => named.contains(owner),
            _ => true,
        })
    }
}

/// The suites that `patterns` spell out; `None` where they may be of any.
fn named(patterns: &[String]) -> Option<BTreeSet<&str>> {
    if patterns.is_empty() {
        return None;
    }
    let mut named = BTreeSet::new();
    for pattern in patterns {
        let suite = pattern.split('/').next().unwrap_or(pattern);
        if pattern.starts_with('!') || suite.contains(['*', '?']) {
            return None;
        }
        named.insert(suite.strip_suffix(IN_KERNEL).unwrap_or(suite));
    }
    Some(named)
}

/// The suite that alone has to do with the file `path` of the workspace.
fn owner(path: &Path) -> Option<&'static str> {
    let mut parts = path.components();
    let top = parts.next()?.as_os_str();
    let mut parts = parts.filter(|part| matches!(part, Component::Normal(_)));
    if top == USERLAND {
        match parts.next()?.as_os_str() == SUITES_FOLDER {
            true => suite(parts.next()?),
            false => None,
        }
    } else if top == KERNEL {
        parts.find_map(suite)
    } else {
        None
    }
}

/// The suite that a file or folder is named after.
fn suite(part: Component<'_>) -> Option<&'static str> {
    let stem = Path::new(part.as_os_str()).file_stem()?.to_str()?;
    let stem = stem.strip_prefix(SHIM).unwrap_or(stem);
    let also = ALSO.iter().find(|(name, _)| *name == stem);
    let name = also.map_or(stem, |(_, suite)| *suite);
    SUITES
        .iter()
        .map(|(suite, _)| *suite)
        .find(|suite| *suite == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_the_suite_that_it_is_named_after() {
        for (path, owner) in [
            (
                "userland-tests/suites/sendfile/src/main.rs",
                Some("sendfile"),
            ),
            ("userland-tests/suites/kmod/src/main.rs", Some("kmod")),
            ("userland-tests/lib/sys/src/sendfile.rs", None),
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
            assert_eq!(super::owner(Path::new(path)), owner, "{path}");
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
            let named = named(&patterns);
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
            "userland-tests/suites/sendfile/main.rs",
            "userland-tests/lib/sys/lib.rs",
            "vm/conf/KDK",
            "vm/bases/a.yaml",
        ] {
            write(path, "before");
        }
        let digest = |pattern: &str| Programs::read(root).unwrap().digest(&[pattern.into()]);
        for (changed, sendfile, flowtable) in [
            ("userland-tests/suites/sendfile/main.rs", true, false),
            ("kmod/src/tests/flowtable/mod.rs", false, true),
            ("kmod/src/lib.rs", true, true),
            ("userland-tests/lib/sys/lib.rs", true, true),
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

//! The sources of what runs in the guest, as far as tests depend on them: a
//! suite's own files change nothing for the tests of other suites.

use std::collections::BTreeSet;
use std::path::Path;

use kdk_suites::Suites;

use kdk_core::failure::Failure;
use kdk_guest::build::digest::Sources;
use kdk_guest::build::userland;

/// What guests are made of, and the configuration of their kernels.
const FOLDERS: [&str; 4] = ["kmod", "userland-tests", "vm/conf", "vm/bases"];

/// The sources, read once.
#[derive(Debug)]
pub struct Programs {
    sources: Sources,
    suites: Suites,
}

impl Programs {
    /// Reads the sources of the workspace at `root`.
    ///
    /// # Errors
    /// A source or a suite's declaration cannot be read.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        Ok(Self {
            sources: Sources::read(root, &FOLDERS)?,
            suites: userland::suites()?,
        })
    }

    /// Returns a digest of the sources that tests `patterns` depend on.
    pub fn digest(&self, patterns: &[String]) -> String {
        let named = named(&self.suites, patterns);
        self.sources
            .digest(|path| match (&named, self.suites.owner(path)) {
                (Some(named), Some(owner)) => named.contains(owner.name.as_str()),
                _ => true,
            })
    }
}

/// Returns the suites that `patterns` spell out; `None` where the tests may be
/// of any suite.
fn named<'a>(suites: &'a Suites, patterns: &[String]) -> Option<BTreeSet<&'a str>> {
    if patterns.is_empty() {
        return None;
    }
    let mut named = BTreeSet::new();
    for pattern in patterns {
        let name = pattern.split('/').next().unwrap_or(pattern);
        if pattern.starts_with('!') {
            return None;
        }
        named.insert(suites.of_tests(name)?.name.as_str());
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_may_be_of_one_suite_or_of_any() {
        let suites = userland::suites().unwrap();
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
            let named = named(&suites, &patterns);
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

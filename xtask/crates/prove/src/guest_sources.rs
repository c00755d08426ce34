//! What the sources of the guest's programs mean, by suite: the part of a
//! proof's key that does not come from the FreeBSD tree.
//!
//! A part is a module, a C file or a manifest in its [normal
//! form](crate::normal_form). The suites' declarations name the owner of each
//! file: a part counts for the tests of its owner, or for all tests if it has
//! none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use kdk_core::failure::Failure;
use kdk_guest::build::{digest, kernel, userland};
use kdk_suites::Suites;

use crate::normal_form::{c, rust, toml};

/// The folders of the guest's programs.
const FOLDERS: [&str; 2] = ["kmod", "userland-tests"];
/// The packages that run on the host and decide what kdk.ko contains: one
/// generates the bindings, the other one links the module. Of their crates only
/// the versions of those count that they name.
const TOOLS: [&str; 2] = ["kmod/bindgen", "kmod/link"];
/// The roots of a package's crates, and its build script.
const ROOTS: [&str; 3] = ["src/lib.rs", "src/main.rs", "build.rs"];
/// Folders of a package that only its tests on the host use.
const HOST_TESTS: [&str; 3] = ["tests", "benches", "examples"];
/// Files that are for people, or that the host reads: declarations of suites,
/// diffs for benchmarks.
const NOT_BUILT: [&str; 3] = ["md", "yaml", "patch"];
/// Files with C's tokens.
const C: [&str; 4] = ["c", "h", "S", "ld"];

/// A part of the guest's programs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Part {
    package: String,
    name: String,
    conditions: BTreeSet<String>,
    digest: String,
    #[serde(skip)]
    owner: Option<String>,
}

/// The parts of the guest's programs, read once.
#[derive(Debug)]
pub struct GuestSources {
    suites: Suites,
    parts: Vec<Part>,
}

impl GuestSources {
    /// Reads the sources of the repository at `root`.
    ///
    /// # Errors
    /// A source cannot be read, or is not of its language.
    pub fn read(root: &Path, suites: Suites) -> Result<Self, Failure> {
        let files = digest::files(root, &FOLDERS)?;
        let mut reader = Reader {
            root,
            suites: &suites,
            parts: Vec::new(),
            used: BTreeSet::new(),
            tools: BTreeSet::new(),
            unified: BTreeSet::new(),
        };
        let packages: Vec<&Path> = files
            .iter()
            .filter(|file| file.ends_with("Cargo.toml"))
            .filter_map(|file| file.parent())
            .collect();
        for package in &packages {
            // A package's folder may contain other packages.
            let is_own = |file: &&PathBuf| {
                let around = packages.iter().filter(|one| file.starts_with(one));
                around.max_by_key(|one| one.components().count()) == Some(package)
            };
            let own: Vec<&Path> = files.iter().filter(is_own).map(PathBuf::as_path).collect();
            reader.package(package, &own)?;
        }
        reader.workspace()?;
        let mut parts = reader.parts;
        parts.sort();
        Ok(Self { suites, parts })
    }

    /// Returns a digest of the parts that the tests `patterns` depend on.
    pub fn digest(&self, patterns: &[String]) -> Result<String, Failure> {
        let suites = named(&self.suites, patterns);
        let counts = |part: &&Part| match (&suites, &part.owner) {
            (Some(suites), Some(owner)) => suites.contains(owner.as_str()),
            _ => true,
        };
        let parts: Vec<&Part> = self.parts.iter().filter(counts).collect();
        crate::key::digest(&parts)
    }
}

struct Reader<'a> {
    root: &'a Path,
    suites: &'a Suites,
    parts: Vec<Part>,
    /// The crates that the packages use.
    used: BTreeSet<String>,
    /// The crates that their build scripts use.
    tools: BTreeSet<String>,
    /// The features of the packages and of their dependencies.
    unified: BTreeSet<String>,
}

impl Reader<'_> {
    /// Adds the parts of the package in the folder `dir`, whose files are
    /// `files`.
    fn package(&mut self, dir: &Path, files: &[&Path]) -> Result<(), Failure> {
        let path = dir.join("Cargo.toml");
        let manifest = parsed(&path, toml::manifest(&text(&path)?))?;
        let package = manifest.name;
        match TOOLS.iter().any(|tool| dir.ends_with(tool)) {
            true => self.tools.extend(manifest.dependencies),
            false => self.used.extend(manifest.dependencies),
        }
        self.tools.extend(manifest.build_dependencies);
        self.unified.extend(manifest.unified);
        self.add(&package, "Cargo.toml".into(), &path, &manifest.text);
        let mut seen = BTreeSet::from([path]);
        for root in ROOTS {
            let path = dir.join(root);
            if !path.is_file() {
                continue;
            }
            let read = rust::read(&path)?;
            for module in read.modules {
                let name = format!("{root} {}", module.label);
                self.add(&package, name, &module.file, &module.text);
                if let Some(part) = self.parts.last_mut() {
                    part.conditions = module.conditions;
                }
            }
            seen.extend(read.files);
            seen.extend(read.tests);
        }
        seen.extend(HOST_TESTS.map(|folder| dir.join(folder)));
        for file in files {
            let is_seen = file.ancestors().any(|path| seen.contains(path));
            let kind = file.extension().unwrap_or_default().to_string_lossy();
            if is_seen || NOT_BUILT.contains(&kind.as_ref()) {
                continue;
            }
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let content = text(file)?;
            let content = match kind.as_ref() {
                "h" => c::header(&content),
                kind if C.contains(&kind) => c::normal_form(&content),
                _ => content,
            };
            self.add(&package, name.into_owned(), file, &content);
        }
        Ok(())
    }

    /// Adds what the workspace decides for all packages.
    fn workspace(&mut self) -> Result<(), Failure> {
        let file = |name: &str| self.root.join(name);
        let (manifest, lock) = (file("Cargo.toml"), file("Cargo.lock"));
        let toolchain = file("rust-toolchain.toml");
        let used = self.used.union(&self.tools).cloned().collect();
        let text_of_manifest = parsed(&manifest, toml::workspace(&text(&manifest)?, &used))?;
        let packages = |used| parsed(&manifest, toml::packages(&text(&manifest)?, used));
        let (used, tools) = (packages(&self.used)?, packages(&self.tools)?);
        let versions = toml::versions(&text(&lock)?, &used, &tools);
        let versions: Vec<String> = parsed(&lock, versions)?.into_iter().collect();
        let channel = parsed(&toolchain, toml::channel(&text(&toolchain)?))?;
        self.add("", "Cargo.toml".into(), &manifest, &text_of_manifest);
        self.add("", "Cargo.lock".into(), &lock, &versions.join("\n"));
        self.add("", "toolchain".into(), &toolchain, &channel);
        // A suite's manifest changes the features of what all suites use.
        let unified = Vec::from_iter(std::mem::take(&mut self.unified)).join("\n");
        self.add("", "features".into(), &manifest, &unified);
        let config = file(".cargo/config.toml");
        if config.is_file() {
            let content = parsed(&config, toml::config(&text(&config)?))?;
            self.add("", "config.toml".into(), &config, &content);
        }
        Ok(())
    }

    fn add(&mut self, package: &str, name: String, file: &Path, content: &str) {
        let path = file.strip_prefix(self.root).unwrap_or(file);
        self.parts.push(Part {
            package: package.to_owned(),
            name,
            conditions: BTreeSet::new(),
            digest: blake3::hash(content.as_bytes()).to_hex().to_string(),
            owner: self.suites.owner(path).map(|suite| suite.name.clone()),
        });
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::io("read a source", path, error))
}

fn parsed<T>(path: &Path, result: Result<T, impl std::fmt::Display>) -> Result<T, Failure> {
    result.map_err(|error| Failure::usage(format!("read {}", path.display()), error.to_string()))
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
        let mut open = vec![suites.of_tests(name)?];
        while let Some(suite) = open.pop() {
            if named.insert(suite.name.as_str()) {
                open.extend(suite.uses.iter().filter_map(|name| suites.of_tests(name)));
            }
        }
    }
    Some(named)
}

/// Returns a digest of the kernel configuration `config`, without comments.
///
/// # Errors
/// A file of it cannot be read.
pub fn kernel_config(root: &Path, config: &str) -> Result<String, Failure> {
    let mut files = Vec::new();
    for file in kernel::config_files(config)? {
        let text = text(&root.join(kernel::CONFIGS).join(&file))?;
        files.push((file, options(&text)));
    }
    crate::key::digest(&files)
}

/// Returns the lines of a kernel configuration that are not comments.
fn options(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

/// Reads the sources of this repository.
///
/// # Errors
/// As [`GuestSources::read`].
pub fn of_this_repository() -> Result<GuestSources, Failure> {
    GuestSources::read(kdk_core::workspace::workspace(), userland::suites()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_may_be_of_one_suite_or_of_any() {
        let suites = userland::suites().unwrap();
        for (patterns, want) in [
            (&["sendfile/a"][..], Some("sendfile")),
            (
                &["sendfile/a", "sendfile-kernel/*"],
                Some("sendfile sendfile-kernel"),
            ),
            (&["flowtable"], Some("flowtable")),
            (
                &["flowtable/a", "kmod/b"],
                Some("flowtable harness ixgbe kmod"),
            ),
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

    /// A small repository: kdk.ko with two suites, a host crate, a program.
    const REPOSITORY: [(&str, &str); 23] = [
        (
            "Cargo.toml",
            "[workspace.package]\nedition = \"2024\"\n[workspace.dependencies]\nlist = \"1\"\n[profile.guest]\nlto = true\n",
        ),
        (
            "Cargo.lock",
            "[[package]]\nname = \"list\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"c\"\n",
        ),
        ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95.0\"\n"),
        ("README.md", "Read me."),
        ("xtask/src/main.rs", "enum Without { NoBoot }\n"),
        ("kmod/suites.yaml", "suites: []\n"),
        (
            "kmod/Cargo.toml",
            "[package]\nname = \"kmod\"\n[dependencies]\nlist = \"1\"\n",
        ),
        ("kmod/README.md", "Read me."),
        ("kmod/kdk.ld", "SECTIONS { }\n"),
        ("kmod/build.rs", "fn main() {}\n"),
        (
            "kmod/shim/a.c",
            "static int\nhelp(void)\n{\n\treturn (1);\n}\nint\na(void)\n{\n\treturn (help());\n}\n",
        ),
        ("kmod/src/lib.rs", "pub mod kpi;\npub mod tests;\n"),
        (
            "kmod/src/kpi.rs",
            "fn inner() {}\npub fn call() { inner() }\n",
        ),
        (
            "kmod/src/tests/mod.rs",
            "mod net;\nmod vm;\npub fn common() {}\n",
        ),
        (
            "kmod/src/tests/net.rs",
            "use super::common;\nfn check() { assert_eq!(crate::kpi::call(), 1); common() }\nkdk_test!(\"net/a\", check);\n",
        ),
        (
            "kmod/src/tests/vm.rs",
            "fn check() { assert!(true) }\nkdk_test!(\"vm/a\", check);\n",
        ),
        ("kmod/link/Cargo.toml", "[package]\nname = \"link\"\n"),
        (
            "kmod/link/src/lib.rs",
            "pub const ARGS: &str = \"--gc-sections\";\n",
        ),
        (
            "userland-tests/lib/sys/Cargo.toml",
            "[package]\nname = \"sys\"\n",
        ),
        ("userland-tests/lib/sys/src/lib.rs", "pub fn write() {}\n"),
        (
            "userland-tests/suites/net/suite.yaml",
            "about: Net.\nkernel:\n  sources: [kmod/src/tests/net.rs]\n",
        ),
        (
            "userland-tests/suites/net/Cargo.toml",
            "[package]\nname = \"net\"\n",
        ),
        (
            "userland-tests/suites/net/src/main.rs",
            "fn main() { assert_eq!(two(), 2) }\nfn two() -> u32 { 2 }\n",
        ),
    ];
    const VM: [(&str, &str); 3] = [
        (
            "userland-tests/suites/vm/suite.yaml",
            "about: Vm.\nkernel:\n  sources: [kmod/src/tests/vm.rs]\n",
        ),
        (
            "userland-tests/suites/vm/Cargo.toml",
            "[package]\nname = \"vm\"\n",
        ),
        ("userland-tests/suites/vm/src/main.rs", "fn main() {}\n"),
    ];

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let new = Self(tempfile::tempdir().unwrap());
            for (path, text) in REPOSITORY.iter().chain(&VM) {
                new.write(path, text);
            }
            new
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn replace(&self, path: &str, from: &str, to: &str) {
            let text = fs::read_to_string(self.0.path().join(path)).unwrap();
            assert!(text.contains(from), "{path} has no {from}");
            self.write(path, &text.replace(from, to));
        }

        fn rename(&self, from: &str, to: &str) {
            let to = self.0.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::rename(self.0.path().join(from), to).unwrap();
        }

        /// Digests for tests of the suite `net`, of `vm`, and of any.
        fn digests(&self) -> [String; 3] {
            let root = self.0.path();
            let sources = GuestSources::read(root, Suites::read(root).unwrap()).unwrap();
            ["net/*", "vm/a", "*"].map(|pattern| sources.digest(&[pattern.into()]).unwrap())
        }
    }

    type Change = (&'static str, fn(&Repository));

    #[test]
    fn maintenance_makes_no_proof_stale() {
        let changes: [Change; 13] = [
            ("a comment", |r| {
                r.write(
                    "kmod/src/lib.rs",
                    "// New.\npub mod kpi;\n\n/// Doc.\npub mod tests;\n",
                )
            }),
            ("a comment in C", |r| {
                r.replace("kmod/shim/a.c", "int\na(", "/* New. */\nint\na(")
            }),
            ("a comment in a linker script", |r| {
                r.replace("kmod/kdk.ld", "{ }", "{ /* None. */ }")
            }),
            ("a private function's name", |r| {
                r.replace("kmod/src/kpi.rs", "inner", "within")
            }),
            ("a static function's name", |r| {
                r.replace("kmod/shim/a.c", "help", "aid")
            }),
            ("a private function's name in a suite", |r| {
                r.replace("kmod/src/tests/net.rs", "check", "verify")
            }),
            ("a moved file", |r| {
                r.rename("kmod/src/kpi.rs", "kmod/src/kpi/mod.rs")
            }),
            ("a moved C file", |r| {
                r.rename("kmod/shim/a.c", "kmod/shim/net/a.c")
            }),
            ("a moved module", |r| {
                r.rename("kmod/src/tests/net.rs", "kmod/src/tests/inet/net.rs");
                r.write("kmod/src/tests/inet/mod.rs", "mod net;\n");
                r.replace("kmod/src/tests/mod.rs", "mod net;", "mod inet;");
                r.replace("kmod/src/tests/inet/net.rs", "super::", "super::super::");
                r.replace(
                    "userland-tests/suites/net/suite.yaml",
                    "tests/net.rs",
                    "tests/inet/net.rs",
                );
            }),
            ("a moved package", |r| {
                r.rename("userland-tests/lib/sys", "userland-tests/lib/os/sys")
            }),
            ("a README", |r| {
                r.write("README.md", "Read this.");
                r.write("kmod/README.md", "Read this.");
            }),
            ("an enum variant of the host", |r| {
                r.replace("xtask/src/main.rs", "NoBoot", "Silent")
            }),
            ("a suite's description", |r| {
                r.replace("userland-tests/suites/net/suite.yaml", "Net.", "The net.")
            }),
        ];
        let before = Repository::new().digests();
        for (what, change) in changes {
            let repository = Repository::new();
            change(&repository);
            assert_eq!(repository.digests(), before, "{what}");
        }
    }

    /// A change, and whether it concerns the tests of `net` and of `vm`.
    type ChangeOfTests = (&'static str, bool, bool, fn(&Repository));

    #[test]
    fn a_changed_test_makes_the_proofs_of_its_suite_stale() {
        let changes: [ChangeOfTests; 14] = [
            ("an assertion in the kernel", true, false, |r| {
                r.replace("kmod/src/tests/net.rs", "1);", "2);")
            }),
            ("an assertion of the other suite", false, true, |r| {
                r.replace("kmod/src/tests/vm.rs", "true", "false")
            }),
            ("an assertion of a program", true, false, |r| {
                r.replace(
                    "userland-tests/suites/net/src/main.rs",
                    "two(), 2",
                    "two(), 3",
                )
            }),
            ("a new test", false, true, |r| {
                r.replace(
                    "kmod/src/tests/vm.rs",
                    "kdk_test!",
                    "kdk_test!(\"vm/b\", check);\nkdk_test!",
                )
            }),
            ("what both use", true, true, |r| {
                r.replace("kmod/src/kpi.rs", "inner() }", "inner(); inner() }")
            }),
            ("the shim", true, true, |r| {
                r.replace("kmod/shim/a.c", "(1)", "(2)")
            }),
            ("the link of kdk.ko", true, true, |r| {
                r.replace("kmod/link/src/lib.rs", "--gc-sections", "--no-gc-sections")
            }),
            ("a linker script", true, true, |r| {
                r.replace("kmod/kdk.ld", "{ }", "{ . = 0; }")
            }),
            ("the library", true, true, |r| {
                r.replace("userland-tests/lib/sys/src/lib.rs", "{}", "{ loop {} }")
            }),
            ("the profile", true, true, |r| {
                r.replace("Cargo.toml", "true", "false")
            }),
            ("a dependency", true, true, |r| {
                r.replace("Cargo.lock", "1.0.0", "1.0.1")
            }),
            ("a feature that a suite enables", true, true, |r| {
                r.write(
                    "userland-tests/suites/vm/Cargo.toml",
                    "[package]\nname = \"vm\"\n[dependencies]\nlist = { version = \"1\", features = [\"std\"] }\n",
                )
            }),
            ("cargo's configuration", true, true, |r| {
                r.write(".cargo/config.toml", "[build]\nrustflags = [\"-g\"]\n")
            }),
            ("the compiler", true, true, |r| {
                r.replace("rust-toolchain.toml", "1.95.0", "1.96.0")
            }),
        ];
        let before = Repository::new().digests();
        for (what, net, vm, change) in changes {
            let repository = Repository::new();
            change(&repository);
            let after = repository.digests();
            let stale: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a != b).collect();
            assert_eq!(stale, [net, vm, true], "{what}");
        }
    }

    #[test]
    fn every_source_of_this_repository_has_a_normal_form() {
        let sources = of_this_repository().unwrap();
        let owners: BTreeSet<_> = sources.parts.iter().map(|part| &part.owner).collect();
        assert!(owners.len() > 5, "{owners:?}");
        let pattern = |text: &str| sources.digest(&[text.into()]).unwrap();
        assert_ne!(pattern("sendfile"), pattern("ixgbe"));
    }

    #[test]
    fn a_kernel_configuration_counts_without_its_comments() {
        let options = options("# KDK\ninclude\t\tMINIMAL # all\n\noptions \tDDB\n");
        assert_eq!(options, ["include MINIMAL", "options DDB"]);
    }
}

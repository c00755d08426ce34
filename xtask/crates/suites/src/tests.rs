use super::*;

/// Creates a repository with files of the given content.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

const A: (&str, &str) = ("userland-tests/suites/a/suite.yaml", "about: A.\n");
const NONE: (&str, &str) = (IN_KERNEL, "suites: []\n");

#[test]
fn a_new_folder_is_a_new_suite() {
    let root = repository(&[A, NONE]);
    let names = |suites: &Suites| -> Vec<String> {
        suites
            .with_program()
            .map(|suite| suite.name.clone())
            .collect()
    };
    assert_eq!(names(&Suites::read(root.path()).unwrap()), ["a"]);
    let dir = root.path().join(FOLDER).join("b");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(DECLARATION), "about: B.\n").unwrap();
    assert_eq!(names(&Suites::read(root.path()).unwrap()), ["a", "b"]);
}

#[test]
fn a_contradiction_is_reported_with_its_file() {
    let b = "userland-tests/suites/b/suite.yaml";
    for (text, in_kernel, want) in [
        (
            "about: B.\nkernel: {sources: [kmod/x]}\n",
            NONE.1,
            "b/suite.yaml is not valid: there is no kmod/x",
        ),
        (
            "abuot: B.\n",
            NONE.1,
            "b/suite.yaml is not valid: unknown field `abuot`",
        ),
        (
            "about: B.\nuses: [d]\n",
            NONE.1,
            "b/suite.yaml is not valid: there is no suite `d` to use",
        ),
        (
            "about: B.\n",
            "suites: [{name: b, about: B., sources: []}]\n",
            "kmod/suites.yaml is not valid: there are two suites `b`",
        ),
        (
            "about: B.\n",
            "suites: [{name: c, about: C., sources: [userland-tests/suites/b]}]\n",
            "kmod/suites.yaml is not valid: userland-tests/suites/b belongs to the suite `b` too",
        ),
    ] {
        let root = repository(&[A, (b, text), (IN_KERNEL, in_kernel)]);
        let error = Suites::read(root.path()).unwrap_err().to_string();
        assert!(error.contains(want), "{want}: {error}");
    }
    let root = repository(&[A, NONE]);
    fs::create_dir(root.path().join(FOLDER).join("b")).unwrap();
    let error = Suites::read(root.path()).unwrap_err().to_string();
    assert!(error.contains("b/suite.yaml cannot be read"), "{error}");
}

/// Reads the declarations of this repository.
fn ours() -> (PathBuf, Suites) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let suites = Suites::read(&root).unwrap();
    (root, suites)
}

#[test]
fn the_owner_of_a_file_is_declared() {
    let (_, suites) = ours();
    for (path, want) in [
        (
            "userland-tests/suites/sendfile/src/main.rs",
            Some("sendfile"),
        ),
        ("userland-tests/suites/smoke/src/main.rs", Some("smoke")),
        ("userland-tests/suites/smoke/src/fault.rs", Some("fault")),
        ("userland-tests/lib/sys/src/sendfile.rs", None),
        ("kmod/src/lib.rs", None),
        ("kmod/src/kpi/sendfile.rs", None),
        ("kmod/src/tests/flowtable/bench.rs", Some("flowtable")),
        ("kmod/src/tests/mutex.rs", Some("kpi")),
        ("kmod/shim/kdk_pci.c", None),
        ("kmod/shim/kdk_shim.c", None),
        ("kmod/nic82599/src/lib.rs", None),
        ("vm/conf/KDK", None),
    ] {
        let owner = suites
            .owner(Path::new(path))
            .map(|suite| suite.name.as_str());
        assert_eq!(owner, want, "{path}");
    }
}

#[test]
fn a_suite_of_the_kernel_is_found_by_its_tests() {
    let (_, suites) = ours();
    let sendfile = suites.of_tests("sendfile-kernel").unwrap();
    assert!(!sendfile.has_program);
    let own = Path::new("kmod/src/tests/sendfile/locks.rs");
    assert_eq!(suites.owner(own), Some(sendfile));
    assert_eq!(suites.of_tests("kmod").unwrap().uses, ["ixgbe"]);
}

/// Collects the Rust files below `path`.
fn rust_files(path: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            into.push(path);
        }
    }
}

/// Otherwise a change would leave results of another suite's tests fresh.
#[test]
fn no_file_uses_a_file_that_another_suite_owns() {
    let (root, suites) = ours();
    let mut files = Vec::new();
    rust_files(&root.join("kmod/src"), &mut files);
    for file in &files {
        let path = file.strip_prefix(&root).unwrap();
        let owner = suites.owner(path);
        let text = fs::read_to_string(file).unwrap();
        let used = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in used {
            for (_, rest) in line
                .match_indices("tests::")
                .map(|(at, _)| line.split_at(at + 7))
            {
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let module = Path::new("kmod/src/tests");
                let folder = module.join(&name);
                let of = suites
                    .owner(&folder)
                    .or_else(|| suites.owner(&folder.with_extension("rs")));
                let allowed = of.is_none_or(|of| {
                    owner.is_some_and(|owner| owner == of || owner.uses.contains(&of.name))
                });
                assert!(allowed, "{} uses tests::{name}", path.display());
            }
        }
    }
    let shared = fs::read_to_string(root.join("kmod/src/tests/mod.rs")).unwrap();
    for line in shared.lines() {
        if let Some(name) = line
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        {
            let path = format!("{name}::");
            let begins = |at: usize| {
                !shared[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            };
            let used = shared.match_indices(&path).any(|(at, _)| begins(at));
            assert!(!used, "mod.rs uses {name}");
        }
    }
}

/// A program that runs tests of another suite has to declare it.
#[test]
fn a_program_names_only_tests_of_suites_that_it_uses() {
    let (root, suites) = ours();
    for suite in suites.with_program() {
        let mut files = Vec::new();
        rust_files(&root.join(FOLDER).join(&suite.name).join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for quoted in text.split('"').skip(1).step_by(2) {
                let Some((name, case)) = quoted.split_once('/') else {
                    continue;
                };
                let of_case = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                let Some(other) = suites.of_tests(name).filter(|_| !case.is_empty()) else {
                    continue;
                };
                let own = suites.owner(file.strip_prefix(&root).unwrap()).unwrap();
                assert!(
                    !case.chars().all(of_case) || other == own || own.uses.contains(&other.name),
                    "{} names {quoted}: add `uses: [{}]`",
                    file.display(),
                    other.name
                );
            }
        }
    }
}

#[test]
fn every_file_of_tests_has_an_owner() {
    let (root, suites) = ours();
    for entry in fs::read_dir(root.join("kmod/src/tests")).unwrap() {
        let name = entry.unwrap().file_name();
        let path = Path::new("kmod/src/tests").join(&name);
        assert!(
            name == "mod.rs" || suites.owner(&path).is_some(),
            "{} belongs to no suite: add it to {IN_KERNEL} or to a suite's {DECLARATION}",
            path.display()
        );
    }
}

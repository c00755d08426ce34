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
            "about: B.\nkernel: {suites: [a], sources: []}\n",
            NONE.1,
            "b/suite.yaml is not valid: the suite `a` has the name `a` too",
        ),
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
            "about: B.\n",
            "suites: [{name: b, about: B., sources: []}]\n",
            "kmod/suites.yaml is not valid: the suite `b` has the name `b` too",
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
        ("kmod/src/kpi/sendfile.rs", Some("sendfile")),
        ("kmod/src/tests/flowtable/bench.rs", Some("flowtable")),
        ("kmod/src/tests/mutex.rs", Some("kpi")),
        ("kmod/shim/kdk_pci.c", Some("ixgbe")),
        ("kmod/shim/kdk_shim.c", None),
        ("kmod/nic82599/src/lib.rs", Some("ixgbe")),
        ("vm/conf/KDK", None),
    ] {
        let owner = suites
            .owner(Path::new(path))
            .map(|suite| suite.name.as_str());
        assert_eq!(owner, want, "{path}");
    }
}

#[test]
fn a_suite_knows_its_modules_in_the_kernel() {
    let (_, suites) = ours();
    let sendfile = suites.of_tests("sendfile-kernel").unwrap();
    assert_eq!(sendfile.name, "sendfile");
    assert_eq!(sendfile.package(), "kdk-suite-sendfile");
    assert!(sendfile.modules().contains("kdk::tests::sendfile"));
    assert!(sendfile.modules().contains("kdk::kpi::sendfile"));
    let ixgbe = suites.of_tests("ixgbe").unwrap();
    assert!(ixgbe.modules().contains("kdk_nic82599"));
    assert!(suites.of_tests("smoke").unwrap().modules().is_empty());
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

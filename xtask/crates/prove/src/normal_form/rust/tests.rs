use super::*;

/// The normal form of the crate with these files.
fn normal(files: &[(&str, &str)]) -> Vec<(String, BTreeSet<String>, String)> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let read = read(&dir.path().join("lib.rs")).unwrap();
    let modules = read.modules.into_iter();
    let mut all: Vec<_> = modules
        .map(|module| (module.label, module.conditions, module.text))
        .collect();
    all.sort();
    all
}

fn one(text: &str) -> Vec<(String, BTreeSet<String>, String)> {
    normal(&[("lib.rs", text)])
}

const BEFORE: &str = "use a::{b, c};\nfn helper(x: u32) -> u32 { x + 1 }\npub fn run() { assert_eq!(helper(2), 3); }\n";

#[test]
fn what_does_not_change_the_program_does_not_change_the_form() {
    for (what, after) in [
        (
            "a comment",
            format!("// A comment.\n{BEFORE}/* and another */"),
        ),
        (
            "a doc comment",
            format!(
                "//! About it.\n{}",
                BEFORE.replace("fn helper", "/// Adds 1.\nfn helper")
            ),
        ),
        ("a blank line", BEFORE.replace('\n', "\n\n")),
        (
            "a private function's name",
            BEFORE.replace("helper", "add_one"),
        ),
        (
            "the order of imports",
            BEFORE.replace("a::{b, c}", "a::c;\nuse a::b"),
        ),
        (
            "a lint attribute",
            BEFORE.replace("fn helper", "#[allow(dead_code)]\nfn helper"),
        ),
        (
            "a visibility",
            BEFORE.replace("pub fn run", "pub(crate) fn run"),
        ),
        (
            "a test on the host",
            format!("{BEFORE}#[cfg(test)]\nmod tests {{ fn x() {{}} }}"),
        ),
        (
            "a trailing comma",
            BEFORE.replace("(helper(2), 3)", "(\n    helper(2),\n    3,\n)"),
        ),
    ] {
        assert_eq!(one(BEFORE), one(&after), "{what}");
    }
}

#[test]
fn what_changes_the_program_changes_the_form() {
    for (what, after) in [
        ("an assertion", BEFORE.replace("3)", "4)")),
        ("an operator", BEFORE.replace("x + 1", "x - 1")),
        ("a public function's name", BEFORE.replace("run", "walk")),
        ("a condition", BEFORE.replace("pub fn", "#[cfg(x)] pub fn")),
        ("an import", BEFORE.replace("a::{b, c}", "a::{b, d}")),
        ("another function", BEFORE.replace("helper(2)", "other(2)")),
        ("a tuple", BEFORE.replace("x + 1", "(x,)")),
    ] {
        assert_ne!(one(BEFORE), one(&after), "{what}");
    }
}

#[test]
fn a_name_that_may_mean_something_else_is_not_private() {
    for (before, after) in [
        // The method is not the function.
        (
            "fn lock() {} fn f(x: X) { lock(); x.lock() }",
            "fn unlock() {} fn f(x: X) { unlock(); x.unlock() }",
        ),
        (
            "fn secs() {} fn f() { secs(); D::secs() }",
            "fn millis() {} fn f() { millis(); D::millis() }",
        ),
        ("fn a() { a!() }", "fn b() { b!() }"),
        (
            "fn open() {} fn f() { O { open } }",
            "fn close() {} fn f() { O { close } }",
        ),
        ("extern \"C\" fn a() {}", "extern \"C\" fn b() {}"),
        (
            "#[unsafe(no_mangle)] fn a() {}",
            "#[unsafe(no_mangle)] fn b() {}",
        ),
        (
            "fn a() {} fn b() {} fn f() { a(); b() }",
            "fn a() {} fn b() {} fn f() { b(); a() }",
        ),
        // Another file calls the method.
        (
            "fn a() {} impl X { pub fn a() { a() } }",
            "fn b() {} impl X { pub fn b() { b() } }",
        ),
        (
            "fn a() {} trait X { fn a() { a() } }",
            "fn b() {} trait X { fn b() { b() } }",
        ),
    ] {
        assert_ne!(one(before), one(after), "{before}");
    }
}

#[test]
fn a_file_may_move() {
    let before = normal(&[
        ("lib.rs", "mod tests;"),
        ("tests/mod.rs", "#[cfg(nic)]\nmod nic;\npub fn common() {}"),
        (
            "tests/nic/mod.rs",
            "mod wire;\nuse wire::Frame;\nuse super::common;\nfn f() { wire::send(); super::common() }",
        ),
        (
            "tests/nic/wire.rs",
            "use super::super::common;\npub struct Frame;\npub fn send() { common() }",
        ),
    ]);
    let after = normal(&[
        ("lib.rs", "mod tests;"),
        ("tests.rs", "pub fn common() {}\n#[cfg(nic)]\nmod nic;"),
        (
            "tests/nic.rs",
            "mod frames;\nuse super::common;\nuse self::frames::wire;\nuse frames::wire::Frame;\nfn f() { wire::send(); crate::tests::common() }",
        ),
        ("tests/nic/frames.rs", "pub mod wire;"),
        (
            "tests/nic/frames/wire.rs",
            "use crate::tests::common;\npub struct Frame;\npub fn send() { common() }",
        ),
    ]);
    assert_eq!(before, after);
    assert_eq!(before.len(), 3);
}

#[test]
fn a_module_below_calls_private_functions() {
    let with = |parent: &str| {
        normal(&[
            ("lib.rs", parent),
            ("a.rs", "pub fn f() { super::one(); super::two() }"),
        ])
    };
    assert_ne!(
        with("mod a; fn one() { 1 } fn two() { 2 }"),
        with("mod a; fn two() { 1 } fn one() { 2 }")
    );
}

#[test]
fn a_parents_condition_counts() {
    let with = |root: &str, parent: &str| {
        let a = ("tests/a.rs", "pub fn f() {}");
        let all = normal(&[("lib.rs", root), ("tests.rs", parent), a]);
        all.into_iter().find(|one| one.0 == "a").unwrap()
    };
    let plain = with("mod tests;", "mod a;");
    let outer = with("#[cfg(nic)] mod tests;", "mod a;");
    let inner = with("mod tests;", "#![cfg(nic)] mod a;");
    assert_ne!(inner, plain);
    assert_eq!(inner, outer);
    assert_eq!(plain, with("mod tests;", "#![allow(dead_code)] mod a;"));
}

#[test]
fn a_tuple_is_not_a_parenthesis() {
    for before in [
        "let", "for", "mut", "ref", "as", "dyn", "where", "move", "return", "in", "match", "if",
        "while", "else", "break", "yield", "const", "static", "await", "async", "impl", "loop",
    ] {
        let (one_of, plain) = (format!("{before} (a,)"), format!("{before} (a)"));
        assert_ne!(one(&one_of), one(&plain), "{before}");
    }
    assert_eq!(one("call(a,)"), one("call(a)"));
}

#[test]
fn files_of_host_tests_are_known() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("lib.rs"),
        "mod a;\n#[cfg(test)]\nmod tests;",
    )
    .unwrap();
    fs::write(dir.path().join("a.rs"), "fn a() {}").unwrap();
    fs::write(dir.path().join("tests.rs"), "not rust )").unwrap();
    let read = read(&dir.path().join("lib.rs")).unwrap();
    assert_eq!(read.modules.len(), 1);
    assert!(read.tests.contains(&dir.path().join("tests.rs")));
}

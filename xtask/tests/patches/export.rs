//! Tests of `patches export`.

use std::fs;

use crate::samples;
use crate::sandbox::{Sandbox, git};
use crate::texts::unwrapped;

/// Returns a series of two patches without proofs; `six` is AI-assisted.
fn sandbox() -> Sandbox {
    let sandbox = samples::sandbox();
    let manifest = sandbox.file("series.yaml");
    let two = manifest.split("\n  - id: ten").next().unwrap();
    let (first, second) = two.rsplit_once("ai_assisted: false}").unwrap();
    let six = "ai_assisted: true, attested_by: A Person <p@example.org>}\n    trailers: {mfc_after: 1 week, \
               pr: '7'}\n    upstream: {status: submitted, channel: phabricator, url: \
               https://reviews.FreeBSD.org/D1}";
    let text = format!("{first}{six}{second}");
    fs::write(sandbox.series().join("series.yaml"), text).unwrap();
    fs::remove_file(sandbox.series().join("ten.patch")).unwrap();
    sandbox
}

fn export<'a>(format: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["patches", "export", "--format", format];
    args.extend(more);
    args
}

/// Returns the tree of the series, as git computes it.
fn tree(sandbox: &Sandbox) -> String {
    git(&sandbox.path("work"), &["rev-parse", "HEAD~1^{tree}"])
}

#[test]
fn what_is_not_proven_is_refused() {
    let sandbox = sandbox();
    let said = sandbox.fails(2, &export("mail", &["--out", "out"]));
    insta::assert_snapshot!(unwrapped(&sandbox, &said));
    assert!(!sandbox.path("out").exists());
}

#[test]
fn an_ai_assisted_patch_without_attestation_is_always_refused() {
    let sandbox = sandbox();
    let manifest = sandbox
        .file("series.yaml")
        .replace(", attested_by: A Person <p@example.org>", "");
    fs::write(sandbox.series().join("series.yaml"), manifest).unwrap();
    for format in ["mail", "phabricator", "github"] {
        let said = sandbox.fails(2, &export(format, &["--out", "out", "--allow-unproven"]));
        assert!(
            said.contains("six: ai_assisted without attested_by"),
            "{said}"
        );
        assert!(!sandbox.path("out").exists());
    }
    let said = sandbox.fails(2, &export("mail", &["--out", "out", "--allow-unproven"]));
    insta::assert_snapshot!(unwrapped(&sandbox, &said));
}

#[test]
fn mails_make_the_tree_of_the_series() {
    let sandbox = sandbox();
    let out = sandbox.ok(&export("mail", &["--out", "out", "--allow-unproven"]));
    assert!(
        out.starts_with(&format!("git am makes the tree {}", tree(&sandbox))),
        "{out}"
    );
    let mail = |name: &str| fs::read_to_string(sandbox.path("out").join(name)).unwrap();
    let cover = mail("0000-cover-letter.patch");
    let text = cover.split_once("From: ").unwrap().1;
    let text = text.replace(&tree(&sandbox), "TREE");
    let base = git(&sandbox.path("src"), &["rev-parse", "HEAD"]);
    insta::assert_snapshot!(text.replace(&base, "BASE"));
    let six = mail("0002-kern-Count-to-six.patch");
    let message = six
        .split_once("Subject:")
        .unwrap()
        .1
        .split_once("diff --git")
        .unwrap()
        .0;
    insta::assert_snapshot!(message);
    git(&sandbox.path(""), &["clone", "-q", "src", "reviewer"]);
    let mails = [
        "0000-cover-letter",
        "0001-kern-Count-to-five",
        "0002-kern-Count-to-six",
    ];
    let mails: Vec<String> = mails
        .iter()
        .map(|name| format!("../out/{name}.patch"))
        .collect();
    let mut args = vec!["am", "-q", "--empty=drop"];
    args.extend(mails.iter().map(String::as_str));
    git(&sandbox.path("reviewer"), &args);
    assert_eq!(
        git(&sandbox.path("reviewer"), &["rev-parse", "HEAD^{tree}"]),
        tree(&sandbox)
    );
    // A second export is the same.
    sandbox.ok(&export("mail", &["--out", "again", "--allow-unproven"]));
    for name in fs::read_dir(sandbox.path("out")).unwrap() {
        let name = name.unwrap().file_name();
        let read = |folder: &str| fs::read(sandbox.path(folder).join(&name)).unwrap();
        assert!(read("out") == read("again"), "{name:?}");
    }
}

#[test]
fn a_patch_takes_what_it_needs_along() {
    let sandbox = sandbox();
    let out = sandbox.ok(&export(
        "mail",
        &["--out", "out", "--allow-unproven", "six"],
    ));
    assert!(out.contains("0002-kern-Count-to-six.patch"), "{out}");
    let out = sandbox.ok(&export(
        "mail",
        &["--out", "one", "--allow-unproven", "five"],
    ));
    assert!(!out.contains("six"), "{out}");
    let cover = fs::read_to_string(sandbox.path("one/0000-cover-letter.patch")).unwrap();
    assert!(
        cover.contains("1 of its 2 patches alone were never tested"),
        "{cover}"
    );
}

#[test]
fn phabricator_gets_whole_files_and_a_test_plan() {
    let sandbox = sandbox();
    sandbox.ok(&export(
        "phabricator",
        &["--out", "out", "--allow-unproven"],
    ));
    let diff = fs::read_to_string(sandbox.path("out/0002-six.diff")).unwrap();
    assert!(diff.contains("@@ -1,30 +1,30 @@"), "{diff}");
    let text = fs::read_to_string(sandbox.path("out/0002-six.txt")).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn github_gets_a_branch_and_nothing_else_of_the_clone_changes() {
    let sandbox = sandbox();
    git(&sandbox.path(""), &["clone", "-q", "src", "clone"]);
    let clone = sandbox.path("clone");
    let state = || git(&clone, &["status", "--porcelain", "--branch"]);
    let before = state();
    let args = export("github", &["--out", "clone", "--allow-unproven"]);
    let said = sandbox.fails(2, &args);
    assert!(
        said.contains("six: it is under review by phabricator"),
        "{said}"
    );
    let manifest = sandbox
        .file("series.yaml")
        .replace("channel: phabricator", "channel: github");
    fs::write(sandbox.series().join("series.yaml"), manifest).unwrap();
    sandbox.ok(&args);
    assert_eq!(state(), before);
    let branch = "kdk/releng-15.1-v1";
    assert_eq!(
        git(&clone, &["rev-parse", &format!("{branch}^{{tree}}")]),
        tree(&sandbox)
    );
    let log = git(
        &clone,
        &["log", "--format=%an, %cn%n%B", &format!("main..{branch}")],
    );
    insta::assert_snapshot!(log);
    sandbox.ok(&args);
    git(&clone, &["branch", "-q", "-f", branch, "main"]);
    let said = sandbox.fails(2, &args);
    assert!(
        said.contains("has another branch kdk/releng-15.1-v1"),
        "{said}"
    );
    sandbox.tree("other", 1_501_000);
    let said = sandbox.fails(
        2,
        &export("github", &["--out", "other", "--allow-unproven"]),
    );
    assert!(said.contains("does not have the base's commit"), "{said}");
}

#[test]
fn a_folder_with_something_in_it_stays_as_it_is() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("out")).unwrap();
    fs::write(sandbox.path("out/0001-old.patch"), "old").unwrap();
    let said = sandbox.fails(2, &export("mail", &["--out", "out", "--allow-unproven"]));
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 1);
}

#[test]
fn what_lint_calls_an_error_is_refused() {
    let sandbox = sandbox();
    let path = sandbox.series().join("six.patch");
    let patch = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        patch.replace("kern: Count to six", "kern: Count to six."),
    )
    .unwrap();
    let said = sandbox.fails(2, &export("mail", &["--out", "out", "--allow-unproven"]));
    insta::assert_snapshot!(unwrapped(&sandbox, &said));
    sandbox.ok(&export(
        "mail",
        &["--out", "out", "--allow-unproven", "five"],
    ));
}

#[test]
fn a_base_with_uncommitted_changes_is_refused() {
    let sandbox = sandbox();
    fs::write(sandbox.path("src/sys/kern/b.c"), "edited\n").unwrap();
    let said = sandbox.fails(2, &export("mail", &["--out", "out", "--allow-unproven"]));
    assert!(
        said.contains("the base has uncommitted changes (sys/kern/b.c)"),
        "{said}"
    );
}

#[test]
fn a_check_says_what_stands_in_the_way_and_writes_nothing() {
    let sandbox = sandbox();
    let said = sandbox.ok(&export("mail", &["--check"]));
    insta::assert_snapshot!(said.replace(&tree(&sandbox), "TREE"));
}

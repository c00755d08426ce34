//! Tests of `patches rebase`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::samples::{self, MANIFEST, set_line};
use crate::sandbox::{Sandbox, git, without_ids};

fn a(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("src/sys/kern/a.c")
}

fn worktree(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("home/edits/releng-15.1/@rebase/src")
}

/// Commits a change to the base: the line `from` becomes `to`.
fn moved(sandbox: &Sandbox, from: &str, to: &str) {
    set_line(&a(sandbox), from, to);
    sandbox.commit("src", "moved");
}

fn series_is_sound(sandbox: &Sandbox, series: &str) {
    let out = sandbox.ok(&["patches", "refresh", "--series", series]);
    assert!(out.ends_with("nothing changed\n"), "{out}");
}

#[test]
fn patches_are_merged_into_what_the_base_is_now() {
    let sandbox = samples::sandbox();
    // The context of the first two patches: with fuzz 0 they do not apply.
    moved(&sandbox, "3", "three");
    let param = sandbox.path("src/sys/sys/param.h");
    fs::write(param, "#define __FreeBSD_version 1501001\n").unwrap();
    sandbox.commit("src", "moved on");
    sandbox.fails(2, &["patches", "refresh"]);
    insta::assert_snapshot!(without_ids(&sandbox.ok(&["patches", "rebase"])));
    let five = sandbox.file("five.patch");
    assert!(five.contains(" three\n 4\n-5\n+5 five\n"), "{five}");
    // Only the version in the manifest changes.
    assert_eq!(
        sandbox.file("series.yaml"),
        MANIFEST.replace("1501000", "1501001")
    );
    series_is_sound(&sandbox, "releng-15.1");
    // A second rebase changes nothing.
    let before = sandbox.files();
    let out = sandbox.ok(&["patches", "rebase"]);
    assert!(
        without_ids(&out).contains("applies to releng-15.1 at COMMIT unchanged"),
        "{out}"
    );
    assert_eq!(sandbox.files(), before);
}

/// Replaces the conflict by `with`.
fn resolve(file: &Path, with: &str) {
    let text = fs::read_to_string(file).unwrap();
    let (head, rest) = text.split_once("<<<<<<<").unwrap();
    let (_, tail) = rest.split_once(">>>>>>>").unwrap();
    let (_, tail) = tail.split_once('\n').unwrap();
    fs::write(file, format!("{head}{with}{tail}")).unwrap();
}

#[test]
fn a_conflict_is_shown_and_resolved() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    moved(&sandbox, "5", "V");
    let mut texts = vec![sandbox.fails(2, &["patches", "rebase"])];
    let file = worktree(&sandbox).join("sys/kern/a.c");
    for args in [
        &["patches", "rebase", "--continue"][..],
        &["patches", "rebase"],
        &["patches", "edit", "ten"],
    ] {
        texts.push(sandbox.fails(2, args));
    }
    insta::assert_snapshot!(without_ids(&texts.join("\n")));
    assert_eq!(sandbox.files(), before);
    resolve(&file, "V five\n");
    // The next patch conflicts with the resolution.
    let err = sandbox.fails(2, &["patches", "rebase", "--continue"]);
    assert!(err.contains("apply the patch `six` to"), "{err}");
    resolve(&file, "V five\n6 six\n");
    sandbox.ok(&["patches", "rebase", "--continue"]);
    assert!(sandbox.file("five.patch").contains("-V\n+V five\n"));
    assert!(sandbox.file("five.patch").contains("From: An Author"));
    series_is_sound(&sandbox, "releng-15.1");
    let err = sandbox.fails(2, &["patches", "rebase", "--continue"]);
    assert!(
        err.contains("no rebase of releng-15.1 is in progress"),
        "{err}"
    );
}

#[test]
fn a_file_that_is_gone_is_a_conflict_that_git_answers() {
    let sandbox = samples::sandbox();
    fs::remove_file(sandbox.path("src/contrib/lib/lib.c")).unwrap();
    sandbox.commit("src", "gone");
    let err = sandbox.fails(2, &["patches", "rebase"]);
    assert!(
        err.contains("contrib/lib/lib.c: removed on one side"),
        "{err}"
    );
    insta::assert_snapshot!(without_ids(
        &sandbox.fails(2, &["patches", "rebase", "--continue"])
    ));
    git(
        &worktree(&sandbox),
        &["rm", "-q", "--sparse", "contrib/lib/lib.c"],
    );
    sandbox.ok(&["patches", "rebase", "--continue"]);
    assert!(!sandbox.file("ten.patch").contains("lib.c"));
    series_is_sound(&sandbox, "releng-15.1");
}

#[test]
fn an_abort_restores_everything() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    moved(&sandbox, "5", "V");
    sandbox.fails(2, &["patches", "rebase"]);
    sandbox.ok(&["patches", "rebase", "--abort"]);
    assert_eq!(sandbox.files(), before);
    assert!(!worktree(&sandbox).exists());
    let err = sandbox.fails(2, &["patches", "rebase", "--abort"]);
    assert!(
        err.contains("no rebase of releng-15.1 is in progress"),
        "{err}"
    );
    // And it can begin again.
    sandbox.fails(2, &["patches", "rebase"]);
}

#[test]
fn a_patch_that_has_landed_leaves_the_series() {
    let sandbox = samples::sandbox();
    moved(&sandbox, "5", "5 five");
    insta::assert_snapshot!(without_ids(&sandbox.ok(&["patches", "rebase"])));
    assert!(!sandbox.series().join("five.patch").exists());
    insta::assert_snapshot!(sandbox.file("series.yaml"));
    series_is_sound(&sandbox, "releng-15.1");
}

#[test]
fn when_all_have_landed_the_series_is_empty() {
    let sandbox = samples::sandbox();
    for (line, id) in [("5", "five"), ("6", "six"), ("10", "ten")] {
        set_line(&a(&sandbox), line, &format!("{line} {id}"));
    }
    fs::write(sandbox.path("src/contrib/lib/lib.c"), "lib ten\n").unwrap();
    sandbox.commit("src", "all");
    sandbox.ok(&["patches", "rebase"]);
    let text = sandbox.file("series.yaml");
    assert!(text.contains("\npatches: []\n"), "{text}");
    series_is_sound(&sandbox, "releng-15.1");
}

#[test]
fn a_series_is_put_on_another_base() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    sandbox.tree("main", 1_600_000);
    set_line(&sandbox.path("main/sys/kern/a.c"), "3", "three");
    set_line(&sandbox.path("main/sys/kern/a.c"), "10", "10 ten");
    fs::write(sandbox.path("main/contrib/lib/lib.c"), "lib ten\n").unwrap();
    sandbox.commit("main", "another");
    let main = sandbox.path("main").display().to_string();
    sandbox.ok(&["base", "add", "main", "--src", &main]);
    let out = sandbox.ok(&[
        "patches",
        "rebase",
        "--onto",
        "main",
        "--series",
        "releng-15.1",
    ]);
    insta::assert_snapshot!(without_ids(&out));
    let read = |name: &str| fs::read_to_string(sandbox.patches().join("main").join(name)).unwrap();
    insta::assert_snapshot!(read("series.yaml"));
    assert_eq!(read("cover.md"), "# Three patches\n");
    assert!(read("five.patch").contains(" three\n 4\n-5\n+5 five\n"));
    // The old series is unchanged.
    let files = sandbox.files();
    assert!(before.iter().all(|file| files.contains(file)));
    series_is_sound(&sandbox, "main");
    insta::assert_snapshot!(sandbox.fails(
        2,
        &[
            "patches",
            "rebase",
            "--onto",
            "main",
            "--series",
            "releng-15.1"
        ]
    ));
}

#[test]
fn a_killed_rebase_continues() {
    // At each patch, while a conflict is checked out, and before the end.
    for (word, n) in [
        ("merge-tree", 1),
        ("merge-tree", 3),
        ("commit-tree", 12),
        ("format-patch", 2),
        ("prune", 1),
    ] {
        let sandbox = samples::sandbox();
        let before = sandbox.files();
        moved(&sandbox, "3", "three");
        sandbox.killed_at(word, n, &["patches", "rebase"]);
        if word != "prune" {
            assert_eq!(sandbox.files(), before, "{word} {n}");
            let err = sandbox.fails(2, &["patches", "rebase"]);
            assert!(err.contains("is in progress"), "{err}");
        }
        sandbox.ok(&["patches", "rebase", "--continue"]);
        assert!(
            sandbox.file("five.patch").contains(" three\n"),
            "{word} {n}"
        );
        series_is_sound(&sandbox, "releng-15.1");
    }
}

#[test]
fn a_kill_before_the_rebase_has_begun_is_nothing() {
    let sandbox = samples::sandbox();
    moved(&sandbox, "3", "three");
    sandbox.killed_at("read-tree", 1, &["patches", "rebase"]);
    sandbox.ok(&["patches", "rebase"]);
    series_is_sound(&sandbox, "releng-15.1");
}

#[test]
fn a_kill_during_the_checkout_of_a_conflict_shows_it_again() {
    for word in ["worktree", "reset", "update-index"] {
        let sandbox = samples::sandbox();
        let before = sandbox.files();
        moved(&sandbox, "5", "V");
        let n = if word == "update-index" { 4 } else { 1 };
        sandbox.killed_at(word, n, &["patches", "rebase"]);
        let err = sandbox.fails(2, &["patches", "rebase", "--continue"]);
        assert!(
            err.contains("apply the patch `five` to releng-15.1"),
            "{word}: {err}"
        );
        assert!(err.contains("<<<<<<< kdk/base"), "{word}: {err}");
        sandbox.ok(&["patches", "rebase", "--abort"]);
        assert_eq!(sandbox.files(), before);
    }
}

#[test]
fn patches_that_changed_meanwhile_are_not_overwritten() {
    let sandbox = samples::sandbox();
    moved(&sandbox, "5", "V");
    sandbox.fails(2, &["patches", "rebase"]);
    let text = sandbox.file("ten.patch").replace("One more", "Two more");
    fs::write(sandbox.series().join("ten.patch"), text).unwrap();
    let before = sandbox.files();
    let err = sandbox.fails(2, &["patches", "rebase", "--continue"]);
    assert!(err.contains("have changed since it began"), "{err}");
    assert_eq!(sandbox.files(), before);
}

#[test]
fn the_base_may_move_on_meanwhile() {
    let sandbox = samples::sandbox();
    moved(&sandbox, "5", "V");
    sandbox.fails(2, &["patches", "rebase"]);
    moved(&sandbox, "30", "thirty");
    let file = worktree(&sandbox).join("sys/kern/a.c");
    resolve(&file, "5 five\n");
    assert!(fs::read_to_string(&file).unwrap().contains("5 five\n"));
    sandbox.ok(&["patches", "rebase", "--continue"]);
    sandbox.ok(&["patches", "rebase"]);
    series_is_sound(&sandbox, "releng-15.1");
}

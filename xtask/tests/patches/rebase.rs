//! `rebase`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::place::{Place, git, without_ids};
use crate::samples::{self, MANIFEST, set_line};

fn a(place: &Place) -> PathBuf {
    place.path("src/sys/kern/a.c")
}

fn desk(place: &Place) -> PathBuf {
    place.path("home/edits/releng-15.1/@rebase/src")
}

/// Moves the base: line `from` becomes `to`.
fn moved(place: &Place, from: &str, to: &str) {
    set_line(&a(place), from, to);
    place.commit("src", "moved");
}

fn series_is_sound(place: &Place, series: &str) {
    let out = place.ok(&["patches", "refresh", "--series", series]);
    assert!(out.ends_with("nothing changed\n"), "{out}");
}

#[test]
fn patches_are_merged_into_what_the_base_is_now() {
    let place = samples::place();
    // The context of the first two changes: fuzz is 0, they do not apply.
    moved(&place, "3", "three");
    let param = place.path("src/sys/sys/param.h");
    fs::write(param, "#define __FreeBSD_version 1501001\n").unwrap();
    place.commit("src", "moved on");
    place.fails(2, &["patches", "refresh"]);
    insta::assert_snapshot!(without_ids(&place.ok(&["patches", "rebase"])));
    let five = place.file("five.patch");
    assert!(five.contains(" three\n 4\n-5\n+5 five\n"), "{five}");
    // The manifest is the same but for the version.
    assert_eq!(
        place.file("series.yaml"),
        MANIFEST.replace("1501000", "1501001")
    );
    series_is_sound(&place, "releng-15.1");
    // Again it is nothing.
    let before = place.files();
    let out = place.ok(&["patches", "rebase"]);
    assert!(
        without_ids(&out).contains("fits releng-15.1 at COMMIT as it is"),
        "{out}"
    );
    assert_eq!(place.files(), before);
}

/// Puts `text` in the place of the conflict.
fn resolve(file: &Path, with: &str) {
    let text = fs::read_to_string(file).unwrap();
    let (head, rest) = text.split_once("<<<<<<<").unwrap();
    let (_, tail) = rest.split_once(">>>>>>>").unwrap();
    let (_, tail) = tail.split_once('\n').unwrap();
    fs::write(file, format!("{head}{with}{tail}")).unwrap();
}

#[test]
fn a_conflict_is_shown_and_resolved() {
    let place = samples::place();
    let before = place.files();
    moved(&place, "5", "V");
    let mut texts = vec![place.fails(2, &["patches", "rebase"])];
    let file = desk(&place).join("sys/kern/a.c");
    for args in [
        &["patches", "rebase", "--continue"][..],
        &["patches", "rebase"],
        &["patches", "edit", "ten"],
    ] {
        texts.push(place.fails(2, args));
    }
    insta::assert_snapshot!(without_ids(&texts.join("\n")));
    assert_eq!(place.files(), before);
    resolve(&file, "V five\n");
    // The next one does not merge with what was made of this one.
    let err = place.fails(2, &["patches", "rebase", "--continue"]);
    assert!(err.contains("put the patch `six` on"), "{err}");
    resolve(&file, "V five\n6 six\n");
    place.ok(&["patches", "rebase", "--continue"]);
    assert!(place.file("five.patch").contains("-V\n+V five\n"));
    assert!(place.file("five.patch").contains("From: An Author"));
    series_is_sound(&place, "releng-15.1");
    let err = place.fails(2, &["patches", "rebase", "--continue"]);
    assert!(err.contains("none of releng-15.1 is on the way"), "{err}");
}

#[test]
fn a_file_that_is_gone_is_a_conflict_that_git_answers() {
    let place = samples::place();
    fs::remove_file(place.path("src/contrib/lib/lib.c")).unwrap();
    place.commit("src", "gone");
    let err = place.fails(2, &["patches", "rebase"]);
    assert!(
        err.contains("contrib/lib/lib.c: removed on one side"),
        "{err}"
    );
    insta::assert_snapshot!(without_ids(
        &place.fails(2, &["patches", "rebase", "--continue"])
    ));
    git(
        &desk(&place),
        &["rm", "-q", "--sparse", "contrib/lib/lib.c"],
    );
    place.ok(&["patches", "rebase", "--continue"]);
    assert!(!place.file("ten.patch").contains("lib.c"));
    series_is_sound(&place, "releng-15.1");
}

#[test]
fn given_up_all_is_as_it_was() {
    let place = samples::place();
    let before = place.files();
    moved(&place, "5", "V");
    place.fails(2, &["patches", "rebase"]);
    place.ok(&["patches", "rebase", "--abort"]);
    assert_eq!(place.files(), before);
    assert!(!desk(&place).exists());
    let err = place.fails(2, &["patches", "rebase", "--abort"]);
    assert!(err.contains("none of releng-15.1 is on the way"), "{err}");
    // And it can begin anew.
    place.fails(2, &["patches", "rebase"]);
}

#[test]
fn a_patch_that_has_landed_leaves_the_series() {
    let place = samples::place();
    moved(&place, "5", "5 five");
    insta::assert_snapshot!(without_ids(&place.ok(&["patches", "rebase"])));
    assert!(!place.series().join("five.patch").exists());
    insta::assert_snapshot!(place.file("series.yaml"));
    series_is_sound(&place, "releng-15.1");
}

#[test]
fn when_all_have_landed_the_series_is_empty() {
    let place = samples::place();
    for (line, id) in [("5", "five"), ("6", "six"), ("10", "ten")] {
        set_line(&a(&place), line, &format!("{line} {id}"));
    }
    fs::write(place.path("src/contrib/lib/lib.c"), "lib ten\n").unwrap();
    place.commit("src", "all");
    place.ok(&["patches", "rebase"]);
    let text = place.file("series.yaml");
    assert!(text.contains("\npatches: []\n"), "{text}");
    series_is_sound(&place, "releng-15.1");
}

#[test]
fn a_series_is_put_on_another_base() {
    let place = samples::place();
    let before = place.files();
    place.tree("main", 1_600_000);
    set_line(&place.path("main/sys/kern/a.c"), "3", "three");
    set_line(&place.path("main/sys/kern/a.c"), "10", "10 ten");
    fs::write(place.path("main/contrib/lib/lib.c"), "lib ten\n").unwrap();
    place.commit("main", "another");
    let main = place.path("main").display().to_string();
    place.ok(&["base", "add", "main", "--src", &main]);
    let out = place.ok(&[
        "patches",
        "rebase",
        "--onto",
        "main",
        "--series",
        "releng-15.1",
    ]);
    insta::assert_snapshot!(without_ids(&out));
    let read = |name: &str| fs::read_to_string(place.patches().join("main").join(name)).unwrap();
    insta::assert_snapshot!(read("series.yaml"));
    assert_eq!(read("cover.md"), "# Three patches\n");
    assert!(read("five.patch").contains(" three\n 4\n-5\n+5 five\n"));
    // The old one is as it was.
    let files = place.files();
    assert!(before.iter().all(|file| files.contains(file)));
    series_is_sound(&place, "main");
    insta::assert_snapshot!(place.fails(
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
fn a_killed_rebase_goes_on() {
    // At each patch, while a conflict is laid out, and before the end.
    for (word, n) in [
        ("merge-tree", 1),
        ("merge-tree", 3),
        ("commit-tree", 12),
        ("format-patch", 2),
        ("prune", 1),
    ] {
        let place = samples::place();
        let before = place.files();
        moved(&place, "3", "three");
        place.killed_at(word, n, &["patches", "rebase"]);
        if word != "prune" {
            assert_eq!(place.files(), before, "{word} {n}");
            let err = place.fails(2, &["patches", "rebase"]);
            assert!(err.contains("is not finished"), "{err}");
        }
        place.ok(&["patches", "rebase", "--continue"]);
        assert!(place.file("five.patch").contains(" three\n"), "{word} {n}");
        series_is_sound(&place, "releng-15.1");
    }
}

#[test]
fn a_kill_before_the_rebase_has_begun_is_nothing() {
    let place = samples::place();
    moved(&place, "3", "three");
    place.killed_at("read-tree", 1, &["patches", "rebase"]);
    place.ok(&["patches", "rebase"]);
    series_is_sound(&place, "releng-15.1");
}

#[test]
fn a_kill_while_a_conflict_is_laid_out_shows_it_again() {
    for word in ["worktree", "reset", "update-index"] {
        let place = samples::place();
        let before = place.files();
        moved(&place, "5", "V");
        let n = if word == "update-index" { 4 } else { 1 };
        place.killed_at(word, n, &["patches", "rebase"]);
        let err = place.fails(2, &["patches", "rebase", "--continue"]);
        assert!(
            err.contains("put the patch `five` on releng-15.1"),
            "{word}: {err}"
        );
        assert!(err.contains("<<<<<<< kdk/base"), "{word}: {err}");
        place.ok(&["patches", "rebase", "--abort"]);
        assert_eq!(place.files(), before);
    }
}

#[test]
fn patches_that_changed_meanwhile_are_not_overwritten() {
    let place = samples::place();
    moved(&place, "5", "V");
    place.fails(2, &["patches", "rebase"]);
    let text = place.file("ten.patch").replace("One more", "Two more");
    fs::write(place.series().join("ten.patch"), text).unwrap();
    let before = place.files();
    let err = place.fails(2, &["patches", "rebase", "--continue"]);
    assert!(err.contains("have changed since it began"), "{err}");
    assert_eq!(place.files(), before);
}

#[test]
fn the_base_may_move_on_meanwhile() {
    let place = samples::place();
    moved(&place, "5", "V");
    place.fails(2, &["patches", "rebase"]);
    moved(&place, "30", "thirty");
    let file = desk(&place).join("sys/kern/a.c");
    resolve(&file, "5 five\n");
    assert!(fs::read_to_string(&file).unwrap().contains("5 five\n"));
    place.ok(&["patches", "rebase", "--continue"]);
    place.ok(&["patches", "rebase"]);
    series_is_sound(&place, "releng-15.1");
}

//! `drift`.

use std::fs;

use crate::place::{Place, git, write};
use crate::samples::{self, set_line};
use crate::texts::whole;

#[test]
fn help() {
    let place = Place::new();
    insta::assert_snapshot!(place.ok(&["patches", "drift", "--help"]));
}

#[test]
fn every_patch_on_every_target_is_a_line() {
    let place = samples::place();
    git(&place.path(""), &["clone", "-q", "src", "near"]);
    let near = place.path("near/sys/kern/a.c");
    fs::write(&near, format!("0\n{}", fs::read_to_string(&near).unwrap())).unwrap();
    place.commit("near", "One more line");
    git(
        &place.path(""),
        &["clone", "-q", "--bare", "work", "landed.git"],
    );
    git(&place.path(""), &["clone", "-q", "src", "far"]);
    set_line(&place.path("far/sys/kern/a.c"), "5", "fuenf");
    place.commit("far", "In German");
    let lines: String = (1..=30).map(|n| format!("{n}\n")).collect();
    write(&place.path("plain/sys/kern/a.c"), &lines);
    let targets = ["releng-15.1", "near", "landed.git", "far", "plain"];
    let mut args = vec!["patches", "drift", "--json", "out.json", "--to"];
    args.extend(targets);
    let ran = place.xtask(&args);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    insta::assert_snapshot!(whole(&place, &format!("{}{}", ran.out, ran.err)));
    let json = fs::read(place.path("out.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let told = |target: usize| {
        let patches = json["targets"][target]["patches"]
            .as_array()
            .unwrap()
            .iter();
        patches
            .map(|patch| patch["outcome"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(0), ["applies", "applies", "applies"]);
    assert_eq!(told(1), ["offset", "offset", "offset"]);
    assert_eq!(told(2), ["landed", "landed", "landed"]);
    assert_eq!(told(3), ["conflicts", "conflicts", "applies"]);
    assert_eq!(told(4), ["applies", "applies", "conflicts"]);
}

#[test]
fn without_a_conflict_it_succeeds() {
    let place = samples::place();
    let out = place.ok(&["patches", "drift", "--to", "releng-15.1"]);
    assert_eq!(out.matches("applies").count(), 3, "{out}");
}

#[test]
fn what_it_cannot_look_at_is_said_before_anything_else() {
    let place = samples::place();
    let args = ["patches", "drift", "--to", "releng-15.1", "./nowhere"];
    let mut texts = place.fails(2, &args);
    texts += &place.fails(2, &["patches", "drift", "--to", "releng-15"]);
    // The series itself has to fit its base.
    set_line(&place.path("src/sys/kern/a.c"), "10", "zehn");
    place.commit("src", "In German");
    let ran = place.xtask(&["patches", "drift", "--to", "releng-15.1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    texts += &ran.err;
    insta::assert_snapshot!(whole(&place, &texts));
}

#[test]
fn changes_that_are_not_committed_are_left_out_and_named() {
    let place = samples::place();
    git(&place.path(""), &["clone", "-q", "src", "near"]);
    set_line(&place.path("near/sys/kern/a.c"), "5", "fuenf");
    let ran = place.xtask(&["patches", "drift", "--to", "near"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.err,
        "TMP/near/sys/kern/a.c is not as it was committed; the commit is what counts\n"
    );
}

//! Tests of `patches drift`.

use std::fs;

use crate::samples::{self, set_line};
use crate::sandbox::{Sandbox, git, write};
use crate::texts::unwrapped;

#[test]
fn help() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.ok(&["patches", "drift", "--help"]));
}

#[test]
fn every_patch_on_every_target_is_a_line() {
    let sandbox = samples::sandbox();
    git(&sandbox.path(""), &["clone", "-q", "src", "near"]);
    let near = sandbox.path("near/sys/kern/a.c");
    fs::write(&near, format!("0\n{}", fs::read_to_string(&near).unwrap())).unwrap();
    sandbox.commit("near", "One more line");
    git(
        &sandbox.path(""),
        &["clone", "-q", "--bare", "work", "landed.git"],
    );
    git(&sandbox.path(""), &["clone", "-q", "src", "far"]);
    set_line(&sandbox.path("far/sys/kern/a.c"), "5", "fuenf");
    sandbox.commit("far", "In German");
    let lines: String = (1..=30).map(|n| format!("{n}\n")).collect();
    write(&sandbox.path("plain/sys/kern/a.c"), &lines);
    let targets = ["releng-15.1", "near", "landed.git", "far", "plain"];
    let mut args = vec!["patches", "drift", "--json", "out.json", "--to"];
    args.extend(targets);
    let ran = sandbox.xtask(&args);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    insta::assert_snapshot!(unwrapped(&sandbox, &format!("{}{}", ran.out, ran.err)));
    let json = fs::read(sandbox.path("out.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let outcomes = |target: usize| {
        let patches = json["targets"][target]["patches"]
            .as_array()
            .unwrap()
            .iter();
        patches
            .map(|patch| patch["outcome"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(outcomes(0), ["applies", "applies", "applies"]);
    assert_eq!(outcomes(1), ["offset", "offset", "offset"]);
    assert_eq!(outcomes(2), ["landed", "landed", "landed"]);
    assert_eq!(outcomes(3), ["conflicts", "conflicts", "applies"]);
    assert_eq!(outcomes(4), ["applies", "applies", "conflicts"]);
}

#[test]
fn without_a_conflict_it_succeeds() {
    let sandbox = samples::sandbox();
    let out = sandbox.ok(&["patches", "drift", "--to", "releng-15.1"]);
    assert_eq!(out.matches("applies").count(), 3, "{out}");
}

#[test]
fn a_target_that_cannot_be_read_is_reported_first() {
    let sandbox = samples::sandbox();
    let args = ["patches", "drift", "--to", "releng-15.1", "./nowhere"];
    let mut texts = sandbox.fails(2, &args);
    texts += &sandbox.fails(2, &["patches", "drift", "--to", "releng-15"]);
    // The series itself must apply to its base.
    set_line(&sandbox.path("src/sys/kern/a.c"), "10", "zehn");
    sandbox.commit("src", "In German");
    let ran = sandbox.xtask(&["patches", "drift", "--to", "releng-15.1"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    texts += &ran.err;
    insta::assert_snapshot!(unwrapped(&sandbox, &texts));
}

#[test]
fn changes_that_are_not_committed_are_left_out_and_named() {
    let sandbox = samples::sandbox();
    git(&sandbox.path(""), &["clone", "-q", "src", "near"]);
    set_line(&sandbox.path("near/sys/kern/a.c"), "5", "fuenf");
    let ran = sandbox.xtask(&["patches", "drift", "--to", "near"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.err,
        "TMP/near/sys/kern/a.c has uncommitted changes, which are ignored\n"
    );
}

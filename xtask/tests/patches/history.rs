//! `range-diff` and `log`.

use std::fs;

use crate::samples::{self, MANIFEST, set_line};
use crate::sandbox::{Sandbox, git, without_ids};
use crate::texts::unwrapped;

/// Puts the folder of all series into a git repository.
fn kept(sandbox: &Sandbox) {
    git(&sandbox.patches(), &["init", "-q"]);
    sandbox.commit("patches", "The series, first sent");
    git(&sandbox.patches(), &["tag", "v1"]);
}

/// Returns `text` without the days and short ids of `log`.
fn without_days(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("    20") {
        Some(rest) => format!("    DAY  ID{}\n", &rest[rest.find("  r").unwrap()..]),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn help() {
    let sandbox = Sandbox::new();
    for command in ["range-diff", "log"] {
        let help = sandbox.ok(&["patches", command, "--help"]);
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn a_series_is_compared_with_what_it_was() {
    let sandbox = samples::sandbox();
    kept(&sandbox);
    let out = sandbox.ok(&["patches", "range-diff", "v1"]);
    assert_eq!(out.matches("unchanged").count(), 3, "{out}");
    // One patch changed, one removed, one added.
    let six = sandbox.file("six.patch");
    let six = six
        .replace("+6 six", "+6 sechs")
        .replace("Count to six", "Count to sechs");
    fs::write(sandbox.series().join("six.patch"), six).unwrap();
    let ten = sandbox
        .file("ten.patch")
        .replace("Count to ten", "Count on");
    fs::write(sandbox.series().join("more.patch"), ten).unwrap();
    fs::remove_file(sandbox.series().join("ten.patch")).unwrap();
    let manifest = MANIFEST
        .replace("revision: 1", "revision: 2")
        .replace("ten", "more");
    fs::write(sandbox.series().join("series.yaml"), manifest).unwrap();
    let out = sandbox.ok(&["patches", "range-diff", "v1"]);
    let ids = |line: &str| match line.starts_with("1:  ") {
        true => "1:  ID ! 1:  ID ...".to_owned(),
        false => line.to_owned(),
    };
    let out: Vec<String> = without_ids(&out).lines().map(ids).collect();
    insta::assert_snapshot!(out.join("\n"));
}

#[test]
fn what_cannot_be_compared_is_reported() {
    let sandbox = samples::sandbox();
    let diff = |rev: &str| sandbox.fails(2, &["patches", "range-diff", rev]);
    let mut texts = vec![diff("v1")];
    kept(&sandbox);
    texts.push(diff("v2"));
    fs::remove_dir_all(sandbox.series()).unwrap();
    sandbox.commit("patches", "Gone");
    git(&sandbox.patches(), &["checkout", "-q", "v1", "--", "."]);
    texts.push(diff("HEAD"));
    // The base has moved on, and the series with it.
    set_line(&sandbox.path("src/sys/kern/a.c"), "10", "zehn");
    sandbox.commit("src", "In German");
    let ten = sandbox.file("ten.patch");
    let ten = ten.replace("-10\n", "-zehn\n").replace("index ", "index 0");
    fs::write(sandbox.series().join("ten.patch"), ten).unwrap();
    texts.push(diff("v1"));
    // It is for another version of FreeBSD.
    let manifest = sandbox.file("series.yaml");
    let older = manifest.replace("1501000", "1500000");
    fs::write(sandbox.series().join("series.yaml"), older).unwrap();
    sandbox.commit("patches", "Older");
    fs::write(sandbox.series().join("series.yaml"), manifest).unwrap();
    texts.push(diff("HEAD"));
    insta::assert_snapshot!(unwrapped(&sandbox, &texts.join("\n")));
}

#[test]
fn the_log_of_each_file_with_its_revision() {
    let sandbox = samples::sandbox();
    kept(&sandbox);
    let six = sandbox.file("six.patch").replace("+6 six", "+6 sechs");
    fs::write(sandbox.series().join("six.patch"), six).unwrap();
    let manifest = MANIFEST.replace("revision: 1", "revision: 2").replace(
        "    needs: [five]\n",
        "    needs: [five]\n    upstream: {status: submitted, channel: phabricator, url: \
         'https://reviews.FreeBSD.org/D1', reason: waits}\n",
    );
    fs::write(sandbox.series().join("series.yaml"), manifest).unwrap();
    sandbox.commit("patches", "six: In German");
    fs::write(sandbox.series().join("cover.md"), "# Now three\n").unwrap();
    insta::assert_snapshot!(without_days(&sandbox.ok(&["patches", "log"])));
    let one = sandbox.ok(&["patches", "log", "six"]);
    insta::assert_snapshot!(without_days(&one));
}

#[test]
fn what_has_no_log_is_reported() {
    let sandbox = samples::sandbox();
    let mut texts = sandbox.fails(2, &["patches", "log"]);
    git(&sandbox.patches(), &["init", "-q"]);
    let nothing = sandbox.ok(&["patches", "log", "ten"]);
    assert!(nothing.ends_with("    not committed  r1\n"), "{nothing}");
    texts += &sandbox.fails(2, &["patches", "log", "sixx"]);
    insta::assert_snapshot!(unwrapped(&sandbox, &texts));
}

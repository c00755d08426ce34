//! `range-diff` and `log`.

use std::fs;

use crate::place::{Place, git, without_ids};
use crate::samples::{self, MANIFEST, set_line};
use crate::texts::whole;

/// Puts the folder of all series into a repository of its own.
fn kept(place: &Place) {
    git(&place.patches(), &["init", "-q"]);
    place.commit("patches", "The series, first sent");
    git(&place.patches(), &["tag", "v1"]);
}

/// `text` with the day and the short ids of `log` taken out.
fn without_days(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("    20") {
        Some(rest) => format!("    DAY  ID{}\n", &rest[rest.find("  r").unwrap()..]),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn help() {
    let place = Place::new();
    for verb in ["range-diff", "log"] {
        let help = place.ok(&["patches", verb, "--help"]);
        insta::assert_snapshot!(format!("help_{verb}"), help);
    }
}

#[test]
fn a_series_is_compared_with_what_it_was() {
    let place = samples::place();
    kept(&place);
    let out = place.ok(&["patches", "range-diff", "v1"]);
    assert_eq!(out.matches("unchanged").count(), 3, "{out}");
    // Another message and change, one patch gone, one new.
    let six = place.file("six.patch");
    let six = six
        .replace("+6 six", "+6 sechs")
        .replace("Count to six", "Count to sechs");
    fs::write(place.series().join("six.patch"), six).unwrap();
    let ten = place.file("ten.patch").replace("Count to ten", "Count on");
    fs::write(place.series().join("more.patch"), ten).unwrap();
    fs::remove_file(place.series().join("ten.patch")).unwrap();
    let manifest = MANIFEST
        .replace("revision: 1", "revision: 2")
        .replace("ten", "more");
    fs::write(place.series().join("series.yaml"), manifest).unwrap();
    let out = place.ok(&["patches", "range-diff", "v1"]);
    let ids = |line: &str| match line.starts_with("1:  ") {
        true => "1:  ID ! 1:  ID ...".to_owned(),
        false => line.to_owned(),
    };
    let out: Vec<String> = without_ids(&out).lines().map(ids).collect();
    insta::assert_snapshot!(out.join("\n"));
}

#[test]
fn what_cannot_be_compared_is_said() {
    let place = samples::place();
    let diff = |rev: &str| place.fails(2, &["patches", "range-diff", rev]);
    let mut texts = vec![diff("v1")];
    kept(&place);
    texts.push(diff("v2"));
    fs::remove_dir_all(place.series()).unwrap();
    place.commit("patches", "Gone");
    git(&place.patches(), &["checkout", "-q", "v1", "--", "."]);
    texts.push(diff("HEAD"));
    // The base went on; the series went with it.
    set_line(&place.path("src/sys/kern/a.c"), "10", "zehn");
    place.commit("src", "In German");
    let ten = place.file("ten.patch");
    let ten = ten.replace("-10\n", "-zehn\n").replace("index ", "index 0");
    fs::write(place.series().join("ten.patch"), ten).unwrap();
    texts.push(diff("v1"));
    // It was made for another FreeBSD.
    let manifest = place.file("series.yaml");
    let older = manifest.replace("1501000", "1500000");
    fs::write(place.series().join("series.yaml"), older).unwrap();
    place.commit("patches", "Older");
    fs::write(place.series().join("series.yaml"), manifest).unwrap();
    texts.push(diff("HEAD"));
    insta::assert_snapshot!(whole(&place, &texts.join("\n")));
}

#[test]
fn the_log_of_each_file_with_its_revision() {
    let place = samples::place();
    kept(&place);
    let six = place.file("six.patch").replace("+6 six", "+6 sechs");
    fs::write(place.series().join("six.patch"), six).unwrap();
    let manifest = MANIFEST.replace("revision: 1", "revision: 2").replace(
        "    needs: [five]\n",
        "    needs: [five]\n    upstream: {status: submitted, channel: phabricator, url: \
         'https://reviews.FreeBSD.org/D1', reason: waits}\n",
    );
    fs::write(place.series().join("series.yaml"), manifest).unwrap();
    place.commit("patches", "six: In German");
    fs::write(place.series().join("cover.md"), "# Now three\n").unwrap();
    insta::assert_snapshot!(without_days(&place.ok(&["patches", "log"])));
    let one = place.ok(&["patches", "log", "six"]);
    insta::assert_snapshot!(without_days(&one));
}

#[test]
fn what_has_no_log_is_said() {
    let place = samples::place();
    let mut texts = place.fails(2, &["patches", "log"]);
    git(&place.patches(), &["init", "-q"]);
    let nothing = place.ok(&["patches", "log", "ten"]);
    assert!(nothing.ends_with("    not committed  r1\n"), "{nothing}");
    texts += &place.fails(2, &["patches", "log", "sixx"]);
    insta::assert_snapshot!(whole(&place, &texts));
}

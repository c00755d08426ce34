//! `cargo xtask bisect` and `step`: what they say before anything is built.

use std::process::Command;

use crate::sandbox::{Sandbox, git, without_ids, write};

const MANIFEST: &str = "schema: 1
series: {name: releng-15.1, revision: 1}
base: {repo: r, branch: b, osreldate: 1501000}
patches:
  - {id: boot, file: boot.patch, class: enabling, provenance: {origin: own, ai_assisted: false}}
  - {id: five, file: five.patch, class: fix, needs: [four], provenance: {origin: own, ai_assisted: false}}
";

fn diff(from: u32, to: &str) -> String {
    format!(
        "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -{},3 +{},3 @@\n {}\n-{from}\n+{to}\n {}\n",
        from - 1,
        from - 1,
        from - 1,
        from + 1
    )
}

/// Returns a sandbox with a series of an enabling patch and two more, and a
/// history: documents, sources, a conflict with its end, and a merge.
fn sandbox() -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::new();
    let manifest = MANIFEST.replace(
        "  - {id: five",
        "  - {id: four, file: four.patch, class: fix, provenance: {origin: own, ai_assisted: false}}\n  - {id: five",
    );
    write(&sandbox.series().join("series.yaml"), &manifest);
    write(&sandbox.series().join("boot.patch"), &diff(20, "twenty"));
    write(&sandbox.series().join("four.patch"), &diff(4, "four"));
    write(
        &sandbox.series().join("five.patch"),
        "--- a/sys/kern/b.c\n+++ b/sys/kern/b.c\n@@ -1 +1 @@\n-b\n+5\n",
    );
    let src = sandbox.path("src");
    let mut ids = vec![git(&src, &["rev-parse", "HEAD"])];
    let set = |from: &str, to: &str| {
        let path = src.join("sys/kern/a.c");
        let text = std::fs::read_to_string(&path).unwrap();
        write(
            &path,
            &text.replace(&format!("\n{from}\n"), &format!("\n{to}\n")),
        );
    };
    let mut commit = |message: &str| ids.push(sandbox.commit("src", message));
    write(&src.join("share/man/man9/x.9"), "doc\n");
    commit("man: Describe x");
    set("10", "ten");
    commit("kern: Use ten");
    set("20", "vingt");
    commit("kern: Conflict with the enabling patch");
    write(&src.join("sys/kern/c.c"), "c\n");
    commit("kern: Add c");
    set("vingt", "twenty");
    commit("kern: Land the enabling patch");
    set("4", "vier");
    commit("kern: Conflict with the fix");
    git(&src, &["checkout", "-q", "-b", "side", "HEAD~1"]);
    write(&src.join("sys/kern/side.c"), "s\n");
    sandbox.commit("src", "side");
    git(&src, &["checkout", "-q", "-"]);
    git(
        &src,
        &["merge", "-q", "--no-ff", "-m", "Merge side", "side"],
    );
    ids.push(git(&src, &["rev-parse", "HEAD"]));
    (sandbox, ids)
}

fn bisect<'a>(good: &'a str, bad: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec![
        "bisect",
        "--base",
        "releng-15.1",
        "--good",
        good,
        "--bad",
        bad,
    ];
    args.extend(["--test", "smoke/*"]);
    args.extend(more);
    args
}

#[test]
fn a_dry_run_says_what_would_be_tested() {
    let (sandbox, ids) = sandbox();
    let plan = |bad: &str, more: &[&str]| {
        let args = bisect(&ids[0], bad, &[&["--dry-run"], more].concat());
        without_ids(&sandbox.ok(&args))
    };
    let text = [
        plan("HEAD", &[]),
        plan(&ids[5], &["--with", "five", "--jobs", "2"]),
    ];
    insta::assert_snapshot!(text.join("\n"));
    assert!(!sandbox.path("home/obj").exists());
}

#[test]
fn bad_input_is_one_clear_error() {
    let (sandbox, ids) = sandbox();
    let side = git(&sandbox.path("src"), &["rev-parse", "side"]);
    let (first, last) = (ids[0].as_str(), ids[ids.len() - 1].as_str());
    let mut texts = Vec::new();
    for args in [
        bisect(first, first, &[]),
        bisect(last, first, &[]),
        bisect(&side, last, &[]),
        bisect(first, "no-such-branch", &[]),
        bisect(first, last, &["--with", "fiev"]),
        bisect(first, last, &["--signature", "panic: (a"]),
        bisect(first, last, &["--test", "["]),
        // A patch conflicts with the bad commit.
        bisect(first, &ids[3], &[]),
        bisect(first, last, &["--with", "five", "--dry-run"]),
        vec!["bisect", "--resume"],
        vec!["bisect", "--resume", "--test", "a/*"],
        vec![
            "bisect",
            "--base",
            "releng-15.1",
            "--good",
            first,
            "--test",
            "a/*",
        ],
        vec!["bisect", "--base", "main", "--series", "--test", "a/*"],
        vec!["bisect", "--base", "releng-15.1", "--series"],
        bisect(first, last, &["--metric", "ns", "--worse-than", "much"]),
    ] {
        texts.push(without_ids(&sandbox.fails(2, &args)));
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_branch_that_moves_is_another_request() {
    let (sandbox, ids) = sandbox();
    let src = sandbox.path("src");
    git(&src, &["branch", "moving", &ids[2]]);
    // The state that an interrupted bisection leaves.
    interrupted(&sandbox, &ids[0], &ids[2]);
    git(&src, &["branch", "-f", "moving", &ids[5]]);
    let failed = sandbox.fails(2, &bisect(&ids[0], "moving", &["--resume"]));
    assert!(
        failed.contains("none with this request was interrupted"),
        "{failed}"
    );
}

#[test]
fn a_rewritten_range_is_one_clear_error() {
    let (sandbox, ids) = sandbox();
    let log = interrupted(&sandbox, &ids[0], &"1".repeat(40));
    let failed = sandbox.fails(2, &["bisect", "--resume"]);
    assert!(failed.contains("was rewritten since"), "{failed}");
    assert!(log.exists());
}

/// Writes the state of a bisection that was interrupted, and returns its log.
fn interrupted(sandbox: &Sandbox, good: &str, bad: &str) -> std::path::PathBuf {
    let state = sandbox.path("home/bisects/0123456789abcdef");
    write(
        &state.join("request.json"),
        &format!(
            r#"{{"base":"releng-15.1","range":{{"commits":{{"good":"{good}","bad":"{bad}"}}}},
            "tests":{{"suites":["smoke/*"]}},"signature":null,"metric":null,"with":[],"cpus":[],"runs":20}}"#
        ),
    );
    write(&state.join("log.jsonl"), "");
    state.join("log.jsonl")
}

#[test]
fn a_step_has_the_exit_codes_of_git_bisect_run() {
    let (sandbox, ids) = sandbox();
    let src = sandbox.path("src");
    let step = |args: &[&str], commit: &str| {
        git(&src, &["checkout", "-q", commit]);
        let mut command: Command =
            sandbox.command(&[&["step", "--base", "releng-15.1"], args].concat());
        command.current_dir(src.join("sys"));
        sandbox.run(command)
    };
    // The enabling patch conflicts.
    let skipped = step(&["--test", "smoke/*"], &ids[3]);
    assert_eq!(skipped.code, Some(125), "{}", skipped.err);
    assert_eq!(
        skipped.out,
        "skipped: the patch `boot` conflicts in sys/kern/a.c\n"
    );
    for args in [
        &["--tset", "smoke/*"][..],
        &[],
        &["--test", "["],
        &["--test", "smoke/*", "--src", "/"],
        &["--test", "smoke/*", "--src", "/no/such"],
        &["--test", "smoke/*", "--with", "no-such"],
        &["--test", "smoke/*", "--signature", "("],
    ] {
        let ran = step(args, &ids[1]);
        assert_eq!(ran.code, Some(130), "{args:?}: {}", ran.err);
    }
    assert_eq!(step(&["--help"], &ids[1]).code, Some(0));
    // Another clone: what the help says must work.
    let other = sandbox.path("other").to_string_lossy().into_owned();
    git(&src, &["clone", "-q", ".", &other]);
    let ran = step(&["--test", "smoke/*", "--src", &other], &ids[1]);
    assert_eq!(ran.code, Some(130), "{}", ran.err);
    assert!(
        ran.err.contains("cargo xtask base remove releng-15.1"),
        "{}",
        ran.err
    );
}

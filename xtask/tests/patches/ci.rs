//! `cargo xtask ci` on a small series. Instead of kdk, a script runs the tasks
//! and writes the results.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::samples;
use crate::sandbox::{Ran, Sandbox, git, without_ids, write};

const MATRIX: &str = "\
schema: 1
bases: [releng-15.1]
revision:
  - run: lint
  - run: suites
    suites: [smoke]
  - run: prove
  - run: prefixes
nightly:
  - run: base
    suites: [smoke]
";

/// Writes a passed result for each job of the task `$4`. The job `FAIL` fails,
/// and the one called `LOST` ends the task.
const SCRIPT: &str = r#"#!/bin/sh
task=$4
results=$(sed -n 's/^  "results": "\(.*\)",$/\1/p' "$task")
revision=$(sed -n 's/^  "revision": "\(.*\)",$/\1/p' "$task")
mkdir -p "$results"
case "$results" in "$KDK_HOME"/*) store=1 ;; *) store=0 ;; esac
echo "$task" >> "$KDK_HOME/tasks.log"
awk -F'"' -v dir="$results" -v revision="$revision" -v fail="$FAIL" -v lost="$LOST" -v store=$store '
    function put(key) {
        verdict = id == fail ? "failed" : "passed"
        why = id == fail ? "smoke/a CRASH" : ""
        file = dir "/" key ".json"
        printf "{\"schema\": 1, \"job\": \"%s\", \"key\": \"%s\", \"revision\": \"%s\", ", id, key, revision > file
        printf "\"verdict\": \"%s\", \"why\": \"%s\", \"began\": 1, \"ms\": 2000, \"host\": \"h\"}\n", verdict, why > file
        close(file)
    }
    /"id":/ { id = $4; if (id == lost) exit 5 }
    /"key":/ { put($4) }
    # The other keys that the result is valid for.
    store && /^ *"[0-9a-f]*",?$/ { put($2) }' "$task" || exit 5
echo '{"schema": 1}' > "${task%.json}.done"
"#;

/// Returns a sandbox with three patches that have tests, and their matrix.
fn sandbox() -> Sandbox {
    let sandbox = samples::sandbox();
    let manifest = sandbox.file("series.yaml");
    let manifest = manifest
        .replace("    needs: []\n", "    check: {tests: [smoke/a]}\n")
        .replace(
            "    needs: [five]\n",
            "    needs: [five]\n    check: {tests: [smoke/b]}\n",
        )
        .replace(
            "    class: feature\n",
            "    class: feature\n    check: {tests: [kqueue/c]}\n",
        );
    write(&sandbox.series().join("series.yaml"), &manifest);
    write(&sandbox.path("matrix.yaml"), MATRIX);
    let script = sandbox.path("tasks");
    write(&script, SCRIPT);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    sandbox
}

/// Runs `ci run ARGS`, with variables for the script.
fn ci(sandbox: &Sandbox, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let script = sandbox.path("tasks").display().to_string();
    let all = [&["ci", "run", "--task-program", &script], args].concat();
    let mut command = sandbox.command(&all);
    command.env("KDK_MATRIX", sandbox.path("matrix.yaml"));
    command.envs(variables.iter().copied());
    let mut ran = sandbox.run(command);
    ran.out = without_ids(&ran.out);
    ran.err = without_ids(&ran.err);
    // Abbreviated revisions have ten digits.
    for text in [&mut ran.out, &mut ran.err] {
        *text = shortened(text);
    }
    ran
}

/// Returns a text with abbreviated revisions replaced by `REVISION`.
fn shortened(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let id = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_hex = id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        match is_hex && id.len() == 10 {
            true => out.push_str(&word.replace(id, "REVISION")),
            false => out.push_str(word),
        }
    }
    out
}

/// Replaces a text in a file of the series.
fn edit(sandbox: &Sandbox, file: &str, from: &str, to: &str) {
    let text = sandbox.file(file);
    assert!(text.contains(from), "{text}");
    write(&sandbox.series().join(file), &text.replace(from, to));
}

/// Makes the folder of series a repository with one commit.
fn repository(sandbox: &Sandbox) {
    git(&sandbox.patches(), &["init", "-q"]);
    sandbox.commit("patches", "The series");
}

#[test]
fn nothing_that_has_a_valid_result_runs_again() {
    let sandbox = sandbox();
    let first = ci(&sandbox, &[], &[]);
    assert_eq!(first.code, Some(0), "{}{}", first.out, first.err);
    let again = ci(&sandbox, &[], &[]);
    assert_eq!(again.code, Some(0), "{}{}", again.out, again.err);
    let tasks = fs::read_to_string(sandbox.path("home/tasks.log")).unwrap();
    let nightly = ci(&sandbox, &["--nightly", "--dry-run"], &[]);
    insta::assert_snapshot!([first.out, again.out, nightly.out].join("\n"));
    // One for each kernel, and one for lint.
    assert_eq!(tasks.lines().count(), 9, "{tasks}");
}

#[test]
fn a_changed_line_reruns_what_it_must_and_nothing_else() {
    let sandbox = sandbox();
    assert_eq!(ci(&sandbox, &[], &[]).code, Some(0));
    // The last patch is alone with its files' lines, but `five` and `six`
    // change the same file.
    edit(&sandbox, "ten.patch", "+lib ten", "+lib TEN");
    let ten = ci(&sandbox, &["--explain"], &[]);
    assert_eq!(ten.code, Some(0), "{}{}", ten.out, ten.err);
    edit(&sandbox, "five.patch", "Count to five", "Count up to five");
    let message = ci(&sandbox, &["--explain"], &[]);
    edit(
        &sandbox,
        "series.yaml",
        "tests: [smoke/a]",
        "tests: [smoke/a], cpus: 2",
    );
    let check = ci(&sandbox, &["--explain"], &[]);
    insta::assert_snapshot!([ten.out, message.out, check.out].join("\n"));
}

#[test]
fn a_rebase_alone_is_cheap() {
    let sandbox = sandbox();
    assert_eq!(ci(&sandbox, &[], &[]).code, Some(0));
    let path = sandbox.path("src/sys/kern/a.c");
    samples::set_line(&path, "25", "25 of the base");
    sandbox.commit("src", "kern: Change a distant line");
    let rebased = ci(&sandbox, &["--explain"], &[]);
    assert_eq!(rebased.code, Some(0), "{}{}", rebased.out, rebased.err);
    insta::assert_snapshot!(rebased.out);
}

#[test]
fn only_a_verdict_about_the_patch_is_a_failure() {
    let sandbox = sandbox();
    let lost = ci(&sandbox, &[], &[("LOST", "releng-15.1/prove/six")]);
    assert_eq!(lost.code, Some(5), "{}{}", lost.out, lost.err);
    let failed = ci(
        &sandbox,
        &["--explain"],
        &[("FAIL", "releng-15.1/prove/six")],
    );
    assert_eq!(failed.code, Some(1), "{}{}", failed.out, failed.err);
    // The host fails in the next run: the verdict stays.
    let kept = ci(
        &sandbox,
        &["--explain"],
        &[("LOST", "releng-15.1/prove/six")],
    );
    assert_eq!(kept.code, Some(1), "{}{}", kept.out, kept.err);
    let fixed = ci(&sandbox, &[], &[]);
    assert_eq!(fixed.code, Some(0), "{}{}", fixed.out, fixed.err);
    // The lines before the error have times.
    let error = |ran: &Ran| ran.err[ran.err.find("  ×").unwrap()..].to_owned();
    let errors = [error(&lost), error(&failed), error(&kept)].join("\n");
    let all = [lost.out, failed.out, fixed.out, errors];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_has_not_changed_since_a_commit_does_not_run() {
    let sandbox = sandbox();
    repository(&sandbox);
    let same = ci(&sandbox, &["--since", "HEAD", "--dry-run"], &[]);
    assert_eq!(same.code, Some(0), "{}{}", same.out, same.err);
    edit(&sandbox, "six.patch", "+6 six", "+6 SIX");
    let six = ci(&sandbox, &["--since", "HEAD", "--explain"], &[]);
    assert_eq!(six.code, Some(0), "{}{}", six.out, six.err);
    insta::assert_snapshot!([same.out, six.out].join("\n"));
}

#[test]
fn shards_run_what_was_planned_for_them() {
    let sandbox = sandbox();
    let plan = sandbox.path("plan.json").display().to_string();
    let folder = |shard: &str| {
        sandbox
            .path(&format!("shards/{shard}"))
            .display()
            .to_string()
    };
    let command = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env("KDK_MATRIX", sandbox.path("matrix.yaml"));
        sandbox.run(command)
    };
    let planned = command(&[
        "ci", "plan", "--format", "json", "--shards", "2", "--out", &plan,
    ]);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    let run = |shard: &str, of: &str| {
        let folder = folder(shard);
        let args = ["--plan", &plan, "--shard", of, "--results", &folder];
        ci(&sandbox, &args, &[])
    };
    let first = run("1", "1/2");
    assert_eq!(first.code, Some(0), "{}{}", first.out, first.err);
    // The second shard is missing.
    let out = sandbox.path("out").display().to_string();
    let shards = sandbox.path("shards").display().to_string();
    let collect = ["ci", "collect", &shards, "--plan", &plan, "--out", &out];
    assert_ne!(command(&collect).code, Some(0));
    let second = run("2", "2/2");
    assert_eq!(second.code, Some(0), "{}{}", second.out, second.err);
    let collected = command(&collect);
    assert_eq!(
        collected.code,
        Some(0),
        "{}{}",
        collected.out,
        collected.err
    );
    let rest = ci(&sandbox, &["--dry-run"], &[]);
    assert!(rest.out.contains("nothing to do"), "{}", rest.out);
    // Another revision, another number of shards.
    edit(&sandbox, "six.patch", "+6 six", "+6 SIX");
    let other = run("1", "1/2");
    assert_eq!(other.code, Some(2), "{}{}", other.out, other.err);
    assert!(
        other.err.contains("it is for the revision"),
        "{}",
        other.err
    );
    let wrong = run("1", "1/3");
    assert_eq!(wrong.code, Some(2), "{}{}", wrong.out, wrong.err);
    assert!(wrong.err.contains("the plan has 2 shards"), "{}", wrong.err);
}

#[test]
fn bad_input_is_one_clear_error() {
    let sandbox = sandbox();
    repository(&sandbox);
    let patches = sandbox.patches();
    git(&patches, &["checkout", "-q", "-b", "side"]);
    write(&patches.join("README"), "side\n");
    let side = sandbox.commit("patches", "side");
    git(&patches, &["checkout", "-q", "-"]);
    write(&patches.join("OTHER"), "other\n");
    sandbox.commit("patches", "other");
    let mut texts = Vec::new();
    let mut fails = |args: &[&str]| {
        let ran = ci(&sandbox, args, &[]);
        assert_eq!(ran.code, Some(2), "{args:?}: {}{}", ran.out, ran.err);
        texts.push(ran.err);
    };
    fails(&["--base", "head-2014"]);
    fails(&["--since", "no-such"]);
    // Another branch, as after a rewritten history.
    fails(&["--since", &side]);
    git(
        &patches,
        &["merge", "-q", "--no-ff", "-m", "Merge side", "side"],
    );
    fails(&["--since", "HEAD~1"]);
    for (from, to) in [
        ("revision:", "revison:"),
        ("suites: [smoke]", "suits: [smoke]"),
        ("suites: [smoke]", "configs: [kasan]"),
        ("suites: [smoke]", "suites: [smoek]"),
        ("schema: 1", "schema: 2"),
    ] {
        write(&sandbox.path("matrix.yaml"), &MATRIX.replacen(from, to, 1));
        fails(&["--dry-run"]);
    }
    write(
        &sandbox.path("matrix.yaml"),
        MATRIX.replace("[releng-15.1]", "[main]").as_str(),
    );
    fails(&["--dry-run"]);
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_result_of_an_older_schema_is_reported_and_stays() {
    let sandbox = sandbox();
    assert_eq!(ci(&sandbox, &[], &[]).code, Some(0));
    let results = sandbox.path("home/ci/releng-15.1/results");
    let path = fs::read_dir(&results)
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let text = fs::read_to_string(&path).unwrap();
    write(&path, &text.replace("\"schema\": 1", "\"schema\": 0"));
    let failed = ci(&sandbox, &[], &[]);
    assert_eq!(failed.code, Some(2), "{}{}", failed.out, failed.err);
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    insta::assert_snapshot!(failed.err.replace(&name, "KEY"));
    assert!(path.exists());
    // The rest is valid.
    fs::remove_file(&path).unwrap();
    let rest = ci(&sandbox, &["--dry-run"], &[]);
    assert!(
        rest.out.contains("releng-15.1: 1 of 11 jobs run"),
        "{}",
        rest.out
    );
}

#[test]
fn a_matrix_is_linted_as_a_series_is() {
    let sandbox = sandbox();
    let lint = |sandbox: &Sandbox| {
        let mut command = sandbox.command(&["ci", "lint"]);
        command.env("KDK_MATRIX", sandbox.path("matrix.yaml"));
        sandbox.run(command)
    };
    assert_eq!(lint(&sandbox).code, Some(0));
    let text = MATRIX
        .replacen("run: lint", "run: lint\n    cpus: [4]", 1)
        .replacen("suites: [smoke]", "suites: [smoek, smoke, smoke]", 1);
    write(&sandbox.path("matrix.yaml"), &text);
    let ran = lint(&sandbox);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(ran.out + &ran.err);
}

#[test]
fn a_job_whose_inputs_changed_since_the_plan_has_no_verdict() {
    let sandbox = sandbox();
    write(
        &sandbox.path("matrix.yaml"),
        "schema: 1\nbases: [releng-15.1]\nrevision:\n  - run: lint\n",
    );
    // kdk itself runs the tasks.
    write(&sandbox.path("tasks"), "#!/bin/sh\nexec \"$@\"\n");
    let path = |name: &str| sandbox.path(name).display().to_string();
    let (plan, results) = (path("plan.json"), path("results"));
    let mut command = sandbox.command(&[
        "ci", "plan", "--format", "json", "--shards", "1", "--out", &plan,
    ]);
    command.env("KDK_MATRIX", sandbox.path("matrix.yaml"));
    let planned = sandbox.run(command);
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    let args = ["--plan", &plan, "--shard", "1/1", "--results", &results];
    let verdict = |patch: &str| {
        let job = format!("\"releng-15.1/lint/{patch}\"");
        let files = fs::read_dir(sandbox.path("results")).unwrap().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        let mut own = texts.filter(|text| text.contains("\"verdict\""));
        let text = own.find(|text| text.contains(&job)).unwrap();
        // The earlier attempts of the job have verdicts too.
        let result: serde_json::Value = serde_json::from_str(&text).unwrap();
        result["verdict"] == "host-error"
    };
    // The message: the revision has the same id.
    edit(&sandbox, "six.patch", "Count to six", "Count up to six");
    let changed = ci(&sandbox, &args, &[]);
    assert!(changed.code != Some(0), "{}{}", changed.out, changed.err);
    assert_eq!([verdict("five"), verdict("six")], [false, true]);
    edit(&sandbox, "six.patch", "Count up to six", "Count to six");
    let same = ci(&sandbox, &args, &[]);
    assert_eq!(
        [verdict("five"), verdict("six")],
        [false, false],
        "{}",
        same.err
    );
    // It changes while the job runs.
    fs::remove_dir_all(sandbox.path("results")).unwrap();
    let six = sandbox.series().join("six.patch");
    let script = format!(
        "#!/bin/sh\nsed -i 's/Count to six/Count up to six/' {}\nexec \"$@\"\n",
        six.display()
    );
    write(&sandbox.path("tasks"), &script);
    ci(&sandbox, &args, &[]);
    assert_eq!([verdict("five"), verdict("six")], [false, true]);
}

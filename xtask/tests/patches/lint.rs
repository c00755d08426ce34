//! `cargo xtask patches lint`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::samples;
use crate::sandbox::{Sandbox, write};

const LINT: [&str; 4] = ["patches", "lint", "--series", "releng-15.1"];

/// Runs it, and returns all that it prints. `code` is how it has to end.
fn lint(sandbox: &Sandbox, code: i32, more: &[&str]) -> String {
    let args: Vec<&str> = LINT.iter().chain(more).copied().collect();
    let ran = sandbox.xtask(&args);
    assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
    format!("{}{}", ran.out, ran.err)
}

/// Returns the findings' first lines, and the lines without findings.
fn short(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        let is_text = line.starts_with(['×', '⚠']);
        let text = line.trim_start_matches(['×', '⚠']).trim_start();
        if is_text || line.starts_with("not checked: ") {
            found.push(text);
        }
    }
    found
}

/// Replaces text in a file of the series; it has to be there.
fn replace(sandbox: &Sandbox, file: &str, from: &str, to: &str) {
    let text = sandbox.file(file);
    assert!(text.contains(from), "{file} has no {from}: {text}");
    fs::write(sandbox.series().join(file), text.replacen(from, to, 1)).unwrap();
}

/// Returns a series without findings: two patches of the samples.
fn good() -> Sandbox {
    let sandbox = samples::sandbox();
    let text = sandbox.file("series.yaml");
    let (text, _) = text.split_once("  - id: ten").unwrap();
    let tests = "ai_assisted: false}\n    check: {tests: [\"kern/count\"]}\n";
    let text = text.replace("ai_assisted: false}\n", tests);
    fs::write(
        sandbox.series().join("series.yaml"),
        text.trim_end().to_owned() + "\n",
    )
    .unwrap();
    fs::remove_file(sandbox.series().join("ten.patch")).unwrap();
    sandbox
}

#[test]
fn help() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.ok(&["patches", "lint", "--help"]));
}

#[test]
fn a_good_series_has_no_findings() {
    let sandbox = good();
    insta::assert_snapshot!(lint(&sandbox, 0, &[]));
}

#[test]
fn all_findings_are_shown_with_their_places_and_counted() {
    let sandbox = samples::sandbox();
    replace(
        &sandbox,
        "five.patch",
        "kern: Count to five",
        "kern: count to five.",
    );
    replace(
        &sandbox,
        "six.patch",
        "One more.\n",
        "One more.\n\nMFC after: soon\nPR:\t\t1\n",
    );
    insta::assert_snapshot!(lint(&sandbox, 2, &[]));
    let json = sandbox.path("lint.json");
    lint(&sandbox, 2, &["--json", &json.display().to_string()]);
    insta::assert_snapshot!(fs::read_to_string(json).unwrap());
}

#[test]
fn warnings_alone_are_no_failure() {
    let sandbox = good();
    replace(
        &sandbox,
        "series.yaml",
        "ai_assisted: false",
        "ai_assisted: true",
    );
    let text = lint(&sandbox, 0, &[]);
    insta::assert_snapshot!(text);
}

#[test]
fn a_patch_waives_what_it_may() {
    let sandbox = samples::sandbox();
    replace(
        &sandbox,
        "series.yaml",
        "class: feature\n",
        "class: feature\n    check: {waive: [path, mdoc, check, provenance, sise]}\n",
    );
    let text = lint(&sandbox, 2, &[]);
    let ten: Vec<&str> = short(&text)
        .into_iter()
        .filter(|line| line.starts_with("ten: "))
        .collect();
    let want = [
        "ten: 'provenance' cannot be waived",
        "ten: unknown check 'sise'; did you mean 'size'?",
    ];
    assert_eq!(ten, want);
    assert!(text.contains("2 errors, 2 warnings, 3 waived"), "{text}");
}

#[test]
fn what_needs_a_base_is_not_checked_without_one() {
    let sandbox = good();
    sandbox.ok(&["base", "remove", "releng-15.1"]);
    replace(
        &sandbox,
        "series.yaml",
        "cover: cover.md",
        "track: [main]\ncover: cover.md",
    );
    insta::assert_snapshot!(lint(&sandbox, 0, &[]));
}

#[test]
fn every_fault_of_a_manifest_is_shown() {
    let sandbox = samples::sandbox();
    replace(
        &sandbox,
        "series.yaml",
        "file: five.patch",
        "fil: five.patch",
    );
    replace(&sandbox, "series.yaml", "class: fix # a fix", "class: fixx");
    replace(
        &sandbox,
        "series.yaml",
        "osreldate: 1501000",
        "osreldate: many",
    );
    insta::assert_snapshot!(lint(&sandbox, 2, &[]));
}

#[test]
fn manifests_that_cannot_be_read() {
    let sandbox = samples::sandbox();
    let path = sandbox.series().join("series.yaml");
    let text = samples::MANIFEST;
    let twice = text.replacen("schema: 1\n", "schema: 1\nschema: 1\n", 1);
    for (bytes, want) in [
        (
            text.as_bytes()[..text.find("branch").unwrap()].to_vec(),
            "cannot be read: ",
        ),
        (twice.into_bytes(), "duplicate key 'schema'"),
        (
            b"\xff".to_vec(),
            "patches/releng-15.1/series.yaml is not UTF-8",
        ),
        (
            vec![b'#'; 2 << 20],
            "patches/releng-15.1/series.yaml is 2 MB, limit 1 MB; it was not read",
        ),
        (Vec::new(), "the manifest has no key 'schema'"),
    ] {
        fs::write(&path, bytes).unwrap();
        let text = lint(&sandbox, 2, &[]);
        assert!(short(&text)[0].starts_with(want), "{want}: {text}");
        assert!(text.contains("not checked: the patches, because the manifest cannot be read"));
    }
}

#[test]
fn needs_and_files_that_lead_nowhere() {
    let sandbox = samples::sandbox();
    replace(&sandbox, "series.yaml", "needs: []", "needs: [six, nine]");
    replace(
        &sandbox,
        "series.yaml",
        "file: ten.patch",
        "file: ../ten.patch",
    );
    fs::write(sandbox.series().join("new.patch"), "x\n").unwrap();
    fs::write(sandbox.series().join("five.patch.rej"), "x\n").unwrap();
    fs::remove_file(sandbox.series().join("six.patch")).unwrap();
    fs::remove_file(sandbox.series().join("cover.md")).unwrap();
    insta::assert_snapshot!(short(&lint(&sandbox, 2, &[])).join("\n"));
}

#[test]
fn patch_files_that_cannot_be_read() {
    let sandbox = good();
    let path = sandbox.series().join("five.patch");
    let good = sandbox.file("five.patch");
    let diff = |text: &str| {
        let (head, _) = good.split_once("diff --git").unwrap();
        format!("{head}{text}")
    };
    let id = "1".repeat(40);
    let mut out = String::new();
    for (name, bytes) in [
        ("CR LF", good.replace('\n', "\r\n").into_bytes()),
        ("no newline", good.trim_end().into()),
        ("cut", good.as_bytes()[..good.len() - 6].into()),
        ("not UTF-8", good.replacen("One more", "One \u{fffd}", 1).replace('\u{fffd}', "XX").into_bytes().iter().map(|b| if *b == b'X' { 0xe9 } else { *b }).collect()),
        ("empty", Vec::new()),
        ("message alone", diff("").into()),
        ("binary", diff(&format!("diff --git a/x b/x\nindex {id}..{id} 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 1\nIcmZPo000310RR91\n\n")).into()),
        ("rename", diff("diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n").into()),
        ("mode", diff("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n").into()),
        ("two", format!("{good}{good}").into_bytes()),
        ("no mail", good.replacen("Date: ", "Dat: ", 1).into_bytes()),
    ] {
        fs::write(&path, bytes).unwrap();
        let text = lint(&sandbox, 2, &[]);
        out.push_str(&format!("== {name}\n{}\n", short(&text).join("\n")));
    }
    fs::write(&path, "").unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(11 << 20)
        .unwrap();
    let text = lint(&sandbox, 2, &[]);
    out.push_str(&format!("== 11 MB\n{}\n", short(&text).join("\n")));
    insta::assert_snapshot!(out);
    // No other command reads it either.
    let text = sandbox.fails(2, &["patches", "list", "--series", "releng-15.1"]);
    assert!(text.contains("is larger than 10.00 MiB"), "{text}");
}

#[test]
fn a_patch_that_does_not_fit_is_shown_with_its_hunk() {
    let sandbox = good();
    replace(&sandbox, "five.patch", " 4\n", " four\n");
    insta::assert_snapshot!(lint(&sandbox, 2, &[]));
}

#[test]
fn a_patch_that_git_would_write_otherwise_is_to_be_refreshed() {
    let sandbox = good();
    replace(
        &sandbox,
        "five.patch",
        "One more.\n",
        "One more.\n---\n sys/kern/a.c | 2 +-\n",
    );
    insta::assert_snapshot!(lint(&sandbox, 2, &[]));
    sandbox.ok(&["patches", "refresh", "--series", "releng-15.1"]);
    lint(&sandbox, 0, &[]);
}

#[test]
fn another_base_than_the_series_is_for() {
    let sandbox = good();
    replace(
        &sandbox,
        "series.yaml",
        "osreldate: 1501000",
        "osreldate: 1500000",
    );
    replace(
        &sandbox,
        "series.yaml",
        "commit: null",
        "commit: 0123456789ab",
    );
    let text = lint(&sandbox, 2, &[]);
    let (a, b) = (short(&text)[0], short(&text)[1]);
    assert_eq!(a, "osreldate 1500000 but sys/sys/param.h says 1501000");
    assert!(
        b.starts_with("commit 0123456789ab but the base releng-15.1 is at "),
        "{b}"
    );
}

#[test]
fn what_is_there_already_has_landed() {
    let sandbox = good();
    // The first patch has landed on main.
    sandbox.tree("main", 1_600_000);
    let path = sandbox.path("main/sys/kern/a.c");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\n5\n", "\n5 five\n")).unwrap();
    let commit = sandbox.commit("main", "kern: Count to five");
    sandbox.ok(&[
        "base",
        "add",
        "main",
        "--src",
        &path.parent().unwrap().join("../..").display().to_string(),
    ]);
    replace(
        &sandbox,
        "series.yaml",
        "cover: cover.md",
        "track: [main]\ncover: cover.md",
    );
    let text = lint(&sandbox, 2, &[]);
    let want = format!(
        "five: is empty on main (landed as {}); set status: landed",
        &commit[..7]
    );
    assert_eq!(short(&text)[0], want, "{text}");
    assert!(text.contains("1 error, 0 warnings"), "{text}");
    // With the status in the manifest there is no finding.
    replace(
        &sandbox,
        "series.yaml",
        "needs: []",
        "needs: []\n    upstream: {status: landed}",
    );
    lint(&sandbox, 0, &[]);
    // On main itself.
    let text = lint(&sandbox, 2, &["--base", "main"]);
    insta::assert_snapshot!(short(&text).join("\n").replace(&commit[..7], "COMMIT"));
}

/// A stand-in for the tree's checker: it reports lines with a `!`.
const CHECKER: &str = r#"
my $line = 0;
open(my $patch, '<', $ARGV[-1]) or die;
while (<$patch>) {
	$line++;
	print "$ARGV[-1]:$line: ERROR: too loud\n#$line: FILE: sys/kern/a.c:5:\n" if /^\+.*!/;
}
exit(1);
"#;

const PAGE: &str = ".Dd November 25, 2026\n.Dt COUNT 4\n.Os\n.Sh NAME\n.Nm count\n.Nd counts\n";

/// With the checker in the tree, a loud line and a page in a patch.
fn with_page() -> Sandbox {
    let sandbox = good();
    write(&sandbox.path("src/tools/build/checkstyle9.pl"), CHECKER);
    write(
        &sandbox.path("src/share/man/man4/count.4"),
        &format!("{PAGE}.Old\n"),
    );
    sandbox.commit("src", "more");
    replace(&sandbox, "six.patch", "+6 six\n", "+6 six!\n");
    let page = "diff --git a/share/man/man4/count.4 b/share/man/man4/count.4\n\
                --- a/share/man/man4/count.4\n+++ b/share/man/man4/count.4\n@@ -6,2 +6,4 @@\n .Nd counts\n .Old\n+.Sh DESCRIPTION\n+.New\n";
    let text = sandbox.file("six.patch") + page;
    fs::write(sandbox.series().join("six.patch"), text).unwrap();
    sandbox.ok(&["patches", "refresh", "--series", "releng-15.1"]);
    sandbox
}

#[test]
fn style_and_pages_are_checked_by_freebsds_own_tools() {
    insta::assert_snapshot!(lint(&with_page(), 2, &[]));
}

#[test]
fn tools_that_are_missing_are_named_with_their_remedy() {
    let sandbox = with_page();
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["git", "sh"] {
        let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(name))
            .find(|path| path.exists())
            .unwrap();
        symlink(path, bin.join(name)).unwrap();
    }
    let mut command = sandbox.command(&LINT);
    command.env("PATH", &bin);
    let ran = sandbox.run(command);
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    let text = short(&ran.out);
    let want = [
        "the style was not checked: perl is not installed",
        "six: share/man/man4/count.4 was not checked: mandoc is not installed",
    ];
    assert_eq!(text, want, "{}", ran.out);
    assert!(ran.out.contains("cargo xtask doctor --fix"), "{}", ran.out);
}

#[test]
fn a_series_that_is_not_there() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.fails(2, &LINT));
    let text = sandbox.fails(2, &["patches", "lint", "--series", "../x"]);
    assert!(text.contains("could not read the series ../x"), "{text}");
}

#[test]
fn an_unknown_base_is_a_slip() {
    let sandbox = good();
    let text = sandbox.fails(
        2,
        &[
            "patches",
            "lint",
            "--series",
            "releng-15.1",
            "--base",
            "mian",
        ],
    );
    assert!(text.contains("did you mean `main`?"), "{text}");
}

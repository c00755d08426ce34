//! Tests of `patches apply`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::samples::{self, set_line};
use crate::sandbox::{Sandbox, below, git, write};
use crate::texts::unwrapped;

/// Returns a user's environment with an identity, hooks and settings, and a
/// checkout `mine` of the base.
fn sandbox() -> Sandbox {
    let sandbox = samples::sandbox();
    let hooks = sandbox.path("hooks");
    for hook in [
        "applypatch-msg",
        "pre-applypatch",
        "post-applypatch",
        "post-checkout",
        "post-index-change",
        "reference-transaction",
    ] {
        program(
            &hooks.join(hook),
            &format!("touch {}", sandbox.path("hook-ran").display()),
        );
    }
    let settings = format!(
        "[user]\n\tname = The User\n\temail = user@example.org\n[core]\n\thooksPath = {}\n[am]\n\t\
         threeWay = true\n[apply]\n\tignoreWhitespace = change\n\twhitespace = fix\n",
        hooks.display()
    );
    write(&sandbox.path(".gitconfig"), &settings);
    git(&sandbox.path(""), &["clone", "-q", "src", "mine"]);
    sandbox
}

fn program(path: &Path, script: &str) {
    write(path, &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn apply(sandbox: &Sandbox, dir: &str, more: &[&str]) -> crate::sandbox::Ran {
    let args = [&["patches", "apply", "--to", dir], more].concat();
    let mut command = sandbox.command(&args);
    for name in ["EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
        command.env_remove(name);
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_CONFIG_GLOBAL");
    sandbox.run(command)
}

/// Returns every file with its content and modification time.
fn all(dir: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let known = |path: PathBuf| {
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        (path.clone(), fs::read(&path).unwrap(), time)
    };
    below(dir).into_iter().map(known).collect()
}

/// Runs `apply`, which must refuse and change nothing. Returns the error.
fn refuses(sandbox: &Sandbox, dir: &str, more: &[&str]) -> String {
    let at = sandbox.path(dir);
    let before = at.is_dir().then(|| all(&at));
    let ran = apply(sandbox, dir, more);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
    let after = at.is_dir().then(|| all(&at));
    assert!(before == after, "{dir} was written to: {}", ran.err);
    unwrapped(sandbox, &ran.err)
}

#[test]
fn help() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.ok(&["patches", "apply", "--help"]));
}

#[test]
fn the_series_is_committed_in_the_users_name_without_their_hooks() {
    let sandbox = sandbox();
    write(&sandbox.path("mine/untracked"), "mine\n");
    let ran = apply(&sandbox, "mine", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let (lines, last) = ran.out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(
        last,
        "releng-15.1: 3 patches committed on the branch main of mine"
    );
    let mine = sandbox.path("mine");
    assert_eq!(
        lines,
        git(&mine, &["log", "--reverse", "--format=%h %s", "HEAD~3.."])
    );
    let format = "--format=%an <%ae> %aI, %cn <%ce>: %B";
    insta::assert_snapshot!(git(&mine, &["log", format, "HEAD~3.."]));
    let tree = |dir: &str| git(&sandbox.path(dir), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(tree("mine"), tree("work"));
    assert_eq!(git(&mine, &["status", "--porcelain"]), "?? untracked");
    assert!(!sandbox.path("hook-ran").exists());
}

#[test]
fn a_new_branch_is_begun_for_it() {
    let sandbox = sandbox();
    let mine = sandbox.path("mine");
    let head = git(&mine, &["rev-parse", "HEAD"]);
    let ran = apply(&sandbox, "mine", &["--branch", "kdk/series"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        git(&mine, &["symbolic-ref", "--short", "HEAD"]),
        "kdk/series"
    );
    assert_eq!(
        git(&mine, &["rev-parse", "main", "HEAD~3"]),
        [&head[..], &head].join("\n")
    );
    // The same in a worktree with a detached HEAD.
    git(
        &mine,
        &["worktree", "add", "-q", "--detach", "../side", "main"],
    );
    let ran = apply(&sandbox, "side", &["--branch", "side"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(git(&mine, &["rev-parse", "side~3"]), head);
    assert_eq!(git(&sandbox.path("side"), &["status", "--porcelain"]), "");
}

#[test]
fn what_is_no_checkout_of_the_base_is_refused() {
    let sandbox = sandbox();
    git(
        &sandbox.path(""),
        &["clone", "-q", "--bare", "src", "bare.git"],
    );
    git(&sandbox.path(""), &["init", "-q", "empty"]);
    fs::create_dir(sandbox.path("plain")).unwrap();
    write(&sandbox.path("file"), "x\n");
    sandbox.tree("stable", 1_501_500);
    let mut texts = Vec::new();
    for dir in [
        "nowhere", "file", "plain", "mine/sys", "bare.git", "empty", "stable",
    ] {
        texts.push(refuses(&sandbox, dir, &[]));
    }
    insta::assert_snapshot!(texts.join("\n"));
    // A tree without a version is accepted.
    git(&sandbox.path("mine"), &["rm", "-q", "sys/sys/param.h"]);
    sandbox.commit("mine", "Less");
    assert_eq!(apply(&sandbox, "mine", &[]).code, Some(0));
}

#[test]
fn a_checkout_that_is_not_clean_is_refused() {
    let sandbox = sandbox();
    let mine = sandbox.path("mine");
    let mut texts = Vec::new();
    let mut refused = || texts.push(refuses(&sandbox, "mine", &[]));
    set_line(&mine.join("sys/kern/a.c"), "20", "twenty");
    refused();
    git(&mine, &["add", "-A"]);
    refused();
    fs::remove_file(mine.join("Makefile")).unwrap();
    refused();
    git(&mine, &["reset", "-q", "--hard"]);
    write(&mine.join(".git/index.lock"), "");
    refused();
    fs::remove_file(mine.join(".git/index.lock")).unwrap();
    git(&mine, &["checkout", "-q", "--detach"]);
    refused();
    git(&mine, &["checkout", "-q", "main"]);
    for branch in ["main", "a..b", "-x"] {
        let more = format!("--branch={branch}");
        texts.push(refuses(&sandbox, "mine", &[&more]));
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_checkout_in_the_middle_of_something_is_refused() {
    let sandbox = sandbox();
    let mine = sandbox.path("mine");
    let file = mine.join("sys/kern/a.c");
    git(&mine, &["branch", "other"]);
    set_line(&file, "5", "fuenf");
    sandbox.commit("mine", "German");
    git(&mine, &["checkout", "-q", "other"]);
    set_line(&file, "5", "cinq");
    sandbox.commit("mine", "French");
    let mail = sandbox.path("german.mail");
    write(
        &mail,
        &(git(&mine, &["format-patch", "--stdout", "-1", "main"]) + "\n"),
    );
    let mail = mail.display().to_string();
    let mut texts = Vec::new();
    for (begin, end) in [
        (&["rebase", "main"][..], &["rebase", "--abort"][..]),
        (&["rebase", "--apply", "main"], &["rebase", "--abort"]),
        (&["am", &mail], &["am", "--abort"]),
        (&["merge", "main"], &["merge", "--abort"]),
        (&["cherry-pick", "main"], &["cherry-pick", "--abort"]),
        (&["revert", "main"], &["revert", "--abort"]),
    ] {
        // Each of them stops at a conflict, with an error.
        let stopped = std::process::Command::new("git")
            .current_dir(&mine)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .args(["-c", "user.name=a", "-c", "user.email=a@localhost"])
            .args(begin)
            .output()
            .unwrap();
        assert!(!stopped.status.success(), "{begin:?}");
        texts.push(refuses(&sandbox, "mine", &[]));
        git(&mine, end);
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_missing_committer_identity_is_reported() {
    let sandbox = sandbox();
    fs::remove_file(sandbox.path(".gitconfig")).unwrap();
    insta::assert_snapshot!(refuses(&sandbox, "mine", &[]));
}

#[test]
fn a_patch_that_does_not_apply_is_named_and_nothing_is_changed() {
    let sandbox = sandbox();
    // The first two apply.
    set_line(&sandbox.path("mine/sys/kern/a.c"), "10", "zehn");
    sandbox.commit("mine", "German");
    let mut texts = refuses(&sandbox, "mine", &["--branch", "series"]);
    git(&sandbox.path("mine"), &["rm", "-q", "sys/kern/a.c"]);
    sandbox.commit("mine", "Less");
    texts += &refuses(&sandbox, "mine", &[]);
    insta::assert_snapshot!(texts);
}

#[test]
fn a_patch_that_cannot_be_committed_is_named() {
    let sandbox = sandbox();
    let ten = sandbox.file("ten.patch");
    let diff = &ten[ten.find("diff --git").unwrap()..];
    fs::write(sandbox.series().join("ten.patch"), diff).unwrap();
    let mut texts = refuses(&sandbox, "mine", &[]);
    fs::write(sandbox.series().join("ten.patch"), &ten[..ten.len() - 10]).unwrap();
    texts += &refuses(&sandbox, "mine", &[]);
    fs::remove_file(sandbox.series().join("ten.patch")).unwrap();
    let ran = apply(&sandbox, "mine", &[]);
    assert_eq!(ran.code, Some(2));
    texts += &unwrapped(&sandbox, &ran.err);
    insta::assert_snapshot!(texts);
}

#[test]
fn a_killed_one_leaves_a_sound_checkout() {
    let sandbox = sandbox();
    let mine = sandbox.path("mine");
    let args = ["patches", "apply", "--to", "mine", "--branch", "series"];
    sandbox.killed_at("am", 1, &args);
    assert_eq!(git(&mine, &["status", "--porcelain"]), "");
    let text = refuses(&sandbox, "mine", &["--branch", "series"]);
    assert!(text.contains("run this without --branch"), "{text}");
    assert_eq!(apply(&sandbox, "mine", &[]).code, Some(0));
    assert_eq!(git(&mine, &["rev-list", "--count", "main..series"]), "3");
}

#[test]
fn when_git_stops_half_way_everything_is_put_back() {
    let sandbox = sandbox();
    let mine = sandbox.path("mine");
    // The user signs commits, and the second signature fails.
    let count = sandbox.path("count");
    let gpg = sandbox.path("gpg");
    let script = format!(
        "echo x >> {count}\n[ $(wc -l < {count}) -lt 2 ] || exit 1\ncat > /dev/null\necho \
         '[GNUPG:] SIG_CREATED ' >&2\necho signature",
        count = count.display()
    );
    program(&gpg, &script);
    let settings = fs::read_to_string(sandbox.path(".gitconfig")).unwrap()
        + &format!(
            "[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = {}\n",
            gpg.display()
        );
    write(&sandbox.path(".gitconfig"), &settings);
    write(&mine.join("untracked"), "mine\n");
    let state = || {
        let files = all(&mine.join("sys")).into_iter();
        let files: Vec<_> = files.map(|(path, content, _)| (path, content)).collect();
        let asked = [
            &["for-each-ref"][..],
            &["symbolic-ref", "-q", "HEAD"],
            &["status", "--porcelain"],
            &["ls-files", "--stage"],
        ];
        (files, asked.map(|args| git(&mine, args)))
    };
    let before = state();
    let mut texts = String::new();
    for more in [&[][..], &["--branch", "series"]] {
        write(&count, "");
        let ran = apply(&sandbox, "mine", more);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
        texts += &unwrapped(&sandbox, &ran.err);
        assert!(before == state(), "{:?}\n{:?}", before.1, state().1);
        assert!(!mine.join(".git/rebase-apply").exists());
        assert!(!mine.join(".git/ORIG_HEAD").exists());
        // Two commits were tried.
        assert_eq!(fs::read_to_string(&count).unwrap(), "x\nx\n");
    }
    insta::assert_snapshot!(texts);
}

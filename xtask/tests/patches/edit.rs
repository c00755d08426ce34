//! `edit`, `new` and `refresh`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::samples::{self, MANIFEST, set_line};
use crate::sandbox::{Sandbox, git, without_ids, write};

/// Returns the worktree of the edit of `id`.
fn tree(sandbox: &Sandbox, id: &str) -> PathBuf {
    sandbox.path("home/edits/releng-15.1").join(id).join("src")
}

/// Begins an edit of `id`. Returns a.c of its worktree.
fn edit(sandbox: &Sandbox, id: &str) -> PathBuf {
    sandbox.ok(&["patches", "edit", id]);
    tree(sandbox, id).join("sys/kern/a.c")
}

/// Lets all patches change vendors' code.
fn waive_path(sandbox: &Sandbox) {
    let text = sandbox.file("series.yaml");
    let text = text.replace("false}\n", "false}\n    check: {waive: [path]}\n");
    fs::write(sandbox.series().join("series.yaml"), text).unwrap();
}

fn series_is_sound(sandbox: &Sandbox) {
    let out = sandbox.ok(&["patches", "refresh"]);
    assert!(out.ends_with("nothing changed\n"), "{out}");
    let open = sandbox.ok(&["patches", "edit", "--list"]);
    assert_eq!(open, "no operation is in progress\n");
}

#[test]
fn help() {
    let sandbox = Sandbox::new();
    for command in ["edit", "new", "rebase"] {
        let help = sandbox.ok(&["patches", command, "--help"]);
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn refresh_writes_the_same_bytes() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    let out = sandbox.ok(&["patches", "refresh"]);
    assert_eq!(out, "releng-15.1: nothing changed\n");
    assert_eq!(sandbox.files(), before);
    // A file in another form is rewritten in the canonical one.
    let six = sandbox.file("six.patch");
    let other = six.replace("diff --git", "---\n a.c | 2 +-\n\ndiff --git");
    fs::write(sandbox.series().join("six.patch"), other).unwrap();
    assert_eq!(
        sandbox.ok(&["patches", "refresh"]),
        "six.patch: rewritten\n"
    );
    assert_eq!(sandbox.files(), before);
}

#[test]
fn an_edit_is_the_patch_with_those_before_it_and_all_it_touches() {
    let sandbox = samples::sandbox();
    let out = sandbox.ok(&["patches", "edit", "six"]);
    insta::assert_snapshot!(out.replace(&*sandbox.path("").to_string_lossy(), "TMP/"));
    let text = fs::read_to_string(tree(&sandbox, "six").join("sys/kern/a.c")).unwrap();
    assert!(text.contains("5 five\n6 six\n") && text.contains("\n10\n"));
    // Vendors' code is left out, except for the files that the patch changes.
    assert!(!tree(&sandbox, "six").join("contrib").exists());
    let head = git(&tree(&sandbox, "six"), &["log", "-1", "--format=%an: %s"]);
    assert_eq!(head, "An Author: kern: Count to six");
    assert_eq!(git(&tree(&sandbox, "six"), &["status", "--porcelain"]), "");
    // A second time it prints the same.
    assert_eq!(sandbox.ok(&["patches", "edit", "six"]), out);
    sandbox.ok(&["patches", "edit", "six", "--abort"]);
    edit(&sandbox, "ten");
    assert!(tree(&sandbox, "ten").join("contrib/lib/lib.c").exists());
}

#[test]
fn all_that_was_done_comes_into_the_patch() {
    let sandbox = samples::sandbox();
    waive_path(&sandbox);
    let before = sandbox.files();
    let a = edit(&sandbox, "five");
    let src = tree(&sandbox, "five");
    set_line(&a, "20", "20 more");
    write(&src.join("sys/kern/new.c"), "new\n");
    // A file in a folder that was left out.
    write(&src.join("contrib/lib/more.c"), "more\n");
    fs::remove_file(src.join("sys/kern/b.c")).unwrap();
    git(&src, &["add", "sys/kern/new.c"]);
    insta::assert_snapshot!(sandbox.ok(&["patches", "edit", "five", "--done"]));
    insta::assert_snapshot!(sandbox.file("five.patch"));
    // In the others only the ids of a.c have changed.
    let strip = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("index "));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    for (path, text) in before {
        if !path.ends_with("five.patch") {
            assert_eq!(strip(&fs::read_to_string(&path).unwrap()), strip(&text));
        }
    }
    assert!(!tree(&sandbox, "five").exists());
    series_is_sound(&sandbox);
}

#[test]
fn an_amended_commit_gives_message_and_author() {
    let sandbox = samples::sandbox();
    waive_path(&sandbox);
    let a = edit(&sandbox, "ten");
    set_line(&a, "10 ten", "10 TEN");
    let src = tree(&sandbox, "ten");
    git(
        &src,
        &[
            "commit",
            "-qa",
            "--amend",
            "--reset-author",
            "-m",
            "kern: Count loudly",
        ],
    );
    set_line(&a, "11", "11 too");
    sandbox.ok(&["patches", "edit", "ten", "--done"]);
    let text = sandbox.file("ten.patch");
    assert!(text.contains("From: A User <u@example.org>\n"), "{text}");
    assert!(
        text.contains("Subject: [PATCH] kern: Count loudly\n"),
        "{text}"
    );
    assert!(
        text.contains("+10 TEN\n") && text.contains("+11 too\n"),
        "{text}"
    );
    series_is_sound(&sandbox);
}

#[test]
fn nothing_done_changes_nothing() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    edit(&sandbox, "six");
    sandbox.ok(&["patches", "edit", "six", "--done"]);
    assert_eq!(sandbox.files(), before);
    series_is_sound(&sandbox);
}

#[test]
fn a_commit_taken_back_is_as_good_as_none() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    edit(&sandbox, "six");
    git(&tree(&sandbox, "six"), &["reset", "-q", "HEAD^"]);
    sandbox.ok(&["patches", "edit", "six", "--done"]);
    assert_eq!(sandbox.files(), before);
}

/// States of the worktree that kdk refuses, and how the message's advice fixes
/// them.
#[test]
fn worktrees_that_are_no_patch_are_refused_and_nothing_is_lost() {
    type Spoil = fn(&Sandbox, &Path);
    let table: [(&str, Spoil, Spoil); 7] = [
        (
            "two commits",
            |_, src| {
                git(src, &["commit", "-qam", "more"]);
            },
            |_, src| {
                git(src, &["reset", "-q", "--soft", "HEAD^"]);
            },
        ),
        (
            "HEAD moved",
            |_, src| {
                git(src, &["stash", "-q"]);
                git(src, &["checkout", "-q", "--detach", "HEAD^^"]);
                git(src, &["stash", "pop", "-q"]);
            },
            |_, src| {
                let old = "refs/kdk/edits/releng-15.1/six/old";
                let six = git(src, &["rev-list", "-1", "--grep=Count to six", old]);
                git(src, &["checkout", "-q", "--merge", "--detach", &six]);
            },
        ),
        (
            "locked index",
            |_, src| {
                let lock = git(src, &["rev-parse", "--git-path", "index.lock"]);
                fs::write(lock, "").unwrap();
            },
            |_, src| {
                let lock = git(src, &["rev-parse", "--git-path", "index.lock"]);
                fs::remove_file(lock).unwrap();
            },
        ),
        (
            "a merge that is not finished",
            |_, src| {
                let file = git(src, &["rev-parse", "--git-path", "MERGE_HEAD"]);
                fs::write(file, git(src, &["rev-parse", "HEAD"]) + "\n").unwrap();
            },
            |_, src| {
                let file = git(src, &["rev-parse", "--git-path", "MERGE_HEAD"]);
                fs::remove_file(file).unwrap();
            },
        ),
        (
            "a rebase that is not finished",
            |_, src| {
                let folder = git(src, &["rev-parse", "--git-path", "rebase-merge"]);
                fs::create_dir(folder).unwrap();
            },
            |_, src| {
                let folder = git(src, &["rev-parse", "--git-path", "rebase-merge"]);
                fs::remove_dir(folder).unwrap();
            },
        ),
        (
            "an am that is not finished",
            |_, src| {
                let folder = git(src, &["rev-parse", "--git-path", "rebase-apply"]);
                write(&Path::new(&folder).join("applying"), "");
            },
            |_, src| {
                let folder = git(src, &["rev-parse", "--git-path", "rebase-apply"]);
                fs::remove_dir_all(folder).unwrap();
            },
        ),
        (
            "the patches changed",
            |sandbox, _| {
                let path = sandbox.series().join("ten.patch");
                fs::write(
                    &path,
                    sandbox.file("ten.patch").replace("One more", "Two more"),
                )
                .unwrap();
            },
            |sandbox, _| {
                let path = sandbox.series().join("ten.patch");
                fs::write(
                    &path,
                    sandbox.file("ten.patch").replace("Two more", "One more"),
                )
                .unwrap();
            },
        ),
    ];
    let sandbox = samples::sandbox();
    let a = edit(&sandbox, "six");
    let src = tree(&sandbox, "six");
    set_line(&a, "20", "20 more");
    let mut texts = Vec::new();
    for (what, spoil, repair) in table {
        spoil(&sandbox, &src);
        let before = sandbox.files();
        let err = sandbox.fails(2, &["patches", "edit", "six", "--done"]);
        texts.push(format!("{what}:\n{}", without_ids(&err)));
        assert_eq!(sandbox.files(), before, "{what}");
        assert!(
            fs::read_to_string(&a).unwrap().contains("20 more"),
            "{what}"
        );
        repair(&sandbox, &src);
    }
    insta::assert_snapshot!(texts.join("\n"));
    sandbox.ok(&["patches", "edit", "six", "--done"]);
    assert!(sandbox.file("six.patch").contains("+20 more\n"));
    series_is_sound(&sandbox);
}

#[test]
fn a_merge_of_the_users_has_to_be_resolved() {
    let sandbox = samples::sandbox();
    let a = edit(&sandbox, "six");
    let src = tree(&sandbox, "six");
    set_line(&a, "6 six", "6 one");
    git(&src, &["stash", "-q"]);
    set_line(&a, "6 six", "6 two");
    git(&src, &["commit", "-q", "-a", "--amend", "--no-edit"]);
    let popped = std::process::Command::new("git")
        .current_dir(&src)
        .args(["stash", "pop"])
        .output()
        .unwrap();
    assert!(!popped.status.success());
    let err = sandbox.fails(2, &["patches", "edit", "six", "--done"]);
    assert!(err.contains("still has conflict markers"), "{err}");
    fs::write(
        &a,
        fs::read_to_string(&a)
            .unwrap()
            .split_once("<<<<<<<")
            .unwrap()
            .0,
    )
    .unwrap();
    let err = sandbox.fails(2, &["patches", "edit", "six", "--done"]);
    assert!(
        err.contains("sys/kern/a.c in TMP") && err.contains("not merged yet"),
        "{err}"
    );
}

#[test]
fn a_worktree_removed_by_hand_is_reported() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    let a = edit(&sandbox, "six");
    set_line(&a, "20", "20 more");
    git(
        &tree(&sandbox, "six"),
        &["commit", "-qa", "--amend", "--no-edit"],
    );
    fs::remove_dir_all(tree(&sandbox, "six")).unwrap();
    insta::assert_snapshot!(without_ids(
        &sandbox.fails(2, &["patches", "edit", "six", "--done"])
    ));
    assert!(
        sandbox
            .ok(&["patches", "edit", "--list"])
            .contains("no worktree")
    );
    let out = sandbox.ok(&["patches", "edit", "six", "--abort"]);
    assert!(kept(&sandbox, &out).contains("+20 more"));
    assert_eq!(sandbox.files(), before);
    edit(&sandbox, "six");
}

/// Returns the backup commit of an aborted edit, which is the last line of
/// `out`.
fn kept(sandbox: &Sandbox, out: &str) -> String {
    let (_, command) = out.rsplit_once("git -C ").unwrap();
    let (repo, commit) = command.trim().split_once(" show ").unwrap();
    let repo = sandbox.path(repo.strip_prefix("TMP/").unwrap());
    git(&repo, &["show", commit])
}

#[test]
fn one_change_at_a_time() {
    let sandbox = samples::sandbox();
    edit(&sandbox, "six");
    let mut texts = vec![sandbox.ok(&["patches", "edit", "--list"])];
    texts[0] = texts[0].replace(&*sandbox.path("").to_string_lossy(), "TMP/");
    for args in [
        &["patches", "edit", "five"][..],
        &["patches", "new", "seven"],
        &["patches", "rebase"],
        &["patches", "refresh"],
        &["base", "remove", "releng-15.1"],
        &["clean", "--all", "--yes"],
    ] {
        texts.push(sandbox.fails(2, args));
    }
    insta::assert_snapshot!(texts.join("\n"));
    assert!(tree(&sandbox, "six").exists());
}

#[test]
fn an_abort_restores_everything_and_keeps_the_work() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    let a = edit(&sandbox, "six");
    set_line(&a, "20", "20 more");
    let out = sandbox.ok(&["patches", "edit", "six", "--abort"]);
    assert_eq!(sandbox.files(), before);
    assert!(kept(&sandbox, &out).contains("+20 more"));
    series_is_sound(&sandbox);
    let err = sandbox.fails(2, &["patches", "edit", "six", "--done"]);
    assert!(err.contains("has no edit of it in progress"), "{err}");
}

#[test]
fn a_patch_with_errors_stays_in_its_worktree() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    let a = edit(&sandbox, "six");
    let src = tree(&sandbox, "six");
    set_line(&a, "20", "20 more");
    let mut texts = Vec::new();
    let long = format!("kern: Count {}", "on and on ".repeat(10));
    for message in [
        "[x] kern: Count",
        "kern: Count\n\nLost:\n---\nhere",
        long.trim(),
    ] {
        git(&src, &["commit", "-q", "--amend", "-m", message]);
        texts.push(sandbox.fails(2, &["patches", "edit", "six", "--done"]));
        assert_eq!(sandbox.files(), before);
    }
    git(&src, &["commit", "-q", "--amend", "-m", "kern: Count"]);
    git(&src, &["reset", "-q", "--hard"]);
    git(&src, &["checkout", "-q", "HEAD^", "--", "."]);
    texts.push(sandbox.fails(2, &["patches", "edit", "six", "--done"]));
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(sandbox.files(), before);
    git(&src, &["reset", "-q", "--hard"]);
    sandbox.ok(&["patches", "edit", "six", "--done"]);
    assert!(
        sandbox
            .file("six.patch")
            .contains("Subject: [PATCH] kern: Count\n")
    );
}

#[test]
fn what_was_wrong_with_others_before_does_not_stand_in_the_way() {
    let sandbox = samples::sandbox();
    let long = format!("Count to ten {}", "and on ".repeat(10));
    let text = sandbox
        .file("ten.patch")
        .replace("Count to ten", long.trim());
    fs::write(sandbox.series().join("ten.patch"), text).unwrap();
    sandbox.ok(&["patches", "refresh"]);
    sandbox.fails(2, &["patches", "lint"]);
    let a = edit(&sandbox, "six");
    set_line(&a, "20", "20 more");
    sandbox.ok(&["patches", "edit", "six", "--done"]);
    assert!(sandbox.file("six.patch").contains("+20 more\n"));
    // The edited patch itself must have no errors.
    waive_path(&sandbox);
    edit(&sandbox, "ten");
    let err = sandbox.fails(2, &["patches", "edit", "ten", "--done"]);
    assert!(err.contains("limit 67"), "{err}");
}

#[test]
fn a_later_patch_that_becomes_empty_is_refused() {
    let sandbox = samples::sandbox();
    let before = sandbox.files();
    let a = edit(&sandbox, "five");
    set_line(&a, "6", "6 six");
    insta::assert_snapshot!(sandbox.fails(2, &["patches", "edit", "five", "--done"]));
    assert_eq!(sandbox.files(), before);
    set_line(&a, "6 six", "6");
    sandbox.ok(&["patches", "edit", "five", "--done"]);
    assert_eq!(sandbox.files(), before);
}

/// Returns an edit of `five` that `six` conflicts with, after the first
/// `--done`.
fn in_conflict() -> (Sandbox, PathBuf, String) {
    let sandbox = samples::sandbox();
    let a = edit(&sandbox, "five");
    set_line(&a, "6", "6 other");
    write(&tree(&sandbox, "five").join("sys/kern/new.c"), "new\n");
    let err = sandbox.fails(2, &["patches", "edit", "five", "--done"]);
    (sandbox, a, err)
}

#[test]
fn a_later_patch_that_does_not_merge_is_resolved_in_the_same_worktree() {
    let (sandbox, a, err) = in_conflict();
    let before = sandbox.files();
    let src = tree(&sandbox, "five");
    let mut texts = vec![err];
    // git lists the conflict.
    assert_eq!(git(&src, &["status", "--porcelain"]), "UU sys/kern/a.c");
    texts.push(sandbox.fails(2, &["patches", "edit", "five", "--done"]));
    let list = sandbox.ok(&["patches", "edit", "--list"]);
    assert!(list.contains("conflict in `six`"), "{list}");
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(sandbox.files(), before);
    let text = fs::read_to_string(&a).unwrap();
    let (head, rest) = text.split_once("<<<<<<<").unwrap();
    let (_, tail) = rest.split_once(">>>>>>> kdk/patch/six\n").unwrap();
    fs::write(&a, format!("{head}6 other six\n{tail}")).unwrap();
    sandbox.ok(&["patches", "edit", "five", "--done"]);
    let six = sandbox.file("six.patch");
    assert!(six.contains("-6 other\n+6 other six\n"), "{six}");
    assert!(
        six.contains("From: An Author") && six.contains("Subject: [PATCH] kern: Count to six\n")
    );
    assert!(sandbox.file("five.patch").contains("sys/kern/new.c"));
    series_is_sound(&sandbox);
}

#[test]
fn a_resolution_can_be_committed() {
    let (sandbox, a, _) = in_conflict();
    let src = tree(&sandbox, "five");
    git(&src, &["checkout", "-q", "--ours", "sys/kern/a.c"]);
    set_line(&a, "6 other", "6 six again");
    git(&src, &["add", "-A"]);
    // The patch's own message is the default.
    git(&src, &["-c", "core.editor=true", "commit", "-q"]);
    sandbox.ok(&["patches", "edit", "five", "--done"]);
    let six = sandbox.file("six.patch");
    assert!(six.contains("-6 other\n+6 six again\n"), "{six}");
    assert!(
        six.contains("From: An Author") && six.contains("Subject: [PATCH] kern: Count to six\n")
    );
    series_is_sound(&sandbox);
}

#[test]
fn a_kill_during_the_checkout_of_a_conflict_loses_nothing() {
    for (word, n) in [("read-tree", 1), ("update-index", 1), ("reset", 1)] {
        let sandbox = samples::sandbox();
        let a = edit(&sandbox, "five");
        set_line(&a, "6", "6 other");
        sandbox.killed_at(word, n, &["patches", "edit", "five", "--done"]);
        let err = sandbox.fails(2, &["patches", "edit", "five", "--done"]);
        assert!(
            err.contains("apply the patch `six` on top of the new `five`"),
            "{word}: {err}"
        );
        let src = tree(&sandbox, "five");
        assert_eq!(
            git(&src, &["status", "--porcelain"]),
            "UU sys/kern/a.c",
            "{word}"
        );
        git(&src, &["checkout", "-q", "--ours", "sys/kern/a.c"]);
        set_line(&a, "6 other", "6 six again");
        sandbox.ok(&["patches", "edit", "five", "--done"]);
        assert!(sandbox.file("five.patch").contains("+6 other\n"));
        series_is_sound(&sandbox);
    }
}

#[test]
fn a_kill_before_anything_is_written_leaves_the_edit() {
    for (word, n) in [
        ("add", 1),
        ("commit-tree", 1),
        ("merge-tree", 1),
        ("format-patch", 1),
        ("format-patch", 4),
    ] {
        let sandbox = samples::sandbox();
        let before = sandbox.files();
        let a = edit(&sandbox, "five");
        set_line(&a, "20", "20 more");
        sandbox.killed_at(word, n, &["patches", "edit", "five", "--done"]);
        assert_eq!(sandbox.files(), before, "{word} {n}");
        sandbox.ok(&["patches", "edit", "five", "--done"]);
        assert!(
            sandbox.file("five.patch").contains("+20 more\n"),
            "{word} {n}"
        );
        series_is_sound(&sandbox);
    }
}

#[test]
fn a_kill_after_all_is_written_is_tidied_up() {
    // The worktree is removed after the files were written.
    let sandbox = samples::sandbox();
    let a = edit(&sandbox, "five");
    set_line(&a, "20", "20 more");
    sandbox.killed_at("prune", 1, &["patches", "edit", "five", "--done"]);
    let list = sandbox.path("home/edits/releng-15.1/@transaction/list.json");
    assert!(list.exists());
    assert!(sandbox.file("five.patch").contains("+20 more\n"));
    series_is_sound(&sandbox);
    assert!(!list.exists());
}

/// The state after a kill between two renames.
#[test]
fn a_kill_between_the_files_is_finished_by_the_next_run() {
    for args in [
        &["patches", "edit", "five", "--done"][..],
        &["patches", "list"],
        &["patches", "edit", "six"],
    ] {
        let sandbox = samples::sandbox();
        let old = sandbox.file("six.patch");
        let a = edit(&sandbox, "five");
        set_line(&a, "20", "20 more");
        sandbox.killed_at("prune", 1, &["patches", "edit", "five", "--done"]);
        let new = sandbox.file("six.patch");
        assert_ne!(old, new);
        fs::write(sandbox.series().join("six.patch"), old).unwrap();
        sandbox.ok(args);
        assert_eq!(sandbox.file("six.patch"), new);
        assert!(!tree(&sandbox, "five").exists());
    }
}

#[test]
fn a_kill_while_the_worktree_is_made_leaves_nothing_open() {
    for word in ["worktree", "reset"] {
        let sandbox = samples::sandbox();
        sandbox.killed_at(word, 1, &["patches", "edit", "five"]);
        assert_eq!(
            sandbox.ok(&["patches", "edit", "--list"]),
            "no operation is in progress\n"
        );
        let a = edit(&sandbox, "five");
        set_line(&a, "20", "20 more");
        sandbox.ok(&["patches", "edit", "five", "--done"]);
        series_is_sound(&sandbox);
    }
}

#[test]
fn another_patches_folder_is_refused() {
    let sandbox = samples::sandbox();
    edit(&sandbox, "five");
    let other = sandbox.path("other");
    fs::create_dir(&other).unwrap();
    git(&sandbox.path(""), &["clone", "-q", "src", "unused"]);
    let copied = std::process::Command::new("cp")
        .args([
            "-r",
            &sandbox.series().display().to_string(),
            &other.display().to_string(),
        ])
        .status()
        .unwrap();
    assert!(copied.success());
    let mut command = sandbox.command(&["patches", "edit", "five", "--done"]);
    command.env("KDK_PATCHES", &other);
    let ran = sandbox.run(command);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains("set KDK_PATCHES to TMP/patches"),
        "{}",
        ran.err
    );
}

#[test]
fn an_unknown_patch_is_answered_with_the_likely_one() {
    let sandbox = samples::sandbox();
    let err = sandbox.fails(2, &["patches", "edit", "sixx"]);
    assert!(err.contains("did you mean `six`?"), "{err}");
}

#[test]
fn a_new_patch_begins_a_series() {
    let sandbox = Sandbox::new();
    let out = sandbox.ok(&["patches", "new", "count", "--class", "fix", "--ai-assisted"]);
    insta::assert_snapshot!(out.replace(&*sandbox.path("").to_string_lossy(), "TMP/"));
    let src = tree(&sandbox, "count");
    set_line(&src.join("sys/kern/a.c"), "1", "1 count");
    // No message yet.
    let err = sandbox.fails(2, &["patches", "edit", "count", "--done"]);
    assert!(sandbox.files().is_empty());
    insta::assert_snapshot!(err);
    let template = git(&src, &["config", "--type=path", "commit.template"]);
    assert!(
        fs::read_to_string(template)
            .unwrap()
            .contains("at most 67 characters")
    );
    git(&src, &["commit", "-qam", "kern: Count"]);
    set_line(&src.join("sys/kern/a.c"), "2", "2 count");
    sandbox.ok(&["patches", "edit", "count", "--done"]);
    insta::assert_snapshot!(sandbox.file("series.yaml"));
    let text = sandbox.file("count.patch");
    assert!(text.contains("+1 count\n+2 count\n"), "{text}");
    assert!(
        text.contains("From: A User") && text.contains("[PATCH] kern: Count\n"),
        "{text}"
    );
    series_is_sound(&sandbox);
}

#[test]
fn a_new_patch_comes_where_it_should_and_comments_stay() {
    for (args, at) in [(&[][..], 3), (&["--after", "five"], 1)] {
        let sandbox = samples::sandbox();
        sandbox.ok(&[&["patches", "new", "thirty"][..], args].concat());
        let src = tree(&sandbox, "thirty");
        set_line(&src.join("sys/kern/a.c"), "30", "30 thirty");
        git(&src, &["commit", "-qam", "kern: Count to thirty"]);
        sandbox.ok(&["patches", "edit", "thirty", "--done"]);
        let out = sandbox.ok(&["patches", "list"]);
        let ids = out.lines().skip(2).map(|line| line.split(' ').next());
        let found = ids.collect::<Option<Vec<_>>>().unwrap();
        assert_eq!(found[at], "thirty", "{out}");
        let text = sandbox.file("series.yaml");
        // All old lines are there, in their order.
        let mut lines = text.lines();
        for line in MANIFEST.lines() {
            assert!(lines.any(|found| found == line), "{line}: {text}");
        }
        series_is_sound(&sandbox);
    }
}

#[test]
fn a_new_patch_can_conflict_with_a_later_one() {
    let sandbox = samples::sandbox();
    sandbox.ok(&["patches", "new", "more", "--after", "five"]);
    let src = tree(&sandbox, "more");
    let a = src.join("sys/kern/a.c");
    set_line(&a, "6", "6 more");
    git(&src, &["commit", "-qam", "kern: Count more"]);
    let err = sandbox.fails(2, &["patches", "edit", "more", "--done"]);
    assert!(
        err.contains("apply the patch `six` on top of the new `more`"),
        "{err}"
    );
    git(&src, &["checkout", "-q", "--ours", "sys/kern/a.c"]);
    set_line(&a, "6 more", "6 six more");
    sandbox.ok(&["patches", "edit", "more", "--done"]);
    assert!(sandbox.file("more.patch").contains("-6\n+6 more\n"));
    assert!(sandbox.file("six.patch").contains("-6 more\n+6 six more\n"));
    series_is_sound(&sandbox);
}

#[test]
fn a_new_patch_that_cannot_be_is_refused_at_once() {
    let sandbox = samples::sandbox();
    fs::write(sandbox.series().join("stray.patch"), "x").unwrap();
    let mut texts = Vec::new();
    for args in [
        &["patches", "new", "Up"][..],
        &["patches", "new", "six"],
        &["patches", "new", "stray"],
        &["patches", "new", "x", "--after", "fife"],
        &["patches", "new", "x", "--series", "main"],
    ] {
        texts.push(sandbox.fails(2, args));
    }
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(
        sandbox.ok(&["patches", "edit", "--list"]),
        "no operation is in progress\n"
    );
}

//! `edit`, `new` and `refresh`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::place::{Place, git, without_ids, write};
use crate::samples::{self, MANIFEST, set_line};

/// The worktree of the change `id`.
fn tree(place: &Place, id: &str) -> PathBuf {
    place.path("home/edits/releng-15.1").join(id).join("src")
}

/// Begins the change of `id`; gives a.c of its worktree.
fn edit(place: &Place, id: &str) -> PathBuf {
    place.ok(&["patches", "edit", id]);
    tree(place, id).join("sys/kern/a.c")
}

/// Lets all patches touch vendors' code.
fn waive_path(place: &Place) {
    let text = place.file("series.yaml");
    let text = text.replace("false}\n", "false}\n    check: {waive: [path]}\n");
    fs::write(place.series().join("series.yaml"), text).unwrap();
}

fn series_is_sound(place: &Place) {
    let out = place.ok(&["patches", "refresh"]);
    assert!(out.ends_with("nothing changed\n"), "{out}");
    let open = place.ok(&["patches", "edit", "--list"]);
    assert_eq!(open, "no change is on the way\n");
}

#[test]
fn help() {
    let place = Place::new();
    for verb in ["edit", "new", "rebase"] {
        let help = place.ok(&["patches", verb, "--help"]);
        insta::assert_snapshot!(format!("help_{verb}"), help);
    }
}

#[test]
fn refresh_gives_the_same_bytes() {
    let place = samples::place();
    let before = place.files();
    let out = place.ok(&["patches", "refresh"]);
    assert_eq!(out, "releng-15.1: nothing changed\n");
    assert_eq!(place.files(), before);
    // A file in another form comes back in the one.
    let six = place.file("six.patch");
    let other = six.replace("diff --git", "---\n a.c | 2 +-\n\ndiff --git");
    fs::write(place.series().join("six.patch"), other).unwrap();
    assert_eq!(
        place.ok(&["patches", "refresh"]),
        "six.patch: written anew\n"
    );
    assert_eq!(place.files(), before);
}

#[test]
fn an_edit_is_the_patch_with_those_before_it_and_all_it_touches() {
    let place = samples::place();
    let out = place.ok(&["patches", "edit", "six"]);
    insta::assert_snapshot!(out.replace(&*place.path("").to_string_lossy(), "TMP/"));
    let text = fs::read_to_string(tree(&place, "six").join("sys/kern/a.c")).unwrap();
    assert!(text.contains("5 five\n6 six\n") && text.contains("\n10\n"));
    // Vendors' code is left out, except what the patch touches.
    assert!(!tree(&place, "six").join("contrib").exists());
    let head = git(&tree(&place, "six"), &["log", "-1", "--format=%an: %s"]);
    assert_eq!(head, "An Author: kern: Count to six");
    assert_eq!(git(&tree(&place, "six"), &["status", "--porcelain"]), "");
    // Asked again, it says the same.
    assert_eq!(place.ok(&["patches", "edit", "six"]), out);
    place.ok(&["patches", "edit", "six", "--abort"]);
    edit(&place, "ten");
    assert!(tree(&place, "ten").join("contrib/lib/lib.c").exists());
}

#[test]
fn all_that_was_done_comes_into_the_patch() {
    let place = samples::place();
    waive_path(&place);
    let before = place.files();
    let a = edit(&place, "five");
    let src = tree(&place, "five");
    set_line(&a, "20", "20 more");
    write(&src.join("sys/kern/new.c"), "new\n");
    // A file among those that were left out.
    write(&src.join("contrib/lib/more.c"), "more\n");
    fs::remove_file(src.join("sys/kern/b.c")).unwrap();
    git(&src, &["add", "sys/kern/new.c"]);
    insta::assert_snapshot!(place.ok(&["patches", "edit", "five", "--done"]));
    insta::assert_snapshot!(place.file("five.patch"));
    // The others have changed in nothing but the ids of a.c.
    let strip = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("index "));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    for (path, text) in before {
        if !path.ends_with("five.patch") {
            assert_eq!(strip(&fs::read_to_string(&path).unwrap()), strip(&text));
        }
    }
    assert!(!tree(&place, "five").exists());
    series_is_sound(&place);
}

#[test]
fn an_amended_commit_gives_message_and_author() {
    let place = samples::place();
    waive_path(&place);
    let a = edit(&place, "ten");
    set_line(&a, "10 ten", "10 TEN");
    let src = tree(&place, "ten");
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
    place.ok(&["patches", "edit", "ten", "--done"]);
    let text = place.file("ten.patch");
    assert!(text.contains("From: A User <u@example.org>\n"), "{text}");
    assert!(
        text.contains("Subject: [PATCH] kern: Count loudly\n"),
        "{text}"
    );
    assert!(
        text.contains("+10 TEN\n") && text.contains("+11 too\n"),
        "{text}"
    );
    series_is_sound(&place);
}

#[test]
fn nothing_done_changes_nothing() {
    let place = samples::place();
    let before = place.files();
    edit(&place, "six");
    place.ok(&["patches", "edit", "six", "--done"]);
    assert_eq!(place.files(), before);
    series_is_sound(&place);
}

#[test]
fn a_commit_taken_back_is_as_good_as_none() {
    let place = samples::place();
    let before = place.files();
    edit(&place, "six");
    git(&tree(&place, "six"), &["reset", "-q", "HEAD^"]);
    place.ok(&["patches", "edit", "six", "--done"]);
    assert_eq!(place.files(), before);
}

/// What a user leaves in the worktree, what the kit says, and how it is mended
/// by what the message says.
#[test]
fn worktrees_that_are_no_patch_are_refused_and_nothing_is_lost() {
    type Spoil = fn(&Place, &Path);
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
            |place, _| {
                let path = place.series().join("ten.patch");
                fs::write(
                    &path,
                    place.file("ten.patch").replace("One more", "Two more"),
                )
                .unwrap();
            },
            |place, _| {
                let path = place.series().join("ten.patch");
                fs::write(
                    &path,
                    place.file("ten.patch").replace("Two more", "One more"),
                )
                .unwrap();
            },
        ),
    ];
    let place = samples::place();
    let a = edit(&place, "six");
    let src = tree(&place, "six");
    set_line(&a, "20", "20 more");
    let mut texts = Vec::new();
    for (what, spoil, mend) in table {
        spoil(&place, &src);
        let before = place.files();
        let err = place.fails(2, &["patches", "edit", "six", "--done"]);
        texts.push(format!("{what}:\n{}", without_ids(&err)));
        assert_eq!(place.files(), before, "{what}");
        assert!(
            fs::read_to_string(&a).unwrap().contains("20 more"),
            "{what}"
        );
        mend(&place, &src);
    }
    insta::assert_snapshot!(texts.join("\n"));
    place.ok(&["patches", "edit", "six", "--done"]);
    assert!(place.file("six.patch").contains("+20 more\n"));
    series_is_sound(&place);
}

#[test]
fn a_merge_of_the_users_has_to_be_resolved() {
    let place = samples::place();
    let a = edit(&place, "six");
    let src = tree(&place, "six");
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
    let err = place.fails(2, &["patches", "edit", "six", "--done"]);
    assert!(err.contains("still has the markers of a conflict"), "{err}");
    fs::write(
        &a,
        fs::read_to_string(&a)
            .unwrap()
            .split_once("<<<<<<<")
            .unwrap()
            .0,
    )
    .unwrap();
    let err = place.fails(2, &["patches", "edit", "six", "--done"]);
    assert!(
        err.contains("sys/kern/a.c in TMP") && err.contains("not merged yet"),
        "{err}"
    );
}

#[test]
fn a_worktree_removed_by_hand_is_said() {
    let place = samples::place();
    let before = place.files();
    let a = edit(&place, "six");
    set_line(&a, "20", "20 more");
    git(
        &tree(&place, "six"),
        &["commit", "-qa", "--amend", "--no-edit"],
    );
    fs::remove_dir_all(tree(&place, "six")).unwrap();
    insta::assert_snapshot!(without_ids(
        &place.fails(2, &["patches", "edit", "six", "--done"])
    ));
    assert!(
        place
            .ok(&["patches", "edit", "--list"])
            .contains("no worktree")
    );
    let out = place.ok(&["patches", "edit", "six", "--abort"]);
    assert!(kept(&place, &out).contains("+20 more"));
    assert_eq!(place.files(), before);
    edit(&place, "six");
}

/// The commit that a change was kept as, which is the last line of `out`.
fn kept(place: &Place, out: &str) -> String {
    let (_, command) = out.rsplit_once("git -C ").unwrap();
    let (repo, commit) = command.trim().split_once(" show ").unwrap();
    let repo = place.path(repo.strip_prefix("TMP/").unwrap());
    git(&repo, &["show", commit])
}

#[test]
fn one_change_at_a_time() {
    let place = samples::place();
    edit(&place, "six");
    let mut texts = vec![place.ok(&["patches", "edit", "--list"])];
    texts[0] = texts[0].replace(&*place.path("").to_string_lossy(), "TMP/");
    for args in [
        &["patches", "edit", "five"][..],
        &["patches", "new", "seven"],
        &["patches", "rebase"],
        &["patches", "refresh"],
        &["base", "remove", "releng-15.1"],
        &["clean", "--all", "--yes"],
    ] {
        texts.push(place.fails(2, args));
    }
    insta::assert_snapshot!(texts.join("\n"));
    assert!(tree(&place, "six").exists());
}

#[test]
fn given_up_all_is_as_it_was_and_the_work_is_kept() {
    let place = samples::place();
    let before = place.files();
    let a = edit(&place, "six");
    set_line(&a, "20", "20 more");
    let out = place.ok(&["patches", "edit", "six", "--abort"]);
    assert_eq!(place.files(), before);
    assert!(kept(&place, &out).contains("+20 more"));
    series_is_sound(&place);
    let err = place.fails(2, &["patches", "edit", "six", "--done"]);
    assert!(err.contains("no edit of it is open"), "{err}");
}

#[test]
fn a_patch_that_would_not_be_sound_stays_in_its_worktree() {
    let place = samples::place();
    let before = place.files();
    let a = edit(&place, "six");
    let src = tree(&place, "six");
    set_line(&a, "20", "20 more");
    let mut texts = Vec::new();
    let long = format!("kern: Count {}", "on and on ".repeat(10));
    for message in [
        "[x] kern: Count",
        "kern: Count\n\nLost:\n---\nhere",
        long.trim(),
    ] {
        git(&src, &["commit", "-q", "--amend", "-m", message]);
        texts.push(place.fails(2, &["patches", "edit", "six", "--done"]));
        assert_eq!(place.files(), before);
    }
    git(&src, &["commit", "-q", "--amend", "-m", "kern: Count"]);
    git(&src, &["reset", "-q", "--hard"]);
    git(&src, &["checkout", "-q", "HEAD^", "--", "."]);
    texts.push(place.fails(2, &["patches", "edit", "six", "--done"]));
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(place.files(), before);
    git(&src, &["reset", "-q", "--hard"]);
    place.ok(&["patches", "edit", "six", "--done"]);
    assert!(
        place
            .file("six.patch")
            .contains("Subject: [PATCH] kern: Count\n")
    );
}

#[test]
fn what_was_wrong_with_others_before_does_not_stand_in_the_way() {
    let place = samples::place();
    let long = format!("Count to ten {}", "and on ".repeat(10));
    let text = place.file("ten.patch").replace("Count to ten", long.trim());
    fs::write(place.series().join("ten.patch"), text).unwrap();
    place.ok(&["patches", "refresh"]);
    place.fails(2, &["patches", "lint"]);
    let a = edit(&place, "six");
    set_line(&a, "20", "20 more");
    place.ok(&["patches", "edit", "six", "--done"]);
    assert!(place.file("six.patch").contains("+20 more\n"));
    // The patch itself has to be good.
    waive_path(&place);
    edit(&place, "ten");
    let err = place.fails(2, &["patches", "edit", "ten", "--done"]);
    assert!(err.contains("limit 67"), "{err}");
}

#[test]
fn a_later_patch_that_becomes_empty_is_refused() {
    let place = samples::place();
    let before = place.files();
    let a = edit(&place, "five");
    set_line(&a, "6", "6 six");
    insta::assert_snapshot!(place.fails(2, &["patches", "edit", "five", "--done"]));
    assert_eq!(place.files(), before);
    set_line(&a, "6 six", "6");
    place.ok(&["patches", "edit", "five", "--done"]);
    assert_eq!(place.files(), before);
}

/// An edit of `five` that `six` does not merge with; the first `--done` has
/// said so.
fn in_conflict() -> (Place, PathBuf, String) {
    let place = samples::place();
    let a = edit(&place, "five");
    set_line(&a, "6", "6 other");
    write(&tree(&place, "five").join("sys/kern/new.c"), "new\n");
    let err = place.fails(2, &["patches", "edit", "five", "--done"]);
    (place, a, err)
}

#[test]
fn a_later_patch_that_does_not_merge_is_resolved_in_the_same_worktree() {
    let (place, a, err) = in_conflict();
    let before = place.files();
    let src = tree(&place, "five");
    let mut texts = vec![err];
    // git knows of the conflict.
    assert_eq!(git(&src, &["status", "--porcelain"]), "UU sys/kern/a.c");
    texts.push(place.fails(2, &["patches", "edit", "five", "--done"]));
    let list = place.ok(&["patches", "edit", "--list"]);
    assert!(list.contains("conflict in `six`"), "{list}");
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(place.files(), before);
    let text = fs::read_to_string(&a).unwrap();
    let (head, rest) = text.split_once("<<<<<<<").unwrap();
    let (_, tail) = rest.split_once(">>>>>>> kdk/patch/six\n").unwrap();
    fs::write(&a, format!("{head}6 other six\n{tail}")).unwrap();
    place.ok(&["patches", "edit", "five", "--done"]);
    let six = place.file("six.patch");
    assert!(six.contains("-6 other\n+6 other six\n"), "{six}");
    assert!(
        six.contains("From: An Author") && six.contains("Subject: [PATCH] kern: Count to six\n")
    );
    assert!(place.file("five.patch").contains("sys/kern/new.c"));
    series_is_sound(&place);
}

#[test]
fn a_resolution_can_be_committed() {
    let (place, a, _) = in_conflict();
    let src = tree(&place, "five");
    git(&src, &["checkout", "-q", "--ours", "sys/kern/a.c"]);
    set_line(&a, "6 other", "6 six again");
    git(&src, &["add", "-A"]);
    // The message is the patch's own, to begin with.
    git(&src, &["-c", "core.editor=true", "commit", "-q"]);
    place.ok(&["patches", "edit", "five", "--done"]);
    let six = place.file("six.patch");
    assert!(six.contains("-6 other\n+6 six again\n"), "{six}");
    assert!(
        six.contains("From: An Author") && six.contains("Subject: [PATCH] kern: Count to six\n")
    );
    series_is_sound(&place);
}

#[test]
fn a_kill_while_a_conflict_is_laid_out_loses_nothing() {
    for (word, n) in [("read-tree", 1), ("update-index", 1), ("reset", 1)] {
        let place = samples::place();
        let a = edit(&place, "five");
        set_line(&a, "6", "6 other");
        place.killed_at(word, n, &["patches", "edit", "five", "--done"]);
        let err = place.fails(2, &["patches", "edit", "five", "--done"]);
        assert!(
            err.contains("put the patch `six` on the new `five`"),
            "{word}: {err}"
        );
        let src = tree(&place, "five");
        assert_eq!(
            git(&src, &["status", "--porcelain"]),
            "UU sys/kern/a.c",
            "{word}"
        );
        git(&src, &["checkout", "-q", "--ours", "sys/kern/a.c"]);
        set_line(&a, "6 other", "6 six again");
        place.ok(&["patches", "edit", "five", "--done"]);
        assert!(place.file("five.patch").contains("+6 other\n"));
        series_is_sound(&place);
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
        let place = samples::place();
        let before = place.files();
        let a = edit(&place, "five");
        set_line(&a, "20", "20 more");
        place.killed_at(word, n, &["patches", "edit", "five", "--done"]);
        assert_eq!(place.files(), before, "{word} {n}");
        place.ok(&["patches", "edit", "five", "--done"]);
        assert!(
            place.file("five.patch").contains("+20 more\n"),
            "{word} {n}"
        );
        series_is_sound(&place);
    }
}

#[test]
fn a_kill_after_all_is_written_is_tidied_up() {
    // The worktree is forgotten after the files were written.
    let place = samples::place();
    let a = edit(&place, "five");
    set_line(&a, "20", "20 more");
    place.killed_at("prune", 1, &["patches", "edit", "five", "--done"]);
    let list = place.path("home/edits/releng-15.1/@transaction/list.json");
    assert!(list.exists());
    assert!(place.file("five.patch").contains("+20 more\n"));
    series_is_sound(&place);
    assert!(!list.exists());
}

/// As a kill between two renames leaves it.
#[test]
fn a_kill_between_the_files_is_finished_by_the_next_run() {
    for args in [
        &["patches", "edit", "five", "--done"][..],
        &["patches", "list"],
        &["patches", "edit", "six"],
    ] {
        let place = samples::place();
        let old = place.file("six.patch");
        let a = edit(&place, "five");
        set_line(&a, "20", "20 more");
        place.killed_at("prune", 1, &["patches", "edit", "five", "--done"]);
        let new = place.file("six.patch");
        assert_ne!(old, new);
        fs::write(place.series().join("six.patch"), old).unwrap();
        place.ok(args);
        assert_eq!(place.file("six.patch"), new);
        assert!(!tree(&place, "five").exists());
    }
}

#[test]
fn a_kill_while_the_worktree_is_made_leaves_nothing_open() {
    for word in ["worktree", "reset"] {
        let place = samples::place();
        place.killed_at(word, 1, &["patches", "edit", "five"]);
        assert_eq!(
            place.ok(&["patches", "edit", "--list"]),
            "no change is on the way\n"
        );
        let a = edit(&place, "five");
        set_line(&a, "20", "20 more");
        place.ok(&["patches", "edit", "five", "--done"]);
        series_is_sound(&place);
    }
}

#[test]
fn other_patches_folders_are_told_apart() {
    let place = samples::place();
    edit(&place, "five");
    let other = place.path("other");
    fs::create_dir(&other).unwrap();
    git(&place.path(""), &["clone", "-q", "src", "unused"]);
    let copied = std::process::Command::new("cp")
        .args([
            "-r",
            &place.series().display().to_string(),
            &other.display().to_string(),
        ])
        .status()
        .unwrap();
    assert!(copied.success());
    let mut command = place.command(&["patches", "edit", "five", "--done"]);
    command.env("KDK_PATCHES", &other);
    let ran = place.run(command);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains("set KDK_PATCHES to TMP/patches"),
        "{}",
        ran.err
    );
}

#[test]
fn an_unknown_patch_is_answered_with_the_likely_one() {
    let place = samples::place();
    let err = place.fails(2, &["patches", "edit", "sixx"]);
    assert!(err.contains("did you mean `six`?"), "{err}");
}

#[test]
fn a_new_patch_begins_a_series() {
    let place = Place::new();
    let out = place.ok(&["patches", "new", "count", "--class", "fix", "--ai-assisted"]);
    insta::assert_snapshot!(out.replace(&*place.path("").to_string_lossy(), "TMP/"));
    let src = tree(&place, "count");
    set_line(&src.join("sys/kern/a.c"), "1", "1 count");
    // No message yet.
    let err = place.fails(2, &["patches", "edit", "count", "--done"]);
    assert!(place.files().is_empty());
    insta::assert_snapshot!(err);
    let template = git(&src, &["config", "--type=path", "commit.template"]);
    assert!(
        fs::read_to_string(template)
            .unwrap()
            .contains("at most 67 characters")
    );
    git(&src, &["commit", "-qam", "kern: Count"]);
    set_line(&src.join("sys/kern/a.c"), "2", "2 count");
    place.ok(&["patches", "edit", "count", "--done"]);
    insta::assert_snapshot!(place.file("series.yaml"));
    let text = place.file("count.patch");
    assert!(text.contains("+1 count\n+2 count\n"), "{text}");
    assert!(
        text.contains("From: A User") && text.contains("[PATCH] kern: Count\n"),
        "{text}"
    );
    series_is_sound(&place);
}

#[test]
fn a_new_patch_comes_where_it_should_and_comments_stay() {
    for (args, at) in [(&[][..], 3), (&["--after", "five"], 1)] {
        let place = samples::place();
        place.ok(&[&["patches", "new", "thirty"][..], args].concat());
        let src = tree(&place, "thirty");
        set_line(&src.join("sys/kern/a.c"), "30", "30 thirty");
        git(&src, &["commit", "-qam", "kern: Count to thirty"]);
        place.ok(&["patches", "edit", "thirty", "--done"]);
        let out = place.ok(&["patches", "list"]);
        let ids = out.lines().skip(2).map(|line| line.split(' ').next());
        let found = ids.collect::<Option<Vec<_>>>().unwrap();
        assert_eq!(found[at], "thirty", "{out}");
        let text = place.file("series.yaml");
        // All old lines are there, in their order.
        let mut lines = text.lines();
        for line in MANIFEST.lines() {
            assert!(lines.any(|found| found == line), "{line}: {text}");
        }
        series_is_sound(&place);
    }
}

#[test]
fn a_new_patch_can_be_in_the_way_of_a_later_one() {
    let place = samples::place();
    place.ok(&["patches", "new", "more", "--after", "five"]);
    let src = tree(&place, "more");
    let a = src.join("sys/kern/a.c");
    set_line(&a, "6", "6 more");
    git(&src, &["commit", "-qam", "kern: Count more"]);
    let err = place.fails(2, &["patches", "edit", "more", "--done"]);
    assert!(
        err.contains("put the patch `six` on the new `more`"),
        "{err}"
    );
    git(&src, &["checkout", "-q", "--ours", "sys/kern/a.c"]);
    set_line(&a, "6 more", "6 six more");
    place.ok(&["patches", "edit", "more", "--done"]);
    assert!(place.file("more.patch").contains("-6\n+6 more\n"));
    assert!(place.file("six.patch").contains("-6 more\n+6 six more\n"));
    series_is_sound(&place);
}

#[test]
fn a_new_patch_that_cannot_be_is_refused_at_once() {
    let place = samples::place();
    fs::write(place.series().join("stray.patch"), "x").unwrap();
    let mut texts = Vec::new();
    for args in [
        &["patches", "new", "Up"][..],
        &["patches", "new", "six"],
        &["patches", "new", "stray"],
        &["patches", "new", "x", "--after", "fife"],
        &["patches", "new", "x", "--series", "main"],
    ] {
        texts.push(place.fails(2, args));
    }
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(
        place.ok(&["patches", "edit", "--list"]),
        "no change is on the way\n"
    );
}

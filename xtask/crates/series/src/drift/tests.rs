use std::fs;
use std::path::{Path, PathBuf};

use kdk_vm::interrupt::Interrupt;

use super::target::Target;
use super::*;
use crate::applied;
use crate::base::add;
use crate::base::definition;
use crate::base::fixtures::{commit, fingerprint, git, tree, write};
use crate::load::{self, Loaded};
use kdk_core::cache_dir::CacheDir;

const BIG: &str = "sys/kern/big.c";

/// Returns forty lines, some of them replaced by `changed`.
fn big(changed: &[(usize, &str)]) -> String {
    let line = |n| {
        let found = changed.iter().find(|(at, _)| *at == n);
        match found {
            Some((_, text)) => format!("{text}\n"),
            None => format!("line {n}\n"),
        }
    };
    (1..=40).map(line).collect()
}

/// A base with a series on it.
struct Sandbox {
    root: PathBuf,
    cache: CacheDir,
    src: PathBuf,
    series: Loaded,
    _dir: tempfile::TempDir,
}

impl Sandbox {
    /// Returns a patch for each of the commits that `make` makes in the tree;
    /// each with its needs beside its id.
    fn new(patches: &[(&str, &str)], make: &dyn Fn(&Path, usize)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let src = tree(&root, "src", 1_501_000);
        write(&src.join(BIG), &big(&[]));
        write(&src.join("bin/data"), "\0\u{1}binary\0");
        let head = commit(&src, "more");
        let mut list = String::new();
        let folder = root.join("patches/releng-15.1");
        for (n, (id, needs)) in patches.iter().enumerate() {
            make(&src, n);
            commit(&src, &format!("kern: Change {id}"));
            let args = ["format-patch", "--stdout", "-1", "--full-index", "--binary"];
            let patch = git(&src, &[&args[..], &["--no-renames"]].concat());
            write(&folder.join(format!("{id}.patch")), &(patch + "\n"));
            list += &format!(
                "  - {{id: {id}, file: {id}.patch, class: fix, needs: [{needs}], provenance: \
                 {{origin: own, ai_assisted: false}}}}\n"
            );
        }
        git(&src, &["reset", "-q", "--hard", &head]);
        let text = format!(
            "schema: 1\nseries: {{name: releng-15.1, revision: 1}}\nbase: {{repo: r, branch: b, \
             osreldate: 1501000}}\npatches:\n{list}"
        );
        let cache = CacheDir::at(root.join("home"), &Interrupt::new()).unwrap();
        let definition = definition::find("releng-15.1").unwrap();
        add::from_checkout(&cache, &definition, &src).unwrap();
        Self {
            series: load::parse(&folder, "releng-15.1", &text).unwrap(),
            root,
            cache,
            src,
            _dir: dir,
        }
    }

    /// One patch on [`BIG`], in two hunks.
    fn two_hunks() -> Self {
        Self::new(&[("two", "")], &|src, _| {
            write(&src.join(BIG), &big(&[(10, "ten"), (30, "thirty")]));
        })
    }

    /// Returns a tree beside the base's, changed by `change`.
    fn other(&self, name: &str, change: &dyn Fn(&Path)) -> PathBuf {
        let other = self.root.join(name);
        let (from, to) = (self.src.display(), other.display());
        git(
            &self.root,
            &["clone", "-q", &from.to_string(), &to.to_string()],
        );
        change(&other);
        commit(&other, "kern: Drift");
        other
    }

    fn try_on(&self, to: &Path) -> Vec<Row> {
        let applied = applied::apply_series(&self.cache, &self.series, &|_| {}).unwrap();
        let replay = Replay::of(&applied).unwrap();
        drop(applied);
        let target = Target::find(&self.cache, &to.display().to_string()).unwrap();
        let opened = target.open(&self.cache, &|_| {}).unwrap();
        let before = fingerprint(to);
        let rows = replay.on(&opened, &|_| {}).unwrap();
        assert!(before == fingerprint(to), "the target was written to");
        rows
    }

    fn outcomes(&self, to: &Path) -> Vec<DriftResult> {
        let rows = self.try_on(to).into_iter();
        rows.map(|row| row.outcome).collect()
    }
}

fn conflict(file: &str, why: ConflictKind) -> DriftResult {
    let file = file.to_owned();
    DriftResult::Conflicts {
        places: vec![FileConflict { file, why }],
        perhaps: None,
    }
}

#[test]
fn a_tree_that_differs_elsewhere_takes_the_patch() {
    let sandbox = Sandbox::two_hunks();
    let other = sandbox.other("other", &|dir| write(&dir.join("sys/kern/b.c"), "c\n"));
    assert_eq!(sandbox.outcomes(&other), [DriftResult::Applies(vec![])]);
}

#[test]
fn lines_above_are_an_offset() {
    let sandbox = Sandbox::two_hunks();
    let text = big(&[(20, "line 20\nmore\nmore")]);
    let other = sandbox.other("other", &|dir| write(&dir.join(BIG), &text));
    let offset = Offset {
        file: BIG.into(),
        hunk: 2,
        lines: 2,
    };
    assert_eq!(
        sandbox.outcomes(&other),
        [DriftResult::Applies(vec![offset])]
    );
}

#[test]
fn a_changed_line_of_the_context_has_to_be_merged() {
    let sandbox = Sandbox::two_hunks();
    let other = sandbox.other("other", &|dir| write(&dir.join(BIG), &big(&[(8, "8")])));
    assert_eq!(sandbox.outcomes(&other), [DriftResult::Merges]);
}

#[test]
fn a_conflict_names_its_hunk_and_the_line_of_the_target() {
    let sandbox = Sandbox::two_hunks();
    let text = big(&[(2, "line 2\nmore"), (30, "dreissig")]);
    let other = sandbox.other("other", &|dir| write(&dir.join(BIG), &text));
    let spot = Spot {
        hunk: Some((2, 2)),
        line: 31,
    };
    let want = conflict(BIG, ConflictKind::Hunks(vec![spot]));
    assert_eq!(sandbox.outcomes(&other), [want]);
}

#[test]
fn what_landed_is_named_by_the_history() {
    let sandbox = Sandbox::two_hunks();
    let with = big(&[(2, "line 2\nmore"), (10, "ten"), (30, "thirty")]);
    let other = sandbox.other("other", &|dir| {
        write(&dir.join(BIG), &big(&[(10, "ten"), (30, "thirty")]));
        commit(dir, "kern: Under another name");
        write(&dir.join(BIG), &with);
    });
    let hash = git(&other, &["rev-parse", "HEAD^"]);
    assert_eq!(sandbox.outcomes(&other), [DriftResult::Landed(Some(hash))]);
    // A folder has no history.
    let plain = sandbox.root.join("plain");
    write(&plain.join(BIG), &with);
    assert_eq!(sandbox.outcomes(&plain), [DriftResult::Landed(None)]);
}

#[test]
fn a_conflict_with_what_it_became_upstream_names_that() {
    let sandbox = Sandbox::two_hunks();
    let other = sandbox.other("other", &|dir| {
        write(&dir.join(BIG), &big(&[(10, "Ten"), (30, "thirty")]));
        commit(dir, "kern: Change two");
        write(&dir.join("sys/kern/b.c"), "c\n");
    });
    let [DriftResult::Conflicts { perhaps, .. }] = &sandbox.outcomes(&other)[..] else {
        panic!("no conflict");
    };
    assert_eq!(*perhaps, Some(git(&other, &["rev-parse", "HEAD^"])));
}

/// Returns a series of patches that each go on with the lines of the one
/// before, and the tree that has them all, which git takes for a conflict with
/// the first.
fn neighbours() -> (Sandbox, String) {
    let all = [(10, "ten"), (11, "eleven"), (12, "twelve")];
    let patches = [("a", ""), ("b", "a"), ("c", "b")];
    let sandbox = Sandbox::new(&patches, &|src, n| write(&src.join(BIG), &big(&all[..=n])));
    (sandbox, big(&all))
}

#[test]
fn patches_that_landed_together_have_landed() {
    let (sandbox, with) = neighbours();
    let plain = sandbox.root.join("plain");
    write(&plain.join(BIG), &with);
    let landed = || DriftResult::Landed(None);
    assert_eq!(sandbox.outcomes(&plain), [landed(), landed(), landed()]);
    // Only the first two.
    write(&plain.join(BIG), &big(&[(10, "ten"), (11, "eleven")]));
    let applies = DriftResult::Applies(vec![]);
    assert_eq!(sandbox.outcomes(&plain), [landed(), landed(), applies]);
}

#[test]
fn what_the_history_is_sure_of_has_landed() {
    let (sandbox, with) = neighbours();
    let other = sandbox.other("other", &|dir| {
        write(&dir.join(BIG), &big(&[(10, "ten")]));
        commit(dir, "kern: By another name");
        write(&dir.join(BIG), &with.replace("eleven", "and on"));
    });
    let rows = sandbox.try_on(&other);
    let hash = git(&other, &["rev-parse", "HEAD^"]);
    assert_eq!(rows[0].outcome, DriftResult::Landed(Some(hash)));
    assert!(matches!(rows[1].outcome, DriftResult::Conflicts { .. }));
    // It is not left out.
    assert!(rows[1].lacks.is_empty());
    assert_eq!(rows[2].lacks, ["b"]);
}

#[test]
fn a_patch_that_conflicts_is_left_out_and_the_others_go_on() {
    let patches = [("base", ""), ("b", "base"), ("c", "b"), ("d", "")];
    let sandbox = Sandbox::new(&patches, &|src, n| match n {
        0 => write(&src.join(BIG), &big(&[(10, "ten")])),
        1 => write(&src.join(BIG), &big(&[(10, "ten"), (20, "twenty")])),
        2 => write(&src.join("sys/kern/b.c"), "c\n"),
        _ => write(&src.join("sys/kern/a.c"), "one\n2\nthree\n"),
    });
    let other = sandbox.other("other", &|dir| write(&dir.join(BIG), &big(&[(10, "zehn")])));
    let rows = sandbox.try_on(&other);
    assert!(matches!(rows[0].outcome, DriftResult::Conflicts { .. }));
    let applies = DriftResult::Applies(vec![]);
    let got: Vec<_> = rows[1..]
        .iter()
        .map(|row| (&row.outcome, &row.lacks[..]))
        .collect();
    let base = ["base".to_owned()];
    let want = [
        (&applies, &base[..]),
        (&applies, &base[..]),
        (&applies, &[]),
    ];
    assert_eq!(got, want);
}

#[test]
fn patches_stand_on_those_before_them() {
    let sandbox = Sandbox::new(&[("a", ""), ("b", "a")], &|src, n| {
        let twice = [(10, "ten"), (11, "eleven")];
        write(&src.join(BIG), &big(&twice[..=n]));
    });
    let other = sandbox.other("other", &|dir| write(&dir.join("Makefile"), "x:\n"));
    let applies = || DriftResult::Applies(vec![]);
    assert_eq!(sandbox.outcomes(&other), [applies(), applies()]);
    // The base itself, by its name, and its bare repository.
    assert_eq!(sandbox.outcomes(&sandbox.src), [applies(), applies()]);
    assert_eq!(
        sandbox.outcomes(&sandbox.src.join(".git")),
        [applies(), applies()]
    );
}

#[test]
fn files_that_are_not_there_or_are_there_already() {
    let patches = [("change", ""), ("add", ""), ("delete", ""), ("data", "")];
    let sandbox = Sandbox::new(&patches, &|src, n| match n {
        0 => write(&src.join("sys/kern/a.c"), "one\n2\nthree\n"),
        1 => write(&src.join("sys/kern/new.c"), "new\n"),
        2 => fs::remove_file(src.join("sys/kern/b.c")).unwrap(),
        _ => write(&src.join("bin/data"), "\0\u{1}other\0"),
    });
    let plain = sandbox.root.join("plain");
    write(&plain.join("sys/kern/new.c"), "another\n");
    write(&plain.join("sys/kern/b.c"), "changed\n");
    write(&plain.join("bin/data"), "\0\u{2}else\0");
    let want = [
        conflict("sys/kern/a.c", ConflictKind::Absent),
        conflict("sys/kern/new.c", ConflictKind::Present),
        conflict("sys/kern/b.c", ConflictKind::Changed),
        conflict("bin/data", ConflictKind::Whole),
    ];
    assert_eq!(sandbox.outcomes(&plain), want);
    // A new file applies; a deleted file that is gone has landed.
    fs::remove_dir_all(&plain).unwrap();
    write(&plain.join("sys/kern/a.c"), "one\ntwo\nthree\n");
    write(&plain.join("bin/data"), "\0\u{1}binary\0");
    let want = [
        DriftResult::Applies(vec![]),
        DriftResult::Applies(vec![]),
        DriftResult::Landed(None),
        DriftResult::Applies(vec![]),
    ];
    assert_eq!(sandbox.outcomes(&plain), want);
    // A folder, and an empty one.
    write(&plain.join("sys/kern/new.c/x"), "x\n");
    assert_eq!(
        sandbox.outcomes(&plain)[1],
        conflict("sys/kern/new.c", ConflictKind::Folder)
    );
    let empty = sandbox.root.join("empty");
    fs::create_dir(&empty).unwrap();
    let outcomes = sandbox.outcomes(&empty);
    assert_eq!(outcomes[0], conflict("sys/kern/a.c", ConflictKind::Absent));
    assert_eq!(outcomes[1], DriftResult::Applies(vec![]));
}

#[test]
fn a_place_that_is_found_twice_is_doubtful() {
    // A copy is at the patch's own line, and the original has moved.
    let sandbox = Sandbox::two_hunks();
    let part =
        |from: usize, to: usize| -> String { (from..=to).map(|n| format!("line {n}\n")).collect() };
    let (before, after) = ("x\n".repeat(6), "y\n".repeat(3));
    let text = format!("{before}{}{after}{}", part(7, 13), part(1, 40));
    let other = sandbox.other("other", &|dir| write(&dir.join(BIG), &text));
    let row = &sandbox.try_on(&other)[0];
    assert!(matches!(row.outcome, DriftResult::Applies(_)), "{row:?}");
    assert!(row.doubtful, "{row:?}");
}

#[test]
fn one_file_in_single_hunks() {
    let diff = b"diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+@@ b\n@@ -9 +9 @@\n-c\n+d\n";
    let head = "diff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n";
    let want = [
        format!("{head}@@ -1 +1 @@\n-a\n+@@ b\n"),
        format!("{head}@@ -9 +9 @@\n-c\n+d\n"),
    ];
    let got = single_hunks(diff).into_iter();
    let got: Vec<String> = got.map(|hunk| String::from_utf8(hunk).unwrap()).collect();
    assert_eq!(got, want);
    assert!(single_hunks(b"diff --git a/x b/x\nBinary\n").is_empty());
}

//! Replays patches on every commit of a range without a checkout.
//!
//! A patch's result depends on the files that it changes and on nothing else,
//! and few commits change those. So each patch is merged once for each distinct
//! content of its files, in small trees that have only these; git merges all of
//! a patch in one process. A file that a commit renames keeps its name in these
//! trees.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use crate::candidates::Candidates;
use crate::changes::{self, Change, Entries, Entry, Renames};
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_series::base::repo;
use kdk_series::merge;

const TRIED: &str = "replay the patches on the commits";

/// A patch to replay.
#[derive(Debug, Clone)]
pub struct Patch {
    /// The id of the patch.
    pub id: String,
    /// The patch, and what other series have under its id. The first one that
    /// applies is taken.
    pub variants: Vec<Variant>,
}

/// A patch as one series has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The name of the series.
    pub series: String,
    /// The files that it changes, as they were before.
    pub before: Entries,
    /// The same files with the patch.
    pub after: Entries,
}

/// What became of a patch on a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It applies, as this series has it.
    Applied(String),
    /// Its change is in the tree already.
    Landed,
}

/// The patches on one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// All patches apply or have landed.
    Clean {
        /// What became of each patch, in their order.
        fates: Vec<Fate>,
        /// The files that the patches change, with all patches.
        entries: Entries,
    },
    /// A patch conflicts.
    Conflict {
        /// The id of the patch.
        patch: String,
        /// The first file with a conflict.
        file: String,
    },
}

/// The patches on every commit of a range.
#[derive(Debug)]
pub struct Replays {
    distinct: Vec<Replayed>,
    of: Vec<usize>,
}

impl Replays {
    /// Returns the patches on the commit at position `at`.
    pub fn at(&self, at: usize) -> &Replayed {
        &self.distinct[self.of[at]]
    }

    /// Returns whether the patches do the same on two commits.
    pub fn same_fates(&self, one: usize, other: usize) -> bool {
        if self.of[one] == self.of[other] {
            return true;
        }
        match (self.at(one), self.at(other)) {
            (Replayed::Clean { fates: one, .. }, Replayed::Clean { fates: other, .. }) => {
                one == other
            }
            _ => false,
        }
    }
}

/// Replays `patches`, in order, on the commits of `range`. `changed` is what each
/// of them changes.
///
/// # Errors
/// git fails.
pub fn replay(
    git: &Git,
    patches: &[Patch],
    range: &Candidates,
    changed: &[Vec<Change>],
) -> Result<Replays, Failure> {
    let first = changes::entries(git, range.good(), files(patches).into_iter())?;
    let renames = |at| changes::renames(git, range, at);
    let (states, of) = states(&first, changed, &renames)?;
    let mut merger = Merger {
        git,
        trees: HashMap::new(),
    };
    let mut running: Vec<Running> = states.into_iter().map(Running::new).collect();
    for patch in patches {
        merger.apply(patch, &mut running)?;
    }
    Ok(Replays {
        distinct: running.into_iter().map(Running::end).collect(),
        of,
    })
}

/// Returns the files that the patches change.
fn files(patches: &[Patch]) -> BTreeSet<&str> {
    let variants = patches.iter().flat_map(|patch| &patch.variants);
    variants
        .flat_map(|variant| variant.before.keys())
        .map(String::as_str)
        .collect()
}

/// The files of the patches in one commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// Their entries, by the names that the patches use.
    entries: Entries,
    /// Where those are that were renamed, by the same names.
    moved: Renames,
}

impl State {
    fn path<'a>(&'a self, name: &'a str) -> &'a str {
        self.moved.get(name).map_or(name, String::as_str)
    }

    /// Returns the names of the file that is at `path`.
    fn names_of(&self, path: &str) -> Vec<String> {
        let mut names = Vec::new();
        if self.entries.contains_key(path) && !self.moved.contains_key(path) {
            names.push(path.to_owned());
        }
        let moved = self.moved.iter().filter(|(_, to)| *to == path);
        names.extend(moved.map(|(name, _)| name.clone()));
        names
    }
}

/// Returns the distinct states of the files in `first`, and for each commit
/// which one it has.
fn states(
    first: &Entries,
    changes: &[Vec<Change>],
    renames: &dyn Fn(usize) -> Result<Renames, Failure>,
) -> Result<(Vec<State>, Vec<usize>), Failure> {
    let mut now = State {
        entries: first.clone(),
        moved: Renames::new(),
    };
    let mut known: HashMap<State, usize> = HashMap::from([(now.clone(), 0)]);
    let mut states = vec![now.clone()];
    let mut number = 0;
    let mut of = Vec::new();
    for (at, changes) in changes.iter().enumerate() {
        let before = now.clone();
        let is_removed =
            |change: &&Change| change.after.is_none() && !before.names_of(&change.path).is_empty();
        if changes.iter().any(|change| is_removed(&change)) {
            for (from, to) in renames(at)? {
                // A variant may know the file by its new name.
                if first.contains_key(&to) && !before.moved.contains_key(&to) {
                    continue;
                }
                for name in before.names_of(&from) {
                    match name == to {
                        true => now.moved.remove(&name),
                        false => now.moved.insert(name, to.clone()),
                    };
                }
            }
        }
        for change in changes {
            for name in now.names_of(&change.path) {
                now.entries.insert(name, change.after.clone());
            }
        }
        if now != before {
            number = *known.entry(now.clone()).or_insert_with(|| {
                states.push(now.clone());
                states.len() - 1
            });
        }
        of.push(number);
    }
    Ok((states, of))
}

/// The replay on one state of the files.
struct Running {
    state: State,
    entries: Entries,
    fates: Vec<Fate>,
    conflict: Option<(String, String)>,
}

impl Running {
    fn new(state: State) -> Self {
        Self {
            entries: state.entries.clone(),
            state,
            fates: Vec::new(),
            conflict: None,
        }
    }

    fn end(self) -> Replayed {
        let path = |name: &str| self.state.path(name).to_owned();
        match self.conflict {
            Some((patch, file)) => Replayed::Conflict {
                patch,
                file: path(&file),
            },
            None => Replayed::Clean {
                fates: self.fates,
                entries: self
                    .entries
                    .into_iter()
                    .map(|(name, entry)| (path(&name), entry))
                    .collect(),
            },
        }
    }
}

/// What a merge of a patch into a content of its files gives.
#[derive(Debug, Clone)]
enum Merged {
    Entries(Entries),
    Conflict(String),
}

/// A merged tree, and the name of a file in conflict.
type MergedTree = (String, Option<String>);

/// Merges with git, each distinct case once.
struct Merger<'a> {
    git: &'a Git,
    /// The trees that were written, by their listings.
    trees: HashMap<String, String>,
}

impl Merger<'_> {
    /// Applies `patch` to each content.
    fn apply(&mut self, patch: &Patch, running: &mut [Running]) -> Result<(), Failure> {
        let clean = running.iter().enumerate();
        let mut open: Vec<usize> = clean
            .filter(|(_, one)| one.conflict.is_none())
            .map(|(at, _)| at)
            .collect();
        for variant in &patch.variants {
            let ours: Vec<Entries> = open
                .iter()
                .map(|at| restrict(&running[*at].entries, &variant.before))
                .collect();
            let merged = self.merge(variant, &ours)?;
            let mut conflicting = Vec::new();
            for ((at, ours), merged) in open.into_iter().zip(&ours).zip(merged) {
                let one = &mut running[at];
                match merged {
                    Merged::Entries(entries) if entries == *ours => {
                        one.conflict = None;
                        one.fates.push(Fate::Landed);
                    }
                    Merged::Entries(entries) => {
                        one.conflict = None;
                        one.entries.extend(entries);
                        one.fates.push(Fate::Applied(variant.series.clone()));
                    }
                    Merged::Conflict(file) => {
                        // The first variant's conflict is reported.
                        one.conflict.get_or_insert((patch.id.clone(), file));
                        conflicting.push(at);
                    }
                }
            }
            open = conflicting;
        }
        Ok(())
    }

    /// Merges a patch into each of `ours`.
    fn merge(&mut self, variant: &Variant, ours: &[Entries]) -> Result<Vec<Merged>, Failure> {
        let Variant { before, after, .. } = variant;
        let mut known: BTreeMap<&Entries, Merged> = BTreeMap::new();
        let mut hard: Vec<&Entries> = Vec::new();
        for ours in ours {
            if known.contains_key(ours) || hard.contains(&ours) {
                continue;
            }
            match trivial(before, after, ours) {
                Some(entries) => {
                    known.insert(ours, Merged::Entries(entries));
                }
                None => hard.push(ours),
            }
        }
        let names: Vec<&str> = before.keys().map(String::as_str).collect();
        for (ours, merged) in hard
            .iter()
            .zip(self.three_way(&names, before, after, &hard)?)
        {
            known.insert(ours, merged);
        }
        Ok(ours.iter().map(|ours| known[ours].clone()).collect())
    }

    /// Merges the files that both sides changed, all cases in one process.
    fn three_way(
        &mut self,
        names: &[&str],
        before: &Entries,
        after: &Entries,
        ours: &[&Entries],
    ) -> Result<Vec<Merged>, Failure> {
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted: Vec<&Entries> = vec![before, after];
        wanted.extend(ours);
        let trees = self.write(&wanted)?;
        let (base, theirs) = (&trees[0], &trees[1]);
        let pairs: Vec<(&str, &str, &str)> = trees[2..]
            .iter()
            .map(|ours| (base.as_str(), ours.as_str(), theirs.as_str()))
            .collect();
        let merged = match self.batch(&pairs)? {
            Some(merged) => merged,
            None => self.one_by_one(&pairs)?,
        };
        let mut results = Vec::new();
        for (tree, conflict) in merged {
            results.push(match conflict {
                Some(name) => Merged::Conflict(path_of(names, &name)),
                None => Merged::Entries(self.read(names, &tree)?),
            });
        }
        Ok(results)
    }

    /// Writes flat trees: the n-th path is the file `fN`.
    fn write(&mut self, wanted: &[&Entries]) -> Result<Vec<String>, Failure> {
        let listings: Vec<String> = wanted.iter().map(|entries| listing(entries)).collect();
        let mut new: Vec<&String> = Vec::new();
        for listing in &listings {
            if !self.trees.contains_key(listing) && !new.contains(&listing) {
                new.push(listing);
            }
        }
        if !new.is_empty() {
            // An empty line ends a tree.
            let input: String = new.iter().map(|listing| format!("{listing}\n")).collect();
            let args = ["mktree", "--batch", "--missing"];
            let ids = self.git.must(TRIED, &args, input.as_bytes())?.text();
            let ids: Vec<&str> = ids.lines().collect();
            if ids.len() != new.len() {
                return Err(Failure::infra(TRIED, "git mktree wrote fewer trees"));
            }
            for (listing, id) in new.iter().zip(ids) {
                self.trees.insert((*listing).clone(), id.to_owned());
            }
        }
        Ok(listings
            .iter()
            .map(|listing| self.trees[listing].clone())
            .collect())
    }

    /// Returns the merged trees, each with the name of a file in conflict; none
    /// if this git has no merges of trees in batches.
    fn batch(&self, pairs: &[(&str, &str, &str)]) -> Result<Option<Vec<MergedTree>>, Failure> {
        let line =
            |(base, ours, theirs): &(&str, &str, &str)| format!("{base} -- {ours} {theirs}\n");
        let input: String = pairs.iter().map(line).collect();
        let args = [
            "-c",
            "merge.renames=false",
            "merge-tree",
            "--write-tree",
            "--stdin",
            "--name-only",
            "--no-messages",
        ];
        let ran = self.git.run_with(TRIED, &args, input.as_bytes())?;
        let found = parse_batch(&String::from_utf8_lossy(&ran.stdout));
        Ok((ran.ok && found.len() == pairs.len()).then_some(found))
    }

    /// Does what [`Merger::batch`] does, for git before 2.45.
    fn one_by_one(&self, pairs: &[(&str, &str, &str)]) -> Result<Vec<MergedTree>, Failure> {
        let merge = |(base, ours, theirs): &(&str, &str, &str)| {
            let merged = merge::merge(self.git, "replay", base, theirs, ours)?;
            let conflict = merged.conflicts.first().map(|one| one.file.clone());
            Ok((merged.tree, conflict))
        };
        pairs.iter().map(merge).collect()
    }

    /// Reads a flat tree.
    fn read(&self, names: &[&str], tree: &str) -> Result<Entries, Failure> {
        let mut entries: Entries = names
            .iter()
            .map(|name| ((*name).to_owned(), None))
            .collect();
        for entry in repo::entries(self.git, TRIED, &[tree])? {
            entries.insert(path_of(names, &entry.path), Some((entry.mode, entry.id)));
        }
        Ok(entries)
    }
}

/// Returns the lines of mktree(1) for a flat tree.
fn listing(entries: &Entries) -> String {
    let mut text = String::new();
    for (number, entry) in entries.values().enumerate() {
        if let Some((mode, id)) = entry {
            let kind = match mode.as_str() {
                "160000" => "commit",
                "040000" => "tree",
                _ => "blob",
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{mode} {kind} {id}\tf{number}");
        }
    }
    text
}

/// Returns the path that a file of a flat tree stands for. git renames a file
/// in conflict with a folder to `fN~SIDE`.
fn path_of(names: &[&str], file: &str) -> String {
    let number = file.trim_start_matches('f');
    let number = number.split('~').next().unwrap_or(number);
    let path = number.parse().ok().and_then(|at: usize| names.get(at));
    path.map_or_else(|| file.to_owned(), |path| (*path).to_owned())
}

/// Parses `STATUS`, tree and the files in conflict, each with a NUL, and one
/// more NUL, for each merge.
fn parse_batch(text: &str) -> Vec<MergedTree> {
    let mut parts = text.split('\0').map(|part| part.trim_start_matches('\n'));
    let mut merged = Vec::new();
    while let (Some("0" | "1"), Some(tree)) = (parts.next(), parts.next()) {
        let mut conflict = None;
        for file in parts.by_ref().take_while(|file| !file.is_empty()) {
            conflict.get_or_insert(file.to_owned());
        }
        merged.push((tree.to_owned(), conflict));
    }
    merged
}

/// Returns the entries of the paths of `like`.
fn restrict(entries: &Entries, like: &Entries) -> Entries {
    like.keys()
        .map(|path| (path.clone(), entries.get(path).cloned().flatten()))
        .collect()
}

/// Merges without git where each file is changed by one side at most, or by
/// both to the same content.
fn trivial(before: &Entries, after: &Entries, ours: &Entries) -> Option<Entries> {
    let one = |(path, before): (&String, &Entry)| {
        let (after, ours) = (&after[path], &ours[path]);
        let entry = match () {
            () if ours == before || ours == after => after,
            () if before == after => ours,
            () => return None,
        };
        Some((path.clone(), entry.clone()))
    };
    before.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use kdk_series::base::apply::{self, chain};
    use kdk_series::base::fixtures;
    use kdk_series::base::repo::tree_of;
    use kdk_series::cherry_pick::{PickResult, cherry_pick};

    use super::*;
    use crate::candidates;
    use crate::compose;

    fn diff(path: &str, from: &str, to: &str) -> Vec<u8> {
        format!("--- a/{path}\n+++ b/{path}\n@@ -1,3 +1,3 @@\n one\n-{from}\n+{to}\n three\n")
            .into()
    }

    fn patch(git: &Git, id: &str, series: &str, (before, after): (&str, &str)) -> Patch {
        let (before, after) = changes::difference(git, before, after).unwrap();
        Patch {
            id: id.into(),
            variants: vec![Variant {
                series: series.into(),
                before,
                after,
            }],
        }
    }

    /// Returns the result of cherry-picks, one at a time, on complete trees.
    fn slowly(git: &Git, commits: &[(String, String)], onto: &str) -> Result<String, String> {
        let mut tip = onto.to_owned();
        for (number, (before, after)) in commits.iter().enumerate() {
            match cherry_pick(git, "x", (before, after), &tip).unwrap() {
                PickResult::Commit(commit) => tip = commit,
                PickResult::Empty => {}
                PickResult::Conflict(_) => return Err(number.to_string()),
            }
        }
        Ok(tree_of(git, &tip).unwrap())
    }

    #[test]
    fn a_replay_equals_cherry_picks_of_complete_trees() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = fixtures::kdk_repo(dir.path());
        let src = dir.path().join("src");
        let set = |path: &str, text: &str| fixtures::write(&src.join(path), text);
        let a = "sys/kern/a.c";
        // Each step is a commit of the range.
        let steps: [(&str, Option<&str>); 9] = [
            ("sys/kern/b.c", Some("other\n")),
            (a, Some("zero\none\ntwo\nthree\n")),
            ("share/man/x", Some("doc\n")),
            (a, Some("zero\none\nzwei\nthree\n")),
            (a, Some("zero\none\n2\nthree\n")),
            (a, Some("zero\none\ntwo\nthree\nfour\n")),
            ("sys/dev/new/new.c", Some("one\nNEW\nthree\n")),
            (a, None),
            (a, Some("one\ntwo\nthree\n")),
        ];
        for (number, (path, text)) in steps.iter().enumerate() {
            match text {
                Some(text) => set(path, text),
                None => std::fs::remove_file(src.join(path)).unwrap(),
            }
            fixtures::commit(&src, &format!("step {number}"));
        }
        let tip = fixtures::git(&src, &["rev-parse", "HEAD"]);
        let change = |id: &str, diff: Vec<u8>| apply::Change {
            id: id.into(),
            diff,
        };
        let new = "--- /dev/null\n+++ b/sys/dev/new/new.c\n@@ -0,0 +1,3 @@\n+one\n+NEW\n+three\n";
        let list = [
            change("count", diff(a, "two", "2")),
            change("new", new.into()),
            change("more", diff(a, "2", "2.0")),
        ];
        let commits = chain(&git, &head, &list).unwrap();
        let mut pairs = Vec::new();
        let mut under = head.clone();
        for commit in commits {
            pairs.push((under, commit.clone()));
            under = commit;
        }
        let patches: Vec<Patch> = list
            .iter()
            .zip(&pairs)
            .map(|(change, (before, after))| patch(&git, &change.id, "s", (before, after)))
            .collect();
        let range = candidates::list(&git, &head, &tip).unwrap();
        let changed = changes::read(&git, &range).unwrap();
        let replays = replay(&git, &patches, &range, &changed).unwrap();
        let mut fates = String::new();
        for (at, candidate) in range.commits.iter().enumerate() {
            let want = slowly(&git, &pairs, &candidate.commit);
            match replays.at(at) {
                Replayed::Clean {
                    fates: all,
                    entries,
                } => {
                    let commit = compose::commit(&git, &candidate.commit, entries, "x\n").unwrap();
                    assert_eq!(Ok(tree_of(&git, &commit).unwrap()), want, "commit {at}");
                    writeln!(fates, "{at}: {all:?}").unwrap();
                }
                Replayed::Conflict { patch, file } => {
                    let number = want.unwrap_err().parse::<usize>().unwrap();
                    assert_eq!(*patch, list[number].id, "commit {at}");
                    writeln!(fates, "{at}: {patch} conflicts in {file}").unwrap();
                }
            }
        }
        insta::assert_snapshot!(fates);
        assert!(replays.same_fates(0, 1) && !replays.same_fates(4, 5));
    }

    #[test]
    fn the_variant_that_applies_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = fixtures::kdk_repo(dir.path());
        let src = dir.path().join("src");
        let a = "sys/kern/a.c";
        fixtures::write(&src.join(a), "one\nzwei\nthree\n");
        let german = fixtures::commit(&src, "german");
        fixtures::write(&src.join(a), "uno\ndue\ntre\n");
        let italian = fixtures::commit(&src, "italian");
        let make = |base: &str, from: &str| {
            let change = apply::Change {
                id: "count".into(),
                diff: diff(a, from, "2"),
            };
            chain(&git, base, &[change]).unwrap().remove(0)
        };
        let mut both = patch(&git, "count", "new", (&head, &make(&head, "two")));
        let old = patch(&git, "count", "old", (&german, &make(&german, "zwei")));
        both.variants.extend(old.variants);
        let range = candidates::list(&git, &head, &italian).unwrap();
        let changed = changes::read(&git, &range).unwrap();
        let patches = [both];
        let replays = replay(&git, &patches, &range, &changed).unwrap();
        let fates: Vec<String> = (0..3)
            .map(|at| match replays.at(at) {
                Replayed::Clean { fates, .. } => format!("{fates:?}"),
                Replayed::Conflict { patch, file } => format!("{patch} {file}"),
            })
            .collect();
        assert_eq!(
            fates,
            [
                "[Applied(\"new\")]",
                "[Applied(\"old\")]",
                "count sys/kern/a.c"
            ]
        );
    }

    #[test]
    fn a_patch_follows_a_renamed_file() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = fixtures::kdk_repo(dir.path());
        let src = dir.path().join("src");
        let run = |args: &[&str]| fixtures::git(&src, args);
        let (old, new) = ("sys/kern/a.c", "sys/arch/kern/a.c");
        let mut before: String = (0..40).map(|line| format!("{line}\n")).collect();
        before.insert_str(0, "one\ntwo\nthree\n");
        fixtures::write(&src.join(old), &before);
        let base = fixtures::commit(&src, "long");
        // It is renamed and changed at once, conflicts, and returns.
        std::fs::create_dir_all(src.join("sys/arch/kern")).unwrap();
        run(&["mv", old, new]);
        fixtures::write(&src.join(new), &before.replace("\n30\n", "\ndreißig\n"));
        fixtures::commit(&src, "move");
        fixtures::write(&src.join(new), &before.replace("two", "zwei"));
        fixtures::commit(&src, "conflict");
        run(&["mv", new, old]);
        fixtures::commit(&src, "back");
        fixtures::write(&src.join(old), &before);
        let tip = fixtures::commit(&src, "restore");
        let change = apply::Change {
            id: "count".into(),
            diff: diff(old, "two", "2"),
        };
        let patched = chain(&git, &base, &[change]).unwrap().remove(0);
        let patches = [patch(&git, "count", "s", (&base, &patched))];
        let range = candidates::list(&git, &head, &tip).unwrap();
        let changed = changes::read(&git, &range).unwrap();
        let replays = replay(&git, &patches, &range, &changed).unwrap();
        let seen: Vec<String> = (1..=5)
            .map(|at| match replays.at(at) {
                Replayed::Clean { entries, .. } => {
                    let commit = &range.commits[at].commit;
                    let made = compose::commit(&git, commit, entries, "x\n").unwrap();
                    let list = git
                        .text("x", &["diff", "--stat=80", commit, &made])
                        .unwrap();
                    list.lines().next().unwrap_or_default().trim().to_owned()
                }
                Replayed::Conflict { patch, file } => format!("{patch} {file}"),
            })
            .collect();
        assert_eq!(
            seen,
            [
                "sys/kern/a.c | 2 +-",
                "sys/arch/kern/a.c | 2 +-",
                "count sys/arch/kern/a.c",
                "count sys/kern/a.c",
                "sys/kern/a.c | 2 +-"
            ]
        );
    }

    #[test]
    fn an_older_git_merges_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = fixtures::kdk_repo(dir.path());
        let a = "sys/kern/a.c";
        let make = |from: &str, to: &str| {
            let change = apply::Change {
                id: "x".into(),
                diff: diff(a, from, to),
            };
            let commit = chain(&git, &head, &[change]).unwrap().remove(0);
            changes::difference(&git, &head, &commit).unwrap()
        };
        let (before, after) = make("two", "2");
        let (_, other) = make("two", "zwei");
        let mut merger = Merger {
            git: &git,
            trees: HashMap::new(),
        };
        let trees = merger.write(&[&before, &after, &other]).unwrap();
        let pairs = [
            (&*trees[0], &*trees[0], &*trees[1]),
            (&*trees[0], &*trees[2], &*trees[1]),
        ];
        let slowly = merger.one_by_one(&pairs).unwrap();
        assert_eq!(slowly[0], (trees[1].clone(), None));
        assert_eq!(slowly[1].1.as_deref(), Some("f0"));
        if let Some(quickly) = merger.batch(&pairs).unwrap() {
            let conflicts =
                |all: &[MergedTree]| all.iter().map(|one| one.1.clone()).collect::<Vec<_>>();
            assert_eq!(conflicts(&quickly), conflicts(&slowly));
            assert_eq!(quickly[0], slowly[0]);
        }
    }

    #[test]
    fn output_of_merges_in_a_batch() {
        let text = "1\0aa\0\0\n0\0bb\0f0\0f2\0\0\n1\0cc\0\0";
        let some = |tree: &str, file: Option<&str>| (tree.to_owned(), file.map(str::to_owned));
        let want = [some("aa", None), some("bb", Some("f0")), some("cc", None)];
        assert_eq!(parse_batch(text), want);
        assert_eq!(parse_batch(&text.replace('\n', "")), want);
        assert!(parse_batch("").is_empty());
        assert_eq!(path_of(&["x", "y"], "f1~kdk"), "y");
    }
}

//! The drift of a series from other trees: tries each patch on each tree, in
//! order, and builds nothing.

mod landed;
pub mod table;
pub mod target;

use std::collections::BTreeSet;

use crate::applied::AppliedSeries;
use crate::base::repo;
use crate::drift::landed::Wanted;
use crate::drift::target::OpenTarget;
use crate::merge::merge;
use crate::temp_repo::{Listing, Offset, TempRepo, listing};
use kdk_core::failure::Failure;

const TRIED: &str = "read the series' commits";

/// A series as small trees, with only the files that it changes.
#[derive(Debug)]
pub struct Replay {
    temp: TempRepo,
    steps: Vec<Step>,
}

/// A patch of the series.
#[derive(Debug)]
struct Step {
    id: String,
    needs: Vec<String>,
    subject: String,
    /// The trees before and after the patch.
    from: String,
    to: String,
    /// The files of these trees.
    before: Listing,
    after: Listing,
    /// The diff.
    diff: Vec<u8>,
    files: BTreeSet<String>,
}

/// The result of one patch on a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The id of the patch.
    pub id: String,
    /// What became of it.
    pub outcome: DriftResult,
    /// The patches that it needs and that were skipped.
    pub lacks: Vec<String>,
    /// Whether it applies, but a merge gives another tree.
    pub doubtful: bool,
}

/// The result of one patch on a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriftResult {
    /// The patch applies, some hunks with an offset.
    Applies(Vec<Offset>),
    /// The patch merges, but does not apply.
    Merges,
    /// The tree has the patch, as this commit if its history shows it.
    Landed(Option<String>),
    /// The patch conflicts.
    Conflicts {
        /// The files that conflict.
        places: Vec<FileConflict>,
        /// A commit of the tree's history with the subject of the patch.
        perhaps: Option<String>,
    },
}

/// A file with a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConflict {
    /// The path of the file.
    pub file: String,
    /// The kind of the conflict.
    pub why: ConflictKind,
}

/// The kind of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConflictKind {
    /// The patch changes the file, and the tree does not have it.
    Absent,
    /// The tree has a folder of this name.
    Folder,
    /// The patch adds the file, and the tree has another one.
    Present,
    /// The patch deletes the file, and the tree has changed it.
    Changed,
    /// These hunks do not merge.
    Hunks(Vec<Spot>),
    /// The whole file does not merge: it is binary, or of another type.
    Whole,
}

/// A hunk that does not merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Its number in the file's part of the patch, from 1, and their count;
    /// `None` if each hunk merges alone.
    pub hunk: Option<(usize, usize)>,
    /// The line in the tree's file.
    pub line: usize,
}

impl Replay {
    /// Copies what is needed from the series' commits. The base can be unlocked
    /// after that.
    pub fn of(applied: &AppliedSeries<'_>) -> Result<Self, Failure> {
        let git = applied.git();
        let mut all = BTreeSet::new();
        let mut touched = Vec::new();
        for (n, (_, commit)) in applied.patches().enumerate() {
            let files = BTreeSet::from_iter(repo::changed_paths(git, applied.parent(n), commit)?);
            all.extend(files.iter().cloned());
            touched.push(files);
        }
        let temp = TempRepo::new()?;
        let small = |commit: &str| {
            let listed = listing(git, commit, &all)?;
            temp.take(git, &listed.files)?;
            let tree = temp.tree(&listed.files)?;
            Ok::<_, Failure>((listed, tree))
        };
        let (mut before, mut from) = small(applied.start())?;
        let mut steps = Vec::new();
        for ((patch, commit), files) in applied.patches().zip(touched) {
            let (after, to) = small(commit)?;
            let args = ["log", "-1", "--no-show-signature", "--format=%s", commit];
            steps.push(Step {
                id: patch.id.clone(),
                needs: patch.needs.clone(),
                subject: git.text(TRIED, &args)?,
                diff: temp.diff(&from, &to, None)?,
                from,
                to: to.clone(),
                before,
                after: after.clone(),
                files,
            });
            (before, from) = (after, to);
        }
        Ok(Self { temp, steps })
    }

    /// Tries every patch on `target`, on top of the ones before it.
    pub fn on(&self, target: &OpenTarget, say: &dyn Fn(String)) -> Result<Vec<Row>, Failure> {
        let mut paths = BTreeSet::new();
        for step in &self.steps {
            paths.extend(step.files.iter().cloned());
        }
        let found = target.files(&self.temp, &paths, say)?;
        let mut tree = self.temp.tree(&found.files)?;
        let mut rows: Vec<Row> = Vec::new();
        let mut left_out: Vec<&str> = Vec::new();
        // The patches before this one have landed.
        let mut landed = 0;
        for (n, step) in self.steps.iter().enumerate() {
            let lacks = lacks(step, &left_out, &self.steps);
            let mut tried = match n < landed {
                true => StepResult::same(DriftResult::Landed(None), &tree),
                false => self.step(step, &tree, &found.folders)?,
            };
            if let DriftResult::Conflicts { .. } = &tried.outcome
                && let Some(last) = self.landed_with(n, &tree)?
            {
                landed = last + 1;
                tried.outcome = DriftResult::Landed(None);
            }
            tried.outcome = self.dated(tried.outcome, target, step)?;
            if let DriftResult::Conflicts { .. } = &tried.outcome {
                left_out.push(&step.id);
            }
            tree = tried.tree;
            rows.push(Row {
                id: step.id.clone(),
                outcome: tried.outcome,
                lacks,
                doubtful: tried.doubtful,
            });
        }
        Ok(rows)
    }

    /// Returns the last patch up to which all from `first` on have landed in
    /// `tree`. A later patch to the same lines hides an earlier one.
    fn landed_with(&self, first: usize, tree: &str) -> Result<Option<usize>, Failure> {
        let step = &self.steps[first];
        for (n, last) in self.steps.iter().enumerate().skip(first + 1) {
            if last.files.is_disjoint(&step.files) {
                continue;
            }
            let merged = self.merge(&last.id, &step.from, &last.to, tree)?;
            if merged.conflicts.is_empty() && merged.tree == tree {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Adds what the target's history shows to `outcome`.
    fn dated(
        &self,
        outcome: DriftResult,
        target: &OpenTarget,
        step: &Step,
    ) -> Result<DriftResult, Failure> {
        let found = || match target.history() {
            None => Ok(None),
            Some((git, tip)) => {
                let wanted = Wanted {
                    subject: &step.subject,
                    diff: &step.diff,
                    files: &step.files,
                };
                landed::find(&git, tip, wanted)
            }
        };
        Ok(match outcome {
            DriftResult::Landed(_) => DriftResult::Landed(found()?.map(|found| found.commit)),
            DriftResult::Conflicts { places, .. } => match found()? {
                Some(found) if found.certain => DriftResult::Landed(Some(found.commit)),
                found => DriftResult::Conflicts {
                    places,
                    perhaps: found.map(|found| found.commit),
                },
            },
            other => other,
        })
    }

    fn step(&self, step: &Step, onto: &str, folders: &[String]) -> Result<StepResult, Failure> {
        let conflicts = |places| {
            let perhaps = None;
            StepResult::same(DriftResult::Conflicts { places, perhaps }, onto)
        };
        let in_the_way = folders.iter().filter(|path| step.files.contains(*path));
        let in_the_way: Vec<FileConflict> = in_the_way
            .map(|path| FileConflict {
                file: path.clone(),
                why: ConflictKind::Folder,
            })
            .collect();
        if !in_the_way.is_empty() {
            return Ok(conflicts(in_the_way));
        }
        let merged = self.merge(&step.id, &step.from, &step.to, onto)?;
        if merged.conflicts.is_empty() && merged.tree == onto {
            return Ok(StepResult::same(DriftResult::Landed(None), onto));
        }
        if let Ok(applied) = self.temp.apply(onto, &step.diff)? {
            return Ok(StepResult {
                doubtful: !merged.conflicts.is_empty() || merged.tree != applied.tree,
                outcome: DriftResult::Applies(applied.offsets),
                tree: applied.tree,
            });
        }
        if merged.conflicts.is_empty() {
            return Ok(StepResult {
                outcome: DriftResult::Merges,
                tree: merged.tree,
                doubtful: false,
            });
        }
        let there = listing(self.temp.git(), onto, &step.files)?;
        let mut places = Vec::new();
        for conflict in merged.conflicts {
            let lines = conflict.hunks.iter().map(|hunk| hunk.line).collect();
            places.push(FileConflict {
                why: self.why(step, &conflict.file, &there, onto, lines)?,
                file: conflict.file,
            });
        }
        Ok(conflicts(places))
    }

    /// Returns the kind of the conflict in `file`. `lines` are the conflicts of
    /// all hunks together.
    fn why(
        &self,
        step: &Step,
        file: &str,
        there: &Listing,
        onto: &str,
        lines: Vec<usize>,
    ) -> Result<ConflictKind, Failure> {
        let is_in = |listing: &Listing| listing.file(file).is_some();
        match (is_in(&step.before), is_in(&step.after), is_in(there)) {
            (true, _, false) => return Ok(ConflictKind::Absent),
            (false, _, _) => return Ok(ConflictKind::Present),
            (true, false, true) => return Ok(ConflictKind::Changed),
            (true, true, true) if lines.is_empty() => return Ok(ConflictKind::Whole),
            (true, true, true) => {}
        }
        let diff = self.temp.diff(&step.from, &step.to, Some(file))?;
        let single = single_hunks(&diff);
        let of = single.len();
        let mut spots = Vec::new();
        for (n, diff) in single.iter().enumerate() {
            let Ok(alone) = self.temp.apply(&step.from, diff)? else {
                continue;
            };
            let merged = self.merge(&step.id, &step.from, &alone.tree, onto)?;
            let conflict = merged.conflicts.into_iter().find(|c| c.file == file);
            if let Some(hunk) = conflict.and_then(|conflict| conflict.hunks.into_iter().next()) {
                spots.push(Spot {
                    hunk: Some((n + 1, of)),
                    line: hunk.line,
                });
            }
        }
        if spots.is_empty() {
            let line = |line| Spot { hunk: None, line };
            spots.extend(lines.into_iter().map(line));
        }
        Ok(ConflictKind::Hunks(spots))
    }

    fn merge(
        &self,
        id: &str,
        from: &str,
        to: &str,
        onto: &str,
    ) -> Result<crate::merge::Merged, Failure> {
        merge(self.temp.git(), id, from, to, onto)
    }
}

/// The result of trying one patch.
struct StepResult {
    outcome: DriftResult,
    tree: String,
    doubtful: bool,
}

impl StepResult {
    /// Returns a result that leaves `tree` unchanged.
    fn same(outcome: DriftResult, tree: &str) -> Self {
        Self {
            outcome,
            tree: tree.to_owned(),
            doubtful: false,
        }
    }
}

/// Returns the skipped patches that `step` needs, directly or not.
fn lacks(step: &Step, left_out: &[&str], steps: &[Step]) -> Vec<String> {
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = step.needs.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            let of = steps.iter().find(|step| step.id == id);
            open.extend(
                of.into_iter()
                    .flat_map(|of| of.needs.iter().map(String::as_str)),
            );
        }
    }
    let lacking = left_out.iter().filter(|id| needed.contains(*id));
    lacking.map(|id| (*id).to_owned()).collect()
}

/// Splits the diff of one file into a diff for each hunk.
fn single_hunks(diff: &[u8]) -> Vec<Vec<u8>> {
    let mut head = Vec::new();
    let mut found: Vec<Vec<u8>> = Vec::new();
    // The lines of a hunk begin with a space, a sign or a backslash.
    for line in diff.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"@@ ") {
            found.push(head.clone());
        }
        found.last_mut().unwrap_or(&mut head).extend(line);
    }
    found
}

#[cfg(test)]
mod tests;

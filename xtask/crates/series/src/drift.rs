//! How far a series is from other trees: each patch is tried on each of them,
//! in order, and nothing is built.

mod landed;
pub mod table;
pub mod target;

use std::collections::BTreeSet;

use crate::applied::AppliedSeries;
use crate::base::repo;
use crate::drift::landed::Wanted;
use crate::drift::target::Opened;
use crate::merge::merge;
use crate::temp_repo::{Listing, Offset, TempRepo, listing};
use kdk_core::failure::Failure;

const TRIED: &str = "read the series' commits";

/// A series as small trees, which hold the files that it changes alone.
#[derive(Debug)]
pub struct Replay {
    temp: TempRepo,
    steps: Vec<Step>,
}

/// One patch of it.
#[derive(Debug)]
struct Step {
    id: String,
    needs: Vec<String>,
    subject: String,
    /// The tree before it, and with it.
    from: String,
    to: String,
    /// The files of both.
    before: Listing,
    after: Listing,
    /// What it changes.
    diff: Vec<u8>,
    files: BTreeSet<String>,
}

/// What became of a patch on a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The patch.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Patches it needs that were left out.
    pub lacks: Vec<String>,
    /// It applies, but merging it gives another tree.
    pub doubtful: bool,
}

/// What became of a patch on a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It applies; some hunks elsewhere than it says.
    Applies(Vec<Offset>),
    /// Only a three-way merge takes it.
    Merges,
    /// The tree has it: as the commit that its history shows, if it does.
    Landed(Option<String>),
    /// It does not fit.
    Conflicts {
        /// Where.
        places: Vec<Clash>,
        /// A commit of the tree's history with the patch's subject.
        perhaps: Option<String>,
    },
}

/// A file that a patch does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The file.
    pub file: String,
    /// In which way.
    pub why: Why,
}

/// In which way a file does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The patch changes it, and it is not there.
    Absent,
    /// A folder is there.
    Folder,
    /// The patch adds it, and there is another one.
    Present,
    /// The patch deletes it, and it was changed.
    Changed,
    /// These hunks do not merge.
    Hunks(Vec<Spot>),
    /// It does not merge as a whole (no text, or another type).
    Whole,
}

/// A hunk that does not merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Its number in the patch's part on that file, from 1, and how many there
    /// are; none where only all of them together do not merge.
    pub hunk: Option<(usize, usize)>,
    /// The line of the tree's file.
    pub line: usize,
}

impl Replay {
    /// Takes all that is wanted of the series' commits; the base may be let
    /// go after that.
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

    /// Tries every patch on `target`, each on what the ones before it left.
    pub fn on(&self, target: &Opened, say: &dyn Fn(String)) -> Result<Vec<Row>, Failure> {
        let mut paths = BTreeSet::new();
        for step in &self.steps {
            paths.extend(step.files.iter().cloned());
        }
        let found = target.files(&self.temp, &paths, say)?;
        let mut tree = self.temp.tree(&found.files)?;
        let mut rows: Vec<Row> = Vec::new();
        let mut left_out: Vec<&str> = Vec::new();
        // Patches before this one are known to have landed.
        let mut landed = 0;
        for (n, step) in self.steps.iter().enumerate() {
            let lacks = lacks(step, &left_out, &self.steps);
            let mut tried = match n < landed {
                true => Tried::same(Outcome::Landed(None), &tree),
                false => self.step(step, &tree, &found.folders)?,
            };
            if let Outcome::Conflicts { .. } = &tried.outcome
                && let Some(last) = self.landed_with(n, &tree)?
            {
                landed = last + 1;
                tried.outcome = Outcome::Landed(None);
            }
            tried.outcome = self.dated(tried.outcome, target, step)?;
            if let Outcome::Conflicts { .. } = &tried.outcome {
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

    /// The later patch up to which all from `first` on have landed in `tree`:
    /// one that goes on with the lines of another hides it.
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

    /// `outcome` with what the target's history says of it.
    fn dated(&self, outcome: Outcome, target: &Opened, step: &Step) -> Result<Outcome, Failure> {
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
            Outcome::Landed(_) => Outcome::Landed(found()?.map(|found| found.commit)),
            Outcome::Conflicts { places, .. } => match found()? {
                Some(found) if found.certain => Outcome::Landed(Some(found.commit)),
                found => Outcome::Conflicts {
                    places,
                    perhaps: found.map(|found| found.commit),
                },
            },
            other => other,
        })
    }

    fn step(&self, step: &Step, onto: &str, folders: &[String]) -> Result<Tried, Failure> {
        let conflicts = |places| {
            let perhaps = None;
            Tried::same(Outcome::Conflicts { places, perhaps }, onto)
        };
        let in_the_way = folders.iter().filter(|path| step.files.contains(*path));
        let in_the_way: Vec<Clash> = in_the_way
            .map(|path| Clash {
                file: path.clone(),
                why: Why::Folder,
            })
            .collect();
        if !in_the_way.is_empty() {
            return Ok(conflicts(in_the_way));
        }
        let merged = self.merge(&step.id, &step.from, &step.to, onto)?;
        if merged.conflicts.is_empty() && merged.tree == onto {
            return Ok(Tried::same(Outcome::Landed(None), onto));
        }
        if let Ok(applied) = self.temp.apply(onto, &step.diff)? {
            return Ok(Tried {
                doubtful: !merged.conflicts.is_empty() || merged.tree != applied.tree,
                outcome: Outcome::Applies(applied.offsets),
                tree: applied.tree,
            });
        }
        if merged.conflicts.is_empty() {
            return Ok(Tried {
                outcome: Outcome::Merges,
                tree: merged.tree,
                doubtful: false,
            });
        }
        let there = listing(self.temp.git(), onto, &step.files)?;
        let mut places = Vec::new();
        for conflict in merged.conflicts {
            let lines = conflict.hunks.iter().map(|hunk| hunk.line).collect();
            places.push(Clash {
                why: self.why(step, &conflict.file, &there, onto, lines)?,
                file: conflict.file,
            });
        }
        Ok(conflicts(places))
    }

    /// In which way `file` does not fit; `lines` is where all hunks together
    /// clash.
    fn why(
        &self,
        step: &Step,
        file: &str,
        there: &Listing,
        onto: &str,
        lines: Vec<usize>,
    ) -> Result<Why, Failure> {
        let is_in = |listing: &Listing| listing.file(file).is_some();
        match (is_in(&step.before), is_in(&step.after), is_in(there)) {
            (true, _, false) => return Ok(Why::Absent),
            (false, _, _) => return Ok(Why::Present),
            (true, false, true) => return Ok(Why::Changed),
            (true, true, true) if lines.is_empty() => return Ok(Why::Whole),
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
        Ok(Why::Hunks(spots))
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

/// What one patch did.
struct Tried {
    outcome: Outcome,
    tree: String,
    doubtful: bool,
}

impl Tried {
    /// It left `tree` as it was.
    fn same(outcome: Outcome, tree: &str) -> Self {
        Self {
            outcome,
            tree: tree.to_owned(),
            doubtful: false,
        }
    }
}

/// The patches left out that `step` needs, directly or not.
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

/// The diff of one file, as a diff for each of its hunks.
fn single_hunks(diff: &[u8]) -> Vec<Vec<u8>> {
    let mut head = Vec::new();
    let mut found: Vec<Vec<u8>> = Vec::new();
    // Lines of a hunk begin with a blank, a sign or a backslash.
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

//! Decides which jobs of a revision run, and why. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::job::{Job, Work};
use crate::keys::Keyed;
use crate::result::{JobResult, JobVerdict};
use crate::revision::{Inputs, Revision, short};

/// Whether a job runs, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs, for this reason.
    Run(Reason),
    /// It has a valid result: it passed for this revision.
    Valid {
        /// The id of the revision that it ran for.
        revision: String,
    },
    /// Nothing that it depends on has changed since the commit that the caller
    /// named.
    Unchanged {
        /// That commit, as the caller named it.
        since: String,
    },
}

/// Why a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It has no result, and there is no earlier one to compare with.
    NeverRun,
    /// What it depends on has changed.
    Changed {
        /// What has changed, in words.
        what: Vec<String>,
        /// The name of the revision or commit that it is compared with.
        since: String,
    },
    /// It failed the last time, for this reason.
    Failed(String),
    /// The host failed the last time, for this reason.
    HostFailed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRun => f.write_str("never run"),
            Self::Changed { what, since } => {
                write!(f, "{} since {since}", what.join(", "))
            }
            Self::Failed(why) => write!(f, "failed last time: {why}"),
            Self::HostFailed(why) => write!(f, "the host failed last time: {why}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(reason) => write!(f, "run: {reason}"),
            Self::Valid { revision } => {
                write!(f, "valid: passed for revision {}", short(revision))
            }
            Self::Unchanged { since } => write!(f, "unchanged since {since}"),
        }
    }
}

/// A job and what is decided about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The job itself.
    pub job: Job,
    /// What is decided about it.
    pub decision: Decision,
}

/// The jobs of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The revision, with the keys of its jobs.
    pub revision: Revision,
    /// Every job of the matrix, in its order.
    pub jobs: Vec<Decided>,
}

impl Schedule {
    /// Returns the jobs that run.
    pub fn to_run(&self) -> Vec<Job> {
        let runs = |one: &&Decided| matches!(one.decision, Decision::Run(_));
        self.jobs
            .iter()
            .filter(runs)
            .map(|one| one.job.clone())
            .collect()
    }
}

/// An earlier state of the series to compare with.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// Its name: an abbreviated revision, or the commit that the caller named.
    pub name: String,
    /// What it consisted of.
    pub revision: Option<Revision>,
    /// Whether the caller named it: jobs with the same key do not run then.
    pub is_named: bool,
}

/// Decides about the jobs with the keys `keyed`. `stored` returns the results
/// that there are; `expected` how long a job took.
///
/// # Errors
/// A stored result cannot be read.
pub fn decide<E>(
    mut revision: Revision,
    keyed: Vec<(Work, Keyed)>,
    earlier: &Earlier,
    stored: &dyn Fn(&str) -> Result<Option<JobResult>, E>,
    expected: &dyn Fn(&str) -> Option<u64>,
) -> Result<Schedule, E> {
    let mut jobs = Vec::new();
    for (work, keys) in keyed {
        let Keyed { key, also, inputs } = keys;
        let mut job = Job::new(&revision.base, work, key, None);
        job.also = also;
        job.expected_ms = expected(&job.id);
        let decision = decide_one(&job, &inputs, &revision, earlier, stored(&job.key)?);
        revision.jobs.insert(job.id.clone(), job.key.clone());
        if matches!(decision, Decision::Unchanged { .. }) {
            revision.unchanged.insert(job.id.clone());
        }
        revision.inputs.insert(job.id.clone(), inputs);
        jobs.push(Decided { job, decision });
    }
    Ok(Schedule { revision, jobs })
}

fn decide_one(
    job: &Job,
    inputs: &Inputs,
    revision: &Revision,
    earlier: &Earlier,
    stored: Option<JobResult>,
) -> Decision {
    let host_failed = match &stored {
        Some(result) => match result.verdict {
            JobVerdict::Passed => {
                let revision = result.revision.clone();
                return Decision::Valid { revision };
            }
            JobVerdict::Failed => return Decision::Run(Reason::Failed(result.why.clone())),
            JobVerdict::HostError => Some(result.why.clone()),
        },
        None => None,
    };
    let before = earlier.revision.as_ref();
    let is_same = before.and_then(|before| before.jobs.get(&job.id)) == Some(&job.key);
    if earlier.is_named && is_same {
        let since = earlier.name.clone();
        return Decision::Unchanged { since };
    }
    if let Some(why) = host_failed {
        return Decision::Run(Reason::HostFailed(why));
    }
    let Some(before) = before else {
        return Decision::Run(Reason::NeverRun);
    };
    let what = changes(job, inputs, revision, before);
    Decision::Run(match what.is_empty() {
        true => Reason::NeverRun,
        false => Reason::Changed {
            what,
            since: earlier.name.clone(),
        },
    })
}

/// Returns what of a job's inputs has changed since the revision `before`, in
/// words.
fn changes(job: &Job, inputs: &Inputs, now: &Revision, before: &Revision) -> Vec<String> {
    let Some(old) = before.inputs.get(&job.id) else {
        return match job.work.patch() {
            Some(patch) if before.patch(patch).is_none() => vec![format!("patch {patch} is new")],
            _ if before.inputs.is_empty() => Vec::new(),
            _ => vec!["the job is new".to_owned()],
        };
    };
    let names: BTreeSet<&String> = old.keys().chain(inputs.keys()).collect();
    let differ = |name: &&&String| old.get(**name) != inputs.get(**name);
    let mut what: Vec<String> = Vec::new();
    let mut reordered = false;
    for name in names.iter().filter(differ) {
        let words = match name.as_str() {
            "tree" => {
                what.extend(patches(now, before));
                continue;
            }
            "order" => {
                reordered = true;
                continue;
            }
            name => match name.strip_prefix("patch ") {
                Some(patch) => patch_words(patch, old.get(name), inputs.get(name)),
                None => words(name).to_owned(),
            },
        };
        what.push(words);
    }
    if reordered && what.is_empty() {
        what.push("the order of the patches changed".into());
    }
    let mut seen = BTreeSet::new();
    what.retain(|words| seen.insert(words.clone()));
    what
}

/// Returns what changed between two revisions, by the patches' ids.
fn patches(now: &Revision, before: &Revision) -> Vec<String> {
    let by_id = |revision: &Revision| -> BTreeMap<String, String> {
        let patches = revision.patches.iter();
        patches
            .map(|patch| (patch.id.clone(), patch.patch_id.clone()))
            .collect()
    };
    let (old, new) = (by_id(before), by_id(now));
    let ids: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut what = Vec::new();
    if now.tree != before.tree {
        what.push("the base changed".to_owned());
    }
    for id in ids {
        if old.get(id) != new.get(id) {
            what.push(patch_words(id, old.get(id), new.get(id)));
        }
    }
    if what.is_empty() {
        what.push("the order of the patches changed".to_owned());
    }
    what
}

fn patch_words(patch: &str, old: Option<&String>, new: Option<&String>) -> String {
    match (old, new) {
        (None, _) => format!("patch {patch} is new"),
        (_, None) => format!("patch {patch} was removed"),
        _ => format!("patch {patch} changed"),
    }
}

/// Returns the words for the input `name` when it has changed.
fn words(name: &str) -> &str {
    match name {
        "base" | "osreldate" => "the base changed",
        "kernel" => "how kernels are built changed",
        "programs" => "the programs of its tests changed",
        "tests" => "its tests changed",
        "check" => "how its tests must end changed",
        "without" => "the patches that need it changed",
        "file" => "its file changed",
        "entry" => "its entry in the manifest changed",
        "rules" => "the checks of lint changed",
        "mutants" => "the mutants changed",
        "jobs" => "what CI's jobs do changed",
        "builds" => "whether builds are confined changed",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{result, revision};
    use crate::keys::tests::{FakePrograms, four, set_trees, works};
    use crate::keys::{Facts, keyed};
    use crate::matrix::Depth;

    /// Returns the schedule of `facts` after `earlier`, with the results
    /// `stored`.
    fn schedule(
        facts: &Facts,
        earlier: &Earlier,
        stored: &BTreeMap<String, JobResult>,
    ) -> Schedule {
        schedule_with(facts, &FakePrograms::default(), earlier, stored)
    }

    fn schedule_with(
        facts: &Facts,
        programs: &FakePrograms,
        earlier: &Earlier,
        stored: &BTreeMap<String, JobResult>,
    ) -> Schedule {
        let keys = |work: Work| {
            let keys = keyed(&work, facts, programs, Depth::Revision).unwrap();
            (work, keys.unwrap())
        };
        let ids: Vec<&str> = facts
            .patches
            .iter()
            .map(|patch| patch.id.as_str())
            .collect();
        let mut now = revision("b", &ids);
        now.tree.clone_from(&facts.trees[0]);
        for (reference, patch) in now.patches.iter_mut().zip(&facts.patches) {
            reference.patch_id.clone_from(&patch.patch_id);
        }
        let of_facts = |work: &Work| match work {
            Work::Prefix { count, .. } => *count <= facts.patches.len(),
            Work::Lint { patch } | Work::Prove { patch } => ids.contains(&patch.as_str()),
            _ => true,
        };
        let works = works().into_iter().filter(of_facts);
        decide::<()>(
            now,
            works.map(keys).collect(),
            earlier,
            &|key| Ok(stored.get(key).cloned()),
            &|_| None,
        )
        .unwrap()
    }

    fn after(schedule: &Schedule, is_named: bool) -> Earlier {
        Earlier {
            name: "R1".into(),
            revision: Some(schedule.revision.clone()),
            is_named,
        }
    }

    /// Returns passed results of all jobs of a schedule.
    fn passed(schedule: &Schedule) -> BTreeMap<String, JobResult> {
        let jobs = schedule.jobs.iter().map(|one| &one.job);
        jobs.map(|job| (job.key.clone(), result(job, JobVerdict::Passed)))
            .collect()
    }

    fn explain(schedule: &Schedule) -> String {
        let jobs = schedule.jobs.iter();
        let lines = jobs.map(|one| format!("{}: {}", one.job.id, one.decision));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_series_that_never_ran_runs_everything() {
        let first = schedule(&four(), &Earlier::default(), &BTreeMap::new());
        assert_eq!(first.to_run().len(), first.jobs.len());
        let never = Decision::Run(Reason::NeverRun);
        assert!(first.jobs.iter().all(|one| one.decision == never));
        assert_eq!(first.revision.jobs.len(), works().len());
    }

    #[test]
    fn what_passed_does_not_run_again() {
        let first = schedule(&four(), &Earlier::default(), &BTreeMap::new());
        let again = schedule(&four(), &after(&first, false), &passed(&first));
        assert!(again.to_run().is_empty());
        assert_eq!(
            again.jobs[0].decision.to_string(),
            "valid: passed for revision r"
        );
    }

    #[test]
    fn a_changed_line_is_the_reason() {
        let first = schedule(&four(), &Earlier::default(), &BTreeMap::new());
        let mut facts = four();
        facts.patches[2].patch_id.push('2');
        facts.patches[2].file.push('2');
        set_trees(&mut facts, "base");
        let second = schedule(&facts, &after(&first, false), &passed(&first));
        insta::assert_snapshot!(explain(&second));
    }

    #[test]
    fn other_reasons() {
        let first = schedule(&four(), &Earlier::default(), &BTreeMap::new());
        let mut facts = four();
        // `d` is new, `a` is gone, `c` has another entry, and the base moved.
        facts.patches.remove(0);
        facts.patches[0].needs.clear();
        facts.patches[1].entry.push('2');
        facts.patches[1].check.push('2');
        set_trees(&mut facts, "newer base");
        let mut before = first.revision.clone();
        before.patches.retain(|patch| patch.id != "d");
        for id in ["b/lint/d", "b/prove/d"] {
            before.inputs.remove(id);
        }
        let earlier = Earlier {
            name: "R1".into(),
            revision: Some(before),
            is_named: false,
        };
        let programs = FakePrograms([("kqueue".to_owned(), "2".to_owned())].into());
        let second = schedule_with(&facts, &programs, &earlier, &passed(&first));
        insta::assert_snapshot!(explain(&second));
    }

    #[test]
    fn reordered_patches_are_a_reason() {
        let first = schedule(&four(), &Earlier::default(), &BTreeMap::new());
        let mut facts = four();
        facts.patches.swap(2, 3);
        set_trees(&mut facts, "base");
        let second = schedule(&facts, &after(&first, false), &passed(&first));
        let runs: Vec<String> = second
            .jobs
            .iter()
            .filter(|one| matches!(one.decision, Decision::Run(_)))
            .map(|one| format!("{}: {}", one.job.id, one.decision))
            .collect();
        insta::assert_snapshot!(runs.join("\n"));
    }

    #[test]
    fn a_failure_runs_again_and_says_why() {
        let first = schedule(&four(), &Earlier::default(), &BTreeMap::new());
        let mut stored = passed(&first);
        for (id, verdict, why) in [
            ("b/lint/a", JobVerdict::Failed, "1 error"),
            ("b/prove/a", JobVerdict::HostError, "interrupted"),
        ] {
            let result = stored.get_mut(&first.revision.jobs[id]).unwrap();
            (result.verdict, result.why) = (verdict, why.into());
        }
        for is_named in [false, true] {
            let again = schedule(&four(), &after(&first, is_named), &stored);
            let reasons: Vec<String> = again
                .jobs
                .iter()
                .filter(|one| matches!(one.decision, Decision::Run(_)))
                .map(|one| format!("{}: {}", one.job.id, one.decision))
                .collect();
            let mut want = vec!["b/lint/a: run: failed last time: 1 error".to_owned()];
            // Nothing changed since the commit that the caller named.
            if !is_named {
                want.push("b/prove/a: run: the host failed last time: interrupted".into());
            }
            assert_eq!(reasons, want);
        }
    }

    #[test]
    fn what_is_unchanged_since_a_named_commit_does_not_run() {
        let first = schedule(&four(), &Earlier::default(), &BTreeMap::new());
        let mut facts = four();
        facts.patches[3].patch_id.push('2');
        set_trees(&mut facts, "base");
        let second = schedule(&facts, &after(&first, true), &BTreeMap::new());
        let runs: Vec<String> = second.to_run().into_iter().map(|job| job.id).collect();
        assert_eq!(
            runs,
            [
                "b/prefix/04",
                "b/prove/d",
                "b/suite/debug/declared/smoke",
                "b/suite/debug/declared/kqueue",
                "b/mutants/smoke",
                "b/bench/ixgbe"
            ]
        );
        let lint = &second.jobs[0].decision;
        assert_eq!(lint.to_string(), "unchanged since R1");
    }
}

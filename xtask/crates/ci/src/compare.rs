//! Compares the results of a revision with those of the previous revision and of
//! the base. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::{Job, Work};
use crate::result::{JobResult, JobVerdict};
use crate::revision::{PatchRef, Revision};

/// The version of the format of a report.
pub const SCHEMA: u32 = 1;

/// The results of a revision beside those that it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The revision that was tested.
    pub revision: Revision,
    /// The revision that it is compared with, if there is one.
    pub previous: Option<Revision>,
    /// The patches in apply order, then those that the previous revision had.
    pub patches: Vec<PatchRow>,
    /// The jobs, in the order of the matrix.
    pub jobs: Vec<JobRow>,
}

/// A patch and what its jobs came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRow {
    /// The patch; of a removed one, as it was.
    pub patch: PatchRef,
    /// How it differs from the previous revision.
    pub state: PatchState,
    /// The worst verdict of its jobs; none if one of them has no result, or if
    /// it has none.
    pub verdict: Option<JobVerdict>,
    /// The verdict of each kind of job.
    pub jobs: BTreeMap<String, JobVerdict>,
}

/// How a patch differs from the previous revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchState {
    /// There is no previous revision.
    First,
    /// It has the same patch id.
    Unchanged,
    /// It has another patch id.
    Changed,
    /// Only this revision has it.
    Added,
    /// Only the previous revision has it.
    Removed,
}

impl PatchState {
    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::First | Self::Unchanged => "",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// A job and its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// The job that ran.
    pub job: Job,
    /// Why it ran, or why it did not.
    pub reason: String,
    /// Whether the revision needs a result of it.
    pub is_needed: bool,
    /// The result; none if it did not end.
    pub now: Option<JobResult>,
    /// The result for the previous revision.
    pub before: Option<JobResult>,
    /// The result of the same suite on the base without the series.
    pub base: Option<JobResult>,
    /// How the result differs from that of the previous revision.
    pub change: Change,
}

/// How a result differs from that of the previous revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It has no result, or the host failed.
    NoResult,
    /// There was no result before.
    New,
    /// It passed before, and does now.
    StillPasses,
    /// It failed before, and does now.
    StillFails,
    /// It failed before, and passes now.
    Fixed,
    /// It passed before, and fails now.
    Broken,
}

impl Change {
    /// Returns the words in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoResult => "no result",
            Self::New => "new",
            Self::StillPasses => "",
            Self::StillFails => "still fails",
            Self::Fixed => "fixed",
            Self::Broken => "broken",
        }
    }
}

/// The results of one job, before they are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct JobResults {
    /// The job that ran.
    pub job: Job,
    /// Why it ran, or why it did not.
    pub reason: String,
    /// Whether the revision needs a result of it.
    pub is_needed: bool,
    /// The result for this revision.
    pub now: Option<JobResult>,
    /// The result for the previous revision.
    pub before: Option<JobResult>,
    /// The result of the same suite on the base without the series.
    pub base: Option<JobResult>,
}

/// The number of jobs by what they came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// The jobs that passed.
    pub passed: usize,
    /// The jobs whose tests could not run.
    pub skipped: usize,
    /// The jobs that failed.
    pub failed: usize,
    /// The jobs that the host failed in.
    pub host_errors: usize,
    /// The jobs without a result that need one.
    pub missing: usize,
    /// The jobs without a result that are unchanged since a commit of the
    /// caller's choice.
    pub left_out: usize,
}

/// Compares `results`, the jobs of `revision`, with those of `previous`.
pub fn compare(
    revision: &Revision,
    previous: Option<&Revision>,
    results: Vec<JobResults>,
) -> Comparison {
    let row = |one: JobResults| JobRow {
        change: change(one.now.as_ref(), one.before.as_ref()),
        job: one.job,
        reason: one.reason,
        is_needed: one.is_needed,
        now: one.now,
        before: one.before,
        base: one.base,
    };
    let jobs: Vec<JobRow> = results.into_iter().map(row).collect();
    Comparison {
        schema: SCHEMA,
        revision: without_inputs(revision),
        previous: previous.map(without_inputs),
        patches: patches(revision, previous, &jobs),
        jobs,
    }
}

/// Returns a revision without what its keys are made from, which a report does
/// not need.
fn without_inputs(revision: &Revision) -> Revision {
    Revision {
        inputs: BTreeMap::new(),
        ..revision.clone()
    }
}

fn change(now: Option<&JobResult>, before: Option<&JobResult>) -> Change {
    let passed = |result: Option<&JobResult>| {
        let result = result.filter(|result| result.is_final())?;
        Some(result.verdict == JobVerdict::Passed)
    };
    match (passed(now), passed(before)) {
        (None, _) => Change::NoResult,
        (Some(_), None) => Change::New,
        (Some(true), Some(true)) => Change::StillPasses,
        (Some(false), Some(false)) => Change::StillFails,
        (Some(true), Some(false)) => Change::Fixed,
        (Some(false), Some(true)) => Change::Broken,
    }
}

fn patches(revision: &Revision, previous: Option<&Revision>, jobs: &[JobRow]) -> Vec<PatchRow> {
    let mut rows: Vec<PatchRow> = Vec::new();
    for patch in &revision.patches {
        let state = match previous {
            None => PatchState::First,
            Some(previous) => match previous.patch(&patch.id) {
                None => PatchState::Added,
                Some(old) if old.patch_id == patch.patch_id => PatchState::Unchanged,
                Some(_) => PatchState::Changed,
            },
        };
        let own = || {
            let is_own = |row: &&JobRow| row.job.work.patch() == Some(patch.id.as_str());
            let counts = |row: &&JobRow| row.is_needed || row.now.is_some();
            jobs.iter().filter(is_own).filter(counts)
        };
        let verdicts: Option<Vec<JobVerdict>> =
            own().map(|row| Some(row.now.as_ref()?.verdict)).collect();
        let each = own()
            .filter_map(|row| Some((row.job.work.kind().to_owned(), row.now.as_ref()?.verdict)));
        rows.push(PatchRow {
            patch: patch.clone(),
            state,
            verdict: verdicts.and_then(worst),
            jobs: each.collect(),
        });
    }
    let gone = previous.into_iter().flat_map(|previous| &previous.patches);
    let gone = gone.filter(|patch| revision.patch(&patch.id).is_none());
    rows.extend(gone.map(|patch| PatchRow {
        patch: patch.clone(),
        state: PatchState::Removed,
        verdict: None,
        jobs: BTreeMap::new(),
    }));
    rows
}

/// Returns the worst verdict: a failure says more than one of the host.
fn worst(verdicts: Vec<JobVerdict>) -> Option<JobVerdict> {
    let rank = |verdict: &JobVerdict| match verdict {
        JobVerdict::Passed => 0,
        JobVerdict::HostError => 1,
        JobVerdict::Failed => 2,
    };
    verdicts.into_iter().max_by_key(rank)
}

impl Comparison {
    /// Returns the number of jobs by what they came to.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for row in &self.jobs {
            match row.now.as_ref().map(|result| result.verdict) {
                Some(_) if row.now.as_ref().is_some_and(JobResult::is_skipped) => {
                    totals.skipped += 1;
                }
                Some(JobVerdict::Passed) => totals.passed += 1,
                Some(JobVerdict::Failed) => totals.failed += 1,
                Some(JobVerdict::HostError) => totals.host_errors += 1,
                None if row.is_needed => totals.missing += 1,
                None => totals.left_out += 1,
            }
        }
        totals
    }
}

impl Work {
    /// Returns the work on the base without the series that this one is compared
    /// with.
    pub fn on_base(&self) -> Option<Self> {
        match self {
            Self::Suite {
                config,
                cpus,
                suite,
            } => Some(Self::Base {
                config: config.clone(),
                cpus: *cpus,
                suite: suite.clone(),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fixtures::{job, result, revision};
    use JobVerdict::{Failed, HostError, Passed};

    fn results(patch: &str, now: Option<JobVerdict>, before: Option<JobVerdict>) -> JobResults {
        let job = job(patch, &format!("key of {patch}"));
        JobResults {
            now: now.map(|verdict| result(&job, verdict)),
            before: before.map(|verdict| result(&job, verdict)),
            base: None,
            reason: "run: never run".into(),
            is_needed: true,
            job,
        }
    }

    #[test]
    fn how_a_result_differs() {
        let table = [
            (None, None, Change::NoResult),
            (Some(HostError), Some(Passed), Change::NoResult),
            (Some(Passed), None, Change::New),
            (Some(Failed), Some(HostError), Change::New),
            (Some(Passed), Some(Passed), Change::StillPasses),
            (Some(Failed), Some(Failed), Change::StillFails),
            (Some(Passed), Some(Failed), Change::Fixed),
            (Some(Failed), Some(Passed), Change::Broken),
        ];
        for (now, before, want) in table {
            let one = results("a", now, before);
            let got = change(one.now.as_ref(), one.before.as_ref());
            assert_eq!(got, want, "{now:?} {before:?}");
        }
    }

    #[test]
    fn patches_and_what_became_of_them() {
        let mut before = revision("b", &["a", "b", "d"]);
        before.patches[1].patch_id = "other".into();
        let now = revision("b", &["a", "b", "c"]);
        let all = vec![
            results("a", Some(Passed), Some(Passed)),
            results("b", Some(HostError), Some(Passed)),
            results("b", Some(Failed), Some(Passed)),
            results("c", None, None),
        ];
        let comparison = compare(&now, Some(&before), all);
        let rows: Vec<_> = comparison
            .patches
            .iter()
            .map(|row| (row.patch.id.as_str(), row.state, row.verdict))
            .collect();
        assert_eq!(
            rows,
            [
                ("a", PatchState::Unchanged, Some(Passed)),
                ("b", PatchState::Changed, Some(Failed)),
                ("c", PatchState::Added, None),
                ("d", PatchState::Removed, None),
            ]
        );
        let totals = Totals {
            passed: 1,
            failed: 1,
            host_errors: 1,
            missing: 1,
            ..Totals::default()
        };
        assert_eq!(comparison.totals(), totals);
        let mut others = comparison;
        others.jobs[3].is_needed = false;
        if let Some(now) = &mut others.jobs[0].now {
            now.counts = [("SKIP".to_owned(), 2)].into();
        }
        let totals = others.totals();
        assert_eq!((totals.passed, totals.skipped), (0, 1));
        assert_eq!((totals.missing, totals.left_out), (0, 1));
        let first = compare(&now, None, Vec::new());
        assert_eq!(first.patches[0].state, PatchState::First);
    }
}

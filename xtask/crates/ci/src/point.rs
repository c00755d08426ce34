//! Revisions with their results, as comments and the trend read them.

use std::collections::BTreeMap;

use crate::result::{JobResult, JobVerdict};
use crate::revision::{PatchRef, Revision};
use crate::store::CiStore;
use kdk_core::failure::Failure;

/// A revision with its results so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The revision that was tested.
    pub revision: Revision,
    /// The results, by the job's id. A job without a result has not ended.
    pub results: BTreeMap<String, JobResult>,
    /// The number of jobs that have no result and need none, because they are
    /// unchanged since a commit of the user's choice.
    pub left_out: usize,
}

/// How a job, or everything about a patch, ended. The worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The job has passed.
    Passed,
    /// None of its tests can run on this host or base.
    Skipped,
    /// There is no result yet.
    NotRun,
    /// The host failed, so nothing is known.
    HostError,
    /// The job has failed.
    Failed,
}

impl State {
    /// All states, the best one first.
    pub const ALL: [Self; 5] = [
        Self::Passed,
        Self::Skipped,
        Self::NotRun,
        Self::HostError,
        Self::Failed,
    ];

    /// Returns the words of a state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::NotRun => "not run",
            Self::HostError => "host error",
            Self::Failed => "failed",
        }
    }
}

impl From<JobVerdict> for State {
    fn from(verdict: JobVerdict) -> Self {
        match verdict {
            JobVerdict::Passed => Self::Passed,
            JobVerdict::Failed => Self::Failed,
            JobVerdict::HostError => Self::HostError,
        }
    }
}

impl Point {
    /// Returns all revisions in the store, the first planned one first.
    ///
    /// # Errors
    /// A file of the store cannot be read.
    pub fn all(store: &CiStore) -> Result<Vec<Self>, Failure> {
        let results = store.results();
        let read = |revision: Revision| -> Result<Self, Failure> {
            let mut found = BTreeMap::new();
            for (job, key) in &revision.jobs {
                if let Some(result) = results.get(key)? {
                    found.insert(job.clone(), result);
                }
            }
            let mut point = Self {
                revision,
                results: found,
                left_out: 0,
            };
            point.leave_out();
            Ok(point)
        };
        store.revisions()?.into_iter().map(read).collect()
    }

    /// Removes the jobs that the plan found unchanged since a commit of the
    /// user's choice: the revision needs no result of them.
    fn leave_out(&mut self) {
        for job in &self.revision.unchanged {
            if !self.results.contains_key(job) && self.revision.jobs.remove(job).is_some() {
                self.left_out += 1;
            }
        }
    }

    /// Returns how the job `id` ended.
    pub fn state(&self, id: &str) -> State {
        let result = self.results.get(id);
        match result {
            None => State::NotRun,
            Some(result) if result.is_skipped() => State::Skipped,
            Some(result) => result.verdict.into(),
        }
    }

    /// Returns how everything ended: as the worst job.
    pub fn worst(&self) -> State {
        let states = self.revision.jobs.keys().map(|id| self.state(id));
        states.max().unwrap_or(State::NotRun)
    }

    /// Returns the number of jobs in each state, the best state first.
    pub fn counts(&self) -> [(State, usize); 5] {
        State::ALL.map(|state| {
            let jobs = self.revision.jobs.keys();
            (state, jobs.filter(|id| self.state(id) == state).count())
        })
    }

    /// Returns the patch that the job `id` is about, if it is about one.
    pub fn patch_of(&self, id: &str) -> Option<&PatchRef> {
        match (kind(id), id.rsplit('/').next()?) {
            ("lint" | "prove", patch) => self.revision.patch(patch),
            ("prefix", count) => {
                let count: usize = count.parse().ok()?;
                self.revision.patches.get(count.checked_sub(1)?)
            }
            _ => None,
        }
    }

    /// Returns the jobs of the patch `id`.
    pub fn jobs_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let jobs = self.revision.jobs.keys().map(String::as_str);
        jobs.filter(move |job| self.patch_of(job).is_some_and(|patch| patch.id == id))
    }

    /// Returns how everything about the patch `id` ended.
    pub fn state_of(&self, id: &str) -> State {
        let states = self.jobs_of(id).map(|job| self.state(job));
        states.max().unwrap_or(State::NotRun)
    }
}

/// Returns the kind of the job `id`: `lint`, `prefix`, ..
pub fn kind(id: &str) -> &str {
    id.split('/').nth(1).unwrap_or_default()
}

/// Returns the job `id` without its base.
pub fn without_base(id: &str) -> &str {
    id.split_once('/').map_or(id, |(_, rest)| rest)
}

/// Returns the position of the revision that `wanted` names by the beginning of
/// its id or of its commit; without a name the last one.
///
/// # Errors
/// There is none, or several match.
pub fn find(points: &[Point], series: &str, wanted: Option<&str>) -> Result<usize, Failure> {
    let tried = format!("find the revision of {series}");
    let run = format!("run `cargo xtask ci run --base {series}` first");
    let Some(wanted) = wanted else {
        return points.len().checked_sub(1).ok_or_else(|| {
            Failure::usage(&tried, "CI has not run on any revision of it").help(run)
        });
    };
    let matches = |point: &Point| {
        let commit = point.revision.commit.as_deref().unwrap_or_default();
        point.revision.id.starts_with(wanted) || commit.starts_with(wanted)
    };
    let found: Vec<usize> = (0..points.len())
        .filter(|at| !wanted.is_empty() && matches(&points[*at]))
        .collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::usage(
            &tried,
            format!("{wanted:?} begins no id or commit of a revision with results"),
        )
        .help(known(points).unwrap_or(run))),
        [.., last] if points[*last].revision.commit.as_deref() == Some(wanted) => Ok(*last),
        many => Err(Failure::usage(
            &tried,
            format!(
                "{wanted:?} begins the ids or commits of {} revisions",
                many.len()
            ),
        )
        .help("write more of it")),
    }
}

/// Returns the newest revisions, for a help.
fn known(points: &[Point]) -> Option<String> {
    const SHOWN: usize = 5;
    let ids: Vec<&str> = points
        .iter()
        .rev()
        .take(SHOWN)
        .map(|point| point.revision.short())
        .collect();
    (!ids.is_empty()).then(|| format!("the newest revisions are {}", ids.join(", ")))
}

/// Returns the revision that `points[at]` is compared with: the one that it
/// names, else the one before it.
pub fn previous(points: &[Point], at: usize) -> Option<&Point> {
    let point = points.get(at)?;
    let named = point.revision.previous.as_deref();
    let named = named.filter(|id| *id != point.revision.id);
    named
        .and_then(|id| points.iter().find(|one| one.revision.id == id))
        .or_else(|| points.get(at.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::point;

    #[test]
    fn the_jobs_of_a_patch_make_its_state() {
        let mut one = point(&["a", "b"]);
        for (job, verdict) in [
            ("b/lint/a", Some(JobVerdict::Passed)),
            ("b/prefix/00", Some(JobVerdict::Failed)),
            ("b/prefix/01", Some(JobVerdict::HostError)),
            ("b/prefix/02", Some(JobVerdict::Passed)),
            ("b/prefix/03", Some(JobVerdict::Failed)),
            ("b/prove/b", None),
            ("b/suite/debug/1/a", Some(JobVerdict::Failed)),
        ] {
            crate::fixtures::add(&mut one, job, verdict);
        }
        assert_eq!(one.state_of("a"), State::HostError);
        assert_eq!(one.state_of("b"), State::NotRun);
        assert_eq!(one.state_of("c"), State::NotRun);
        assert_eq!(one.worst(), State::Failed);
        assert_eq!(one.counts().map(|(_, count)| count), [2, 0, 1, 1, 3]);
        let skipped = crate::fixtures::add(&mut one, "b/suite/debug/1/b", Some(JobVerdict::Passed));
        skipped.unwrap().counts = [("SKIP".to_owned(), 3)].into();
        assert_eq!(one.state("b/suite/debug/1/b"), State::Skipped);
        assert_eq!(
            one.jobs_of("b").collect::<Vec<_>>(),
            ["b/prefix/02", "b/prove/b"]
        );
        assert_eq!(without_base("b/suite/debug/1/a"), "suite/debug/1/a");
    }

    #[test]
    fn only_what_the_plan_left_out_needs_no_result() {
        let mut one = point(&["a"]);
        for (job, verdict) in [
            ("b/lint/a", Some(JobVerdict::Passed)),
            ("b/prefix/00", None),
            ("b/prefix/01", None),
        ] {
            crate::fixtures::add(&mut one, job, verdict);
        }
        // A run that was killed.
        one.leave_out();
        assert_eq!((one.worst(), one.left_out), (State::NotRun, 0));
        one.revision.unchanged = ["b/lint/a", "b/prefix/00"].map(str::to_owned).into();
        one.leave_out();
        assert_eq!((one.worst(), one.left_out), (State::NotRun, 1));
        one.revision.unchanged.insert("b/prefix/01".into());
        one.leave_out();
        assert_eq!((one.worst(), one.left_out), (State::Passed, 2));
    }

    #[test]
    fn a_revision_by_its_id_or_commit() {
        let with = |id: &str, commit: Option<&str>| {
            let mut one = point(&["a"]);
            one.revision.id = id.into();
            one.revision.commit = commit.map(str::to_owned);
            one
        };
        let points = [
            with("aa1", Some("c0ffee")),
            with("aa2", None),
            with("bb", Some("c0ffee")),
        ];
        for (wanted, want) in [
            (None, Ok(2)),
            (Some("aa1"), Ok(0)),
            (Some("b"), Ok(2)),
            // The same commit on another base tree: the newest counts.
            (Some("c0ffee"), Ok(2)),
            (Some("aa"), Err("begins the ids or commits of 2 revisions")),
            (Some("c0"), Err("begins the ids or commits of 2 revisions")),
            (Some("x"), Err("begins no id or commit of a revision")),
            (Some(""), Err("begins no id or commit of a revision")),
        ] {
            match (find(&points, "b", wanted), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{wanted:?}"),
                (Err(failure), Err(want)) => {
                    let line = failure.in_one_line();
                    assert!(line.contains(want), "{wanted:?}: {line}");
                }
                (got, want) => panic!("{wanted:?}: {got:?} is not {want:?}"),
            }
        }
        let none = find(&[], "b", None).unwrap_err().in_one_line();
        assert!(none.contains("CI has not run"), "{none}");
    }

    #[test]
    fn a_revision_is_compared_with_the_one_it_names() {
        let mut points = [point(&["a"]), point(&["b"]), point(&["c"])];
        assert_eq!(previous(&points, 0), None);
        assert_eq!(previous(&points, 2), Some(&points[1]));
        points[2].revision.previous = Some(points[0].revision.id.clone());
        assert_eq!(previous(&points, 2), Some(&points[0]));
        points[2].revision.previous = Some("removed".into());
        assert_eq!(previous(&points, 2), Some(&points[1]));
    }
}

//! What the log of a bisection says about each commit, and about the groups of
//! commits that build the same kernel.

use std::ops::Range;

use super::flaky::FailureRate;
use super::{Event, Problem, Purpose, Run};

/// The verdict on a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passed often enough.
    Good,
    /// It failed with the signature at least once.
    Bad,
    /// It could not be tested, or failed in another way.
    Skip,
}

/// The runs of one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs that passed.
    pub good: u32,
    /// Runs that failed with the signature.
    pub bad: u32,
    /// Runs that show neither.
    pub other: u32,
    /// Why the last of those shows neither, or how the tests failed.
    pub why: String,
    /// Runs that the failure rate is measured with.
    pub measured: FailureRate,
    /// Runs after the search that passed.
    pub confirmed_good: u32,
    /// Runs after the search that failed with the signature.
    pub confirmed_bad: u32,
    /// Runs after the search that show neither.
    pub confirmed_other: u32,
}

impl Tally {
    fn add(&mut self, run: &Run) {
        let counts = &run.counts;
        self.good += counts.good;
        self.bad += counts.bad;
        self.other += counts.other;
        if counts.other > 0 || self.other == 0 {
            self.why.clone_from(&counts.why);
        }
        match run.purpose {
            Purpose::Endpoint => {
                self.measured.failed += counts.bad;
                self.measured.runs += counts.runs();
            }
            Purpose::Search => {}
            Purpose::Confirm => {
                self.confirmed_good += counts.good;
                self.confirmed_bad += counts.bad;
                self.confirmed_other += counts.other;
            }
        }
    }

    /// Returns the verdict, if `passes` passes make a commit good.
    pub fn verdict(&self, passes: u32) -> Option<Verdict> {
        match self {
            Self { bad: 1.., .. } => Some(Verdict::Bad),
            Self { other: 1.., .. } => Some(Verdict::Skip),
            Self { good, .. } if *good >= passes => Some(Verdict::Good),
            _ => None,
        }
    }
}

/// Returns the runs of each commit.
pub fn tallies(problem: &Problem, events: &[Event]) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); problem.commits()];
    for event in events {
        if let Event::Run(run) = event
            && let Some(tally) = tallies.get_mut(run.point)
        {
            tally.add(run);
        }
    }
    tallies
}

/// Commits, in order, that build the same kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The positions of the commits.
    pub points: Range<usize>,
    /// The verdict of those that were tested.
    pub verdict: Option<Verdict>,
}

/// Returns the groups with their verdicts. A group whose commits do not all
/// have the same verdict was no group: its commits differ after all.
pub fn groups(problem: &Problem, tallies: &[Tally], passes: u32) -> Vec<Group> {
    let mut groups = Vec::new();
    for points in planned_groups(problem) {
        let verdicts = |points: Range<usize>| {
            let tested = tallies[points].iter();
            let mut found: Vec<Verdict> = Vec::new();
            for verdict in tested.filter_map(|tally| tally.verdict(passes)) {
                if !found.contains(&verdict) {
                    found.push(verdict);
                }
            }
            found
        };
        match verdicts(points.clone()).as_slice() {
            [] => groups.push(Group {
                points,
                verdict: None,
            }),
            [one] => groups.push(Group {
                points,
                verdict: Some(*one),
            }),
            _ => groups.extend(points.map(|at| Group {
                points: at..at + 1,
                verdict: verdicts(at..at + 1).first().copied(),
            })),
        }
    }
    groups
}

/// Returns the groups as planned before any test.
pub fn planned_groups(problem: &Problem) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, point) in problem.points.iter().enumerate() {
        match groups.last_mut() {
            Some(last) if point.same_kernel => last.end = at + 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

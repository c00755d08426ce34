//! Decides what a bisection tests next. Nothing here builds or runs anything:
//! the decision is a function of the commits and of the log, so a bisection can
//! continue after every prefix of its log.

pub mod flaky;
pub mod known;
mod points;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use kdk_core::event::Phase;
use serde::{Deserialize, Serialize};

use flaky::{FailureRate, MOST_PASSES, Rules, rounds};
use known::{Group, Tally, Verdict, groups, planned_groups, tallies};

/// The number of times that the passes of a good kernel are repeated before a
/// culprit that no longer fails is a contradiction.
const CONFIRMATIONS: u32 = 3;

/// The number of failures that measure how often the tests fail. Of fewer, one
/// or two by chance would make a rare failure look like a frequent one.
const ENOUGH_FAILURES: u32 = 5;

/// How often the runs on the bad endpoint are repeated, at most, until the tests
/// have failed often enough.
const MOST_REPEATED: u32 = 10;

/// A commit of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Whether its kernel and the tests are built of the same files as those of
    /// the commit before.
    pub same_kernel: bool,
    /// Whether the patches apply to it.
    pub testable: bool,
}

/// A range of commits. The first one is the good endpoint, and the last one the
/// bad endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The commits, the oldest one first.
    pub points: Vec<Point>,
    /// The number of kernels that are tested side by side.
    pub width: usize,
    /// How sure the answer has to be.
    pub rules: Rules,
}

impl Problem {
    /// Returns the number of commits, with both endpoints.
    pub fn commits(&self) -> usize {
        self.points.len()
    }

    /// Returns the number of kernels that can be the first bad one.
    pub fn suspects(&self) -> usize {
        planned_groups(self).len().saturating_sub(1)
    }

    /// Returns the number of rounds that a search without skips takes.
    pub fn rounds(&self) -> u32 {
        rounds(self.suspects(), self.width)
    }

    /// Returns the number of kernels that a search without skips tests.
    fn kernels(&self) -> u32 {
        let width = u32::try_from(self.width).unwrap_or(u32::MAX);
        self.rounds().saturating_mul(width).max(1)
    }

    fn bad(&self) -> usize {
        self.points.len().saturating_sub(1)
    }
}

/// Why a commit was tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The endpoints must be as the user says.
    Endpoint,
    /// The search for the culprit.
    Search,
    /// The answer is confirmed.
    Confirm,
}

/// What the runs of the tests on one kernel show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The number of runs that passed.
    pub good: u32,
    /// The number of runs that failed with the signature.
    pub bad: u32,
    /// The number of runs that show neither. A kernel that does not build or
    /// boot counts as one.
    pub other: u32,
    /// How the tests failed, or why a run shows neither. Failures with the
    /// signature come first.
    pub why: String,
    /// The tests that failed with the signature, as `NAME@CPUS`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failing: BTreeSet<String>,
    /// The number of the machine of the first failure with the signature, which
    /// its console has in its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<usize>,
}

impl Counts {
    /// Returns the number of runs.
    pub fn runs(&self) -> u32 {
        self.good + self.bad + self.other
    }

    /// Returns the counts of a kernel that was not tested, for this reason.
    pub fn untested(why: impl Into<String>) -> Self {
        Self {
            other: 1,
            why: why.into(),
            ..Self::default()
        }
    }
}

/// The runs of the tests on one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The position of the commit in the range.
    pub point: usize,
    /// Why it was tested.
    pub purpose: Purpose,
    /// What the runs show.
    #[serde(flatten)]
    pub counts: Counts,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub ms: u64,
    /// The folder of its logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// How long its phases took that had work to do, in milliseconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<Phase, u64>,
}

/// What the positions and verdicts of a log stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// A digest of the commits of the range, with their patches.
    pub range: String,
    /// A digest of the tests, and of how kernels are built and booted.
    pub tests: String,
}

/// An entry of a bisection's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first entry.
    Start(Start),
    /// The worst value of a metric on a good kernel.
    Limit {
        /// The limit of the metric.
        limit: f64,
    },
    /// A process began or continued the bisection.
    Session {
        /// The time, in milliseconds since 1970.
        at: u64,
    },
    /// A round of the search began.
    Round {
        /// The commits to test in it.
        points: Vec<usize>,
    },
    /// A kernel was tested.
    Run(Run),
    /// The host failed while a kernel was tested, which says nothing about it.
    HostFailure {
        /// The position of the commit.
        point: usize,
        /// What failed on the host.
        why: String,
    },
}

/// Runs to make on one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The position of the commit.
    pub point: usize,
    /// The number of runs.
    pub runs: u32,
}

/// Runs to make side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What they are for.
    pub purpose: Purpose,
    /// The runs, one entry for each commit.
    pub requests: Vec<Request>,
    /// Whether the log has the round already.
    pub begun: bool,
}

/// Why a bisection cannot have an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The range has no commit.
    Empty,
    /// The tests pass on the bad endpoint, in this number of runs.
    BadPasses(u32),
    /// The bad endpoint cannot be tested, or fails in another way.
    BadSkipped(String),
    /// The tests fail on the good endpoint with the signature.
    GoodFails(String),
    /// The good endpoint cannot be tested, or fails in another way.
    GoodSkipped(String),
    /// A patch conflicts with this endpoint.
    Untestable(usize),
    /// The commit failed in the search and then passed in this number of runs.
    CulpritPasses(usize, u32),
    /// The commit failed in the search and then neither failed so nor passed,
    /// for this reason.
    CulpritUnclear(usize, String),
}

/// The answer of a bisection.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The position of the last commit that passes.
    pub good: usize,
    /// The position of the first commit that fails.
    pub bad: usize,
    /// The positions of the commits that can be the culprit. It is one commit,
    /// unless the commits between cannot be tested.
    pub suspects: Vec<usize>,
    /// The failure rate on the bad endpoint.
    pub rate: FailureRate,
    /// The number of passes that made a kernel good.
    pub passes: u32,
    /// The probability that the answer is right.
    pub confidence: f64,
    /// The number of rounds of the search.
    pub rounds: usize,
    /// Whether a commit after the culprit passes.
    pub fluctuates: bool,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Tests are to be run.
    Test(Plan),
    /// The bisection ended.
    Found(Answer),
    /// The bisection has no answer.
    Refused(Refusal),
}

/// Returns what comes next after `events`.
pub fn decide(problem: &Problem, events: &[Event]) -> Decision {
    if problem.commits() < 2 {
        return Decision::Refused(Refusal::Empty);
    }
    let tallies = tallies(problem, events);
    let (rate, passes) = match endpoints(problem, &tallies) {
        Ok(found) => found,
        Err(decision) => return decision,
    };
    let groups = groups(problem, &tallies, passes);
    let is = |verdict| move |group: &Group| group.verdict == Some(verdict);
    // Both exist: the endpoints have their verdicts.
    let hi = groups.iter().position(is(Verdict::Bad)).unwrap_or(0);
    let lo = groups[..hi]
        .iter()
        .rposition(is(Verdict::Good))
        .unwrap_or(0);
    let state = Search {
        problem,
        tallies: &tallies,
        groups: &groups,
        passes,
        lo,
        hi,
    };
    if let Some(plan) = state.round(events) {
        return Decision::Test(plan);
    }
    let (good, bad) = match state.confirmed() {
        Ok(confirmed) => confirmed,
        Err(decision) => return decision,
    };
    let fluctuates = groups[hi..].iter().any(is(Verdict::Good));
    Decision::Found(Answer {
        good,
        bad,
        // All commits between the two, also those that count as the kernel of a
        // skipped one: that they do is a guess.
        suspects: (good + 1..=bad).collect(),
        rate,
        passes,
        confidence: rate.confidence(problem.kernels(), tallies[good].good),
        rounds: rounds_of(events),
        fluctuates,
    })
}

/// Returns the number of rounds of the search so far.
pub fn rounds_of(events: &[Event]) -> usize {
    let round = |event: &&Event| matches!(event, Event::Round { .. });
    events.iter().filter(round).count()
}

/// Returns the commits that the next round of the search tests, and those of the
/// round after it for each of its results: all of them bad, the first one good,
/// and so on. Where the endpoints are not tested yet, they are taken to be as the
/// user says.
pub fn next_rounds(problem: &Problem, events: &[Event]) -> Vec<Vec<usize>> {
    let mut events = events.to_vec();
    let run = |point, purpose, is_bad| {
        let runs = problem.rules.estimate_runs.max(ENOUGH_FAILURES);
        Event::Run(Run {
            point,
            purpose,
            counts: Counts {
                good: if is_bad { 0 } else { MOST_PASSES },
                bad: if is_bad { runs } else { 0 },
                ..Counts::default()
            },
            ms: 0,
            logs: None,
            phases: BTreeMap::new(),
        })
    };
    if passes(problem, &events).is_none() {
        events.push(run(problem.bad(), Purpose::Endpoint, true));
        events.push(run(0, Purpose::Endpoint, false));
    }
    let points = |events: &[Event]| match decide(problem, events) {
        Decision::Test(plan) if plan.purpose == Purpose::Search => {
            plan.requests.iter().map(|request| request.point).collect()
        }
        _ => Vec::new(),
    };
    let first: Vec<usize> = points(&events);
    let mut rounds = vec![first.clone()];
    for good in 0..=first.len() {
        let mut events = events.clone();
        events.push(Event::Round {
            points: first.clone(),
        });
        let results = first.iter().enumerate();
        events.extend(results.map(|(at, point)| run(*point, Purpose::Search, at >= good)));
        rounds.push(points(&events));
    }
    rounds
}

/// Returns the number of passes that make a kernel good; none before both
/// endpoints are as the user says.
pub fn passes(problem: &Problem, events: &[Event]) -> Option<u32> {
    let (_, passes) = endpoints(problem, &tallies(problem, events)).ok()?;
    Some(passes)
}

/// Returns the tests that failed with the signature on the bad endpoint. A
/// kernel on which one of them does not run is not good.
pub fn decisive(problem: &Problem, events: &[Event]) -> BTreeSet<String> {
    let of_bad = events.iter().filter_map(|event| match event {
        Event::Run(run) if run.point == problem.bad() && run.purpose == Purpose::Endpoint => {
            Some(&run.counts.failing)
        }
        _ => None,
    });
    of_bad.flatten().cloned().collect()
}

/// Returns the failure rate and the passes that make a kernel good, once both
/// endpoints are as the user says.
fn endpoints(problem: &Problem, tallies: &[Tally]) -> Result<(FailureRate, u32), Decision> {
    let test = |point, runs| {
        Err(Decision::Test(Plan {
            purpose: Purpose::Endpoint,
            requests: vec![Request { point, runs }],
            begun: true,
        }))
    };
    let wanted = problem.rules.estimate_runs.max(1);
    let end = problem.bad();
    if let Some(at) = [end, 0]
        .into_iter()
        .find(|at| !problem.points[*at].testable)
    {
        return Err(Decision::Refused(Refusal::Untestable(at)));
    }
    let bad = &tallies[end];
    match bad.verdict(wanted) {
        Some(Verdict::Bad) if bad.measured.runs >= wanted => {
            let FailureRate { failed, runs } = bad.measured;
            let missing = ENOUGH_FAILURES.saturating_sub(failed);
            if missing > 0 && runs < wanted.saturating_mul(MOST_REPEATED) {
                return test(end, wanted.max(missing));
            }
        }
        Some(Verdict::Good) => return Err(Decision::Refused(Refusal::BadPasses(bad.good))),
        Some(Verdict::Skip) if bad.measured.runs >= wanted || bad.good == 0 => {
            return Err(Decision::Refused(Refusal::BadSkipped(bad.why.clone())));
        }
        _ => return test(end, wanted - bad.measured.runs),
    }
    let rate = bad.measured;
    let passes = rate.passes_needed(problem.kernels(), problem.rules.risk);
    let good = &tallies[0];
    match good.verdict(passes) {
        Some(Verdict::Good) => Ok((rate, passes)),
        Some(Verdict::Bad) => Err(Decision::Refused(Refusal::GoodFails(good.why.clone()))),
        // It passed often enough before. A run that confirms it is repeated.
        Some(Verdict::Skip)
            if good.other == good.confirmed_other
                && good.confirmed_other < confirmations(passes)
                && good.good >= passes =>
        {
            Ok((rate, passes))
        }
        Some(Verdict::Skip) => Err(Decision::Refused(Refusal::GoodSkipped(good.why.clone()))),
        None => test(0, passes - good.good),
    }
}

/// Returns the number of runs that confirm an answer, at most, where `passes`
/// passes make a kernel good.
fn confirmations(passes: u32) -> u32 {
    passes.saturating_mul(CONFIRMATIONS)
}

/// The search between a good group and a bad one.
struct Search<'a> {
    problem: &'a Problem,
    tallies: &'a [Tally],
    groups: &'a [Group],
    passes: u32,
    /// The last good group before `hi`.
    lo: usize,
    /// The first bad group.
    hi: usize,
}

impl Search<'_> {
    /// Returns the next round; none if there is nothing left to test between
    /// the good group and the bad one.
    fn round(&self, events: &[Event]) -> Option<Plan> {
        let between = self.lo + 1..self.hi;
        let open: Vec<usize> = between
            .clone()
            .filter(|at| self.groups[*at].verdict.is_none() && self.representative(*at).is_some())
            .collect();
        if open.is_empty() {
            return None;
        }
        let begun: Vec<usize> = last_round(events)
            .iter()
            .filter_map(|point| open.iter().find(|at| self.contains(**at, *point)))
            .copied()
            .collect();
        let is_begun = !begun.is_empty();
        let chosen = match is_begun {
            true => begun,
            false => {
                let skipped: Vec<usize> = between
                    .filter(|at| self.groups[*at].verdict == Some(Verdict::Skip))
                    .collect();
                points::choose(self.lo, self.hi, &open, &skipped, self.problem.width.max(1))
            }
        };
        let request = |at: usize| {
            let point = self.representative(at)?;
            let runs = self.passes - self.tallies[point].good;
            Some(Request { point, runs })
        };
        Some(Plan {
            purpose: Purpose::Search,
            requests: chosen.into_iter().filter_map(request).collect(),
            begun: is_begun,
        })
    }

    fn contains(&self, group: usize, point: usize) -> bool {
        self.groups[group].points.contains(&point)
    }

    /// Returns the commit that is tested for the group: the first one that the
    /// patches apply to.
    fn representative(&self, group: usize) -> Option<usize> {
        let mut points = self.groups[group].points.clone();
        points.find(|point| self.problem.points[*point].testable)
    }

    /// Returns the last good commit and the first bad one, once fresh runs have
    /// confirmed both. The commits of a group count as one kernel up to here;
    /// these two are the very commits.
    fn confirmed(&self) -> Result<(usize, usize), Decision> {
        let is_open = |point: &usize| {
            self.problem.points[*point].testable
                && self.tallies[*point].verdict(self.passes) != Some(Verdict::Skip)
        };
        let mut last = self.groups[self.lo].points.clone().rev();
        let mut first = self.groups[self.hi].points.clone();
        // Each group has a verdict, so a commit of it was tested.
        let good = last
            .find(is_open)
            .unwrap_or(self.groups[self.lo].points.start);
        let bad = first
            .find(is_open)
            .unwrap_or(self.groups[self.hi].points.start);
        let (below, above) = (&self.tallies[good], &self.tallies[bad]);
        let most = confirmations(self.passes);
        let mut requests = Vec::new();
        if below.confirmed_good < self.passes {
            let runs = self.passes - below.confirmed_good;
            requests.push(Request { point: good, runs });
        }
        if above.confirmed_bad == 0 {
            if above.confirmed_good + above.confirmed_other >= most {
                return Err(Decision::Refused(match above.confirmed_other {
                    0 => Refusal::CulpritPasses(bad, above.confirmed_good),
                    _ => Refusal::CulpritUnclear(bad, above.why.clone()),
                }));
            }
            let runs = self.passes;
            requests.push(Request { point: bad, runs });
        }
        if requests.is_empty() {
            return Ok((good, bad));
        }
        Err(Decision::Test(Plan {
            purpose: Purpose::Confirm,
            requests,
            begun: true,
        }))
    }
}

/// Returns the commits of the last round.
fn last_round(events: &[Event]) -> &[usize] {
    let mut rounds = events.iter().rev().filter_map(|event| match event {
        Event::Round { points } => Some(points.as_slice()),
        _ => None,
    });
    rounds.next().unwrap_or_default()
}

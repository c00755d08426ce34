//! The changes from one run to the next.

use std::collections::BTreeMap;

use kdk_vm::verdict::{Outcome, Verdict, label};

use super::{by_test, median};
use crate::json::{Report, Run};
use kdk_core::terminal::seconds;

/// A test is much slower if it takes this many times as long ...
const SLOWER_RATIO: u64 = 2;

/// ... and this much longer, in milliseconds: a busy host doubles the time of a
/// short test.
const SLOWER_FLOOR_MS: u64 = 500;

/// The number of names that a line has.
const NAMED: usize = 5;

/// The changes from one run to the next. A test on another number of CPUs is
/// another test. Names are in alphabetical order, and have the number of CPUs
/// if it is not one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The tests that did not end as expected, but had before, or were skipped.
    pub newly_failing: Vec<String>,
    /// The tests that passed (or failed as expected), but had not before.
    pub now_passing: Vec<String>,
    /// The tests that were skipped, but not before.
    pub now_skipped: Vec<String>,
    /// The tests that did not exist before. Empty if the selection differs.
    pub new: Vec<String>,
    /// The tests that no longer exist. Empty if the selection differs.
    pub gone: Vec<String>,
    /// The tests that passed both times, but take at least twice as long now,
    /// and at least half a second longer. Empty if the machine or the number of
    /// guests differs.
    pub slower: Vec<Slower>,
}

/// A test that became much slower.
#[derive(Debug, PartialEq, Eq)]
pub struct Slower {
    /// The name of the test.
    pub name: String,
    /// The time it took before, in milliseconds.
    pub before_ms: u64,
    /// The time it takes now, in milliseconds.
    pub now_ms: u64,
}

impl Comparison {
    /// Returns the kinds of changes with the tests of each; empty if nothing
    /// changed.
    pub fn kinds(&self) -> Vec<(&'static str, Vec<String>)> {
        let slower = self.slower.iter().map(Slower::text).collect();
        let mut kinds = vec![
            ("newly failing", self.newly_failing.clone()),
            ("now passing", self.now_passing.clone()),
            ("now skipped", self.now_skipped.clone()),
            ("new", self.new.clone()),
            ("gone", self.gone.clone()),
            ("much slower", slower),
        ];
        kinds.retain(|(_, names)| !names.is_empty());
        kinds
    }

    /// Renders the changes as a few lines.
    pub fn lines(&self) -> Vec<String> {
        self.kinds()
            .into_iter()
            .map(|(what, names)| format!("{what}: {}", some_of(&names)))
            .collect()
    }
}

impl Slower {
    fn text(&self) -> String {
        let (now, before) = (seconds(self.now_ms), seconds(self.before_ms));
        format!("{} ({now}, was {before})", self.name)
    }
}

/// Returns the changes from the run `previous` to the run `now`.
pub fn compare(previous: &Report, now: &Report) -> Comparison {
    let (before, after) = (states(previous), states(now));
    let mut found = Comparison::default();
    for (name, state) in &after {
        let Some(old) = before.get(name) else {
            continue;
        };
        let name = label(name.0, name.1);
        match (old.kind, state.kind) {
            (Kind::Good | Kind::Skipped, Kind::Bad) => found.newly_failing.push(name),
            (Kind::Bad | Kind::Skipped, Kind::Good) => found.now_passing.push(name),
            (Kind::Good | Kind::Bad, Kind::Skipped) => found.now_skipped.push(name),
            (Kind::Good, Kind::Good) if much_slower(old.ms, state.ms) => {
                found.slower.push(Slower {
                    name,
                    before_ms: old.ms,
                    now_ms: state.ms,
                });
            }
            _ => {}
        }
    }
    if !same_conditions(&previous.run, &now.run) {
        found.slower.clear();
    }
    if previous.run.selects_like(&now.run) {
        found.new = only_in(&after, &before);
        found.gone = only_in(&before, &after);
    }
    found
}

/// The results of a run, by the test and the number of CPUs.
type States<'a> = BTreeMap<(&'a str, u32), State>;

/// The result of one test in a run, over all its repetitions.
#[derive(Debug, Clone, Copy)]
struct State {
    kind: Kind,
    ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The test passed, or failed as expected.
    Good,
    /// The test ended otherwise at least once.
    Bad,
    /// The test was skipped.
    Skipped,
    /// The test was never started.
    Unknown,
}

fn states(report: &Report) -> States<'_> {
    by_test(&report.tests)
        .into_iter()
        .map(|(name, outcomes)| (name, state(&outcomes)))
        .collect()
}

fn state(outcomes: &[&Outcome]) -> State {
    let kinds: Vec<Kind> = outcomes.iter().map(|one| kind(one.verdict)).collect();
    let kind = [Kind::Bad, Kind::Good, Kind::Skipped]
        .into_iter()
        .find(|kind| kinds.contains(kind))
        .unwrap_or(Kind::Unknown);
    State {
        kind,
        ms: median(outcomes.iter().map(|one| one.ms)).unwrap_or(0),
    }
}

fn kind(verdict: Verdict) -> Kind {
    match verdict {
        Verdict::Pass | Verdict::Xfail => Kind::Good,
        Verdict::Fail | Verdict::Xpass | Verdict::Timeout | Verdict::Crash => Kind::Bad,
        Verdict::Skip => Kind::Skipped,
        Verdict::NotRun => Kind::Unknown,
    }
}

fn much_slower(before_ms: u64, now_ms: u64) -> bool {
    now_ms >= before_ms.saturating_mul(SLOWER_RATIO)
        && now_ms.saturating_sub(before_ms) >= SLOWER_FLOOR_MS
}

/// Returns whether the times of two runs can be compared.
fn same_conditions(one: &Run, other: &Run) -> bool {
    (&one.accel, &one.boot, one.jobs) == (&other.accel, &other.boot, other.jobs)
}

fn only_in(these: &States<'_>, those: &States<'_>) -> Vec<String> {
    these
        .keys()
        .filter(|name| !those.contains_key(*name))
        .map(|(name, cpus)| label(name, *cpus))
        .collect()
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str);
    let shown = shown.collect::<Vec<&str>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{outcome, report};
    use Verdict::{Crash, Fail, NotRun, Pass, Skip, Timeout, Xfail, Xpass};

    /// Returns the lines about one test that had `before` and has `now`.
    fn change(before: &[(Verdict, u64)], now: &[(Verdict, u64)]) -> Vec<String> {
        let run = |all: &[(Verdict, u64)]| {
            report(all.iter().map(|(v, ms)| outcome("a/x", *v, *ms)).collect())
        };
        compare(&run(before), &run(now)).lines()
    }

    #[test]
    fn what_a_change_of_verdict_means() {
        for (before, now, want) in [
            (Pass, Pass, None),
            (Pass, Fail, Some("newly failing: a/x")),
            (Pass, Timeout, Some("newly failing: a/x")),
            (Pass, Crash, Some("newly failing: a/x")),
            (Xfail, Xpass, Some("newly failing: a/x")),
            (Skip, Fail, Some("newly failing: a/x")),
            (Fail, Crash, None),
            (Fail, Pass, Some("now passing: a/x")),
            (Xpass, Xfail, Some("now passing: a/x")),
            (Skip, Pass, Some("now passing: a/x")),
            (Pass, Skip, Some("now skipped: a/x")),
            (Fail, Skip, Some("now skipped: a/x")),
            (Skip, Skip, None),
            // An interrupted run has no result of the tests that it did not
            // reach.
            (Pass, NotRun, None),
            (Fail, NotRun, None),
            (NotRun, Fail, None),
            (NotRun, Pass, None),
        ] {
            let got = change(&[(before, 1)], &[(now, 1)]);
            assert_eq!(got.first().map(String::as_str), want, "{before} {now}");
            assert!(got.len() < 2, "{before} {now}");
        }
    }

    #[test]
    fn one_failure_among_several_runs_is_a_failure() {
        let flaky = [(Pass, 1), (Fail, 1), (Pass, 1)];
        assert_eq!(change(&[(Pass, 1)], &flaky), ["newly failing: a/x"]);
        assert_eq!(change(&flaky, &[(Pass, 1)]), ["now passing: a/x"]);
        let cut_off = [(Pass, 1), (NotRun, 0)];
        assert!(change(&[(Pass, 1)], &cut_off).is_empty());
    }

    #[test]
    fn much_slower_is_twice_as_long_and_half_a_second() {
        for (before, now, want) in [
            (0, 0, false),
            (0, 499, false),
            (0, 500, true),
            (10, 509, false),
            (10, 510, true),
            (500, 999, false),
            (500, 1000, true),
            (2000, 3999, false),
            (2000, 4000, true),
            (4000, 10, false),
            (u64::MAX, 5, false),
        ] {
            assert_eq!(much_slower(before, now), want, "{before} {now}");
        }
    }

    #[test]
    fn times_of_another_machine_and_of_failures_are_not_compared() {
        let run = |verdict, ms| report(vec![outcome("a/x", verdict, ms)]);
        let slow = ["much slower: a/x (2.000 s, was 0.100 s)"];
        assert_eq!(compare(&run(Pass, 100), &run(Pass, 2000)).lines(), slow);
        let mut other = run(Pass, 2000);
        other.run.accel = "kvm".into();
        assert!(compare(&run(Pass, 100), &other).lines().is_empty());
        let mut crowded = run(Pass, 2000);
        crowded.run.jobs = 2;
        assert!(compare(&run(Pass, 100), &crowded).lines().is_empty());
        assert!(
            compare(&run(Fail, 100), &run(Timeout, 2000))
                .lines()
                .is_empty()
        );
    }

    #[test]
    fn new_and_gone_tests_need_the_same_question() {
        let previous = report(vec![outcome("a/old", Pass, 1), outcome("a/x", Pass, 1)]);
        let mut now = report(vec![outcome("a/new", Fail, 1), outcome("a/x", Pass, 1)]);
        let lines = compare(&previous, &now).lines();
        assert_eq!(lines, ["new: a/new", "gone: a/old"]);
        now.run.selection = vec!["a/*".into()];
        assert!(compare(&previous, &now).lines().is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let run = |verdict| {
            let tests = (0..8).map(|at| outcome(&format!("a/{at}"), verdict, 1));
            report(tests.collect())
        };
        let lines = compare(&run(Pass), &run(Crash)).lines();
        assert_eq!(lines, ["newly failing: a/0, a/1, a/2, a/3, a/4 and 3 more"]);
    }
}

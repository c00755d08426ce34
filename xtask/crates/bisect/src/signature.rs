//! What counts as the failure that is searched for: the verdict on each run of
//! the tests. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kdk_core::failure::{Class, Failure};
use kdk_vm::verdict::{Outcome, Verdict};
use regex::Regex;

use crate::decide::Counts;

/// The longest reason that is kept, in characters.
const LONGEST: usize = 300;

/// What makes a kernel bad.
#[derive(Debug, Clone)]
pub enum Signature {
    /// Any of the tests fails, crashes or does not end.
    AnyFailure,
    /// Any of them fails with a text that matches.
    Matches(Regex),
    /// A number that the tests report is worse than its limit.
    Worse(Metric),
}

/// A number that tests report as `NAME=VALUE`, and its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The name of the number.
    pub name: String,
    /// The worst value of a good kernel.
    pub limit: f64,
    /// Whether a smaller number is worse.
    pub is_lower_worse: bool,
}

/// What one run of the tests shows.
enum Shown<'a> {
    /// The tests passed.
    Good,
    /// These failed with the signature, the first one in this way.
    Bad(Vec<&'a Outcome>, String),
    /// Neither, for this reason.
    Neither(String),
}

/// Returns what runs show together.
fn sum<'a>(runs: impl IntoIterator<Item = Shown<'a>>) -> Counts {
    let mut counts = Counts::default();
    let mut neither = None;
    for run in runs {
        match run {
            Shown::Good => counts.good += 1,
            Shown::Bad(failing, why) => {
                counts.bad += 1;
                if counts.why.is_empty() {
                    counts.why = why;
                    counts.machine = failing.first().and_then(|one| one.machine);
                }
                counts.failing.extend(failing.into_iter().map(key));
            }
            Shown::Neither(why) => {
                counts.other += 1;
                neither.get_or_insert(why);
            }
        }
    }
    if let (true, Some(why)) = (counts.why.is_empty(), neither) {
        counts.why = why;
    }
    counts
}

/// Returns the name of a test together with the number of CPUs that it ran on.
fn key(outcome: &Outcome) -> String {
    format!("{}@{}", outcome.name, outcome.cpus)
}

impl Signature {
    /// Returns the signature of a pattern that the user wrote; none for any
    /// failure.
    ///
    /// # Errors
    /// The pattern is not a regular expression.
    pub fn new(pattern: Option<&str>) -> Result<Self, Failure> {
        let Some(pattern) = pattern else {
            return Ok(Self::AnyFailure);
        };
        Regex::new(pattern).map(Self::Matches).map_err(|error| {
            Failure::usage(format!("use --signature {pattern:?}"), error.to_string())
                .help("it is a regular expression: write `panic: foo\\(bar\\)` for the text `panic: foo(bar)`")
        })
    }

    /// Returns what the outcomes of tests show that ran several times on one
    /// kernel. The first outcome of each test is one run, the second ones are
    /// the next. A run passes only if each of the tests `decisive` does, which
    /// fail on the bad endpoint.
    pub fn count(&self, outcomes: &[Outcome], decisive: &BTreeSet<String>) -> Counts {
        let mut rounds: Vec<Vec<&Outcome>> = Vec::new();
        let mut seen: BTreeMap<(&str, u32), usize> = BTreeMap::new();
        for outcome in outcomes {
            let round = seen.entry((&outcome.name, outcome.cpus)).or_default();
            if rounds.len() == *round {
                rounds.push(Vec::new());
            }
            rounds[*round].push(outcome);
            *round += 1;
        }
        match rounds.is_empty() {
            true => Counts::untested("no test ran"),
            false => sum(rounds.iter().map(|round| self.evaluate(round, decisive))),
        }
    }

    /// Returns what one run of the tests shows.
    fn evaluate<'a>(&self, outcomes: &[&'a Outcome], decisive: &BTreeSet<String>) -> Shown<'a> {
        if let Self::Worse(metric) = self {
            return metric.evaluate(outcomes, decisive);
        }
        let failed = || outcomes.iter().copied().filter(|one| fails(one.verdict));
        let matching: Vec<&Outcome> = failed().filter(|one| self.matches(&text(one))).collect();
        if let Some(first) = matching.first() {
            let why = describe(first);
            return Shown::Bad(matching, why);
        }
        if let Some(outcome) = failed().next() {
            return Shown::Neither(format!("another failure: {}", describe(outcome)));
        }
        let passes = |one: &Outcome| matches!(one.verdict, Verdict::Pass | Verdict::Xpass);
        if !outcomes.iter().any(|one| passes(one)) {
            return Shown::Neither(absent(outcomes));
        }
        missing(outcomes, decisive, passes).map_or(Shown::Good, Shown::Neither)
    }

    /// Returns what a kernel shows whose tests did not run because of
    /// `failure`; none if the host or the user is at fault. `console` is what the
    /// kernel printed.
    pub fn of_failure(&self, failure: &Failure, console: &str) -> Option<Counts> {
        let all = failure.in_one_line();
        let why = shorten(&all);
        match failure.class() {
            Class::Build => Some(Counts::untested(match failure.advice() {
                // It names the log.
                Some(advice) if !advice.contains('\n') => format!("no build: {why}; {advice}"),
                _ => format!("no build: {why}"),
            })),
            Class::Boot => {
                let all = format!("{all}\n{}\n{console}", failure.advice().unwrap_or_default());
                let is_signature = matches!(self, Self::Matches(_)) && self.matches(&all);
                Some(match is_signature {
                    true => Counts {
                        bad: 1,
                        why,
                        ..Counts::default()
                    },
                    false => Counts::untested(format!("no boot: {why}")),
                })
            }
            Class::Tests | Class::Usage | Class::Infra => None,
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::AnyFailure => true,
            Self::Matches(pattern) => pattern.is_match(text),
            Self::Worse(_) => false,
        }
    }
}

impl Metric {
    /// Returns the limit for values that are up to `percent` percent larger than
    /// those of the good kernel, whose median counts; with a negative number, up
    /// to so many percent smaller. Returns none if it reported no value, or if the
    /// median is 0, of which there is no percentage.
    pub fn worse_than(name: &str, good: &[Outcome], percent: f64) -> Option<Self> {
        let mut values: Vec<f64> = good
            .iter()
            .filter_map(|one| value(&one.detail, name))
            .collect();
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        (median != 0.0).then(|| Self {
            name: name.to_owned(),
            // A negative median has a limit on the same side.
            limit: median + median.abs() * percent / 100.0,
            is_lower_worse: percent < 0.0,
        })
    }

    fn evaluate<'a>(&self, outcomes: &[&'a Outcome], decisive: &BTreeSet<String>) -> Shown<'a> {
        let Self { name, limit, .. } = self;
        let reported = |one: &Outcome| value(&one.detail, name);
        let values: Vec<(&Outcome, f64)> = outcomes
            .iter()
            .filter_map(|one| Some((*one, reported(one)?)))
            .collect();
        if values.is_empty() {
            return Shown::Neither(format!("no test reported {name}"));
        }
        let is_worse = |value: f64| value != *limit && (value < *limit) == self.is_lower_worse;
        let mut worse: Vec<_> = values
            .iter()
            .filter(|(_, value)| is_worse(*value))
            .collect();
        // The worst one first.
        worse.sort_by(|a, b| match self.is_lower_worse {
            true => a.1.total_cmp(&b.1),
            false => b.1.total_cmp(&a.1),
        });
        let word = if self.is_lower_worse { "less" } else { "more" };
        match worse.first() {
            Some((_, value)) => Shown::Bad(
                worse.iter().map(|(outcome, _)| *outcome).collect(),
                format!("{name}={value}, {word} than {limit}"),
            ),
            None => missing(outcomes, decisive, |one| reported(one).is_some())
                .map_or(Shown::Good, Shown::Neither),
        }
    }
}

/// Returns why a run does not show that a kernel is good: one of the tests
/// `decisive` has no outcome of which `counts` is true.
fn missing(
    outcomes: &[&Outcome],
    decisive: &BTreeSet<String>,
    counts: impl Fn(&Outcome) -> bool,
) -> Option<String> {
    let shown: BTreeSet<String> = outcomes
        .iter()
        .filter(|one| counts(one))
        .map(|one| key(one))
        .collect();
    let missing = decisive.iter().find(|test| !shown.contains(*test))?;
    let outcome = outcomes.iter().find(|one| key(one) == *missing);
    let how = outcome.map_or_else(|| format!("{missing} did not run"), |one| describe(one));
    Some(format!(
        "a test that fails on the bad commit does not pass: {how}"
    ))
}

/// Returns whether `failure` is a build whose compiler the system ended, as it
/// does when memory is short: that says nothing about the kernel.
pub fn is_killed(failure: &Failure) -> bool {
    let text = failure.in_one_line();
    failure.class() == Class::Build
        && ["unable to execute command: Killed", "signal: 9, SIGKILL"]
            .iter()
            .any(|sign| text.contains(sign))
}

/// Returns whether `failure` says that no test of the guest has a name that the
/// user asks for. It may be an error that another process has written down.
pub fn is_no_such_test(failure: &Failure) -> bool {
    failure.class() == Class::Usage && failure.in_one_line().starts_with("no test matches ")
}

/// Returns the value of `NAME=VALUE` in a text.
fn value(text: &str, name: &str) -> Option<f64> {
    let mut words = text
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    let value: f64 = words.find(|(key, _)| *key == name)?.1.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Returns whether a test fails on this kernel. An expected failure is one, too:
/// what is expected of a base says nothing about the commits before it.
fn fails(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Fail | Verdict::Xfail | Verdict::Timeout | Verdict::Crash
    )
}

/// Returns all that a failure says, for the signature.
fn text(outcome: &Outcome) -> String {
    let lines = outcome.console.iter().chain(&outcome.backtrace);
    let lines: Vec<&str> = lines.map(String::as_str).collect();
    format!(
        "{}\n{}\n{}",
        outcome.verdict.word(),
        outcome.detail,
        lines.join("\n")
    )
}

/// Describes a failure in one line.
fn describe(outcome: &Outcome) -> String {
    let detail = outcome.detail.lines().next().unwrap_or_default();
    let Outcome { name, verdict, .. } = outcome;
    shorten(format!("{name} {verdict} {detail}").trim())
}

/// Returns why no test passed or failed.
fn absent(outcomes: &[&Outcome]) -> String {
    let skipped = outcomes.iter().find(|one| one.verdict == Verdict::Skip);
    match skipped {
        Some(outcome) => format!("skipped: {}", describe(outcome)),
        None => "no test ran".into(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kdk_core::failure::SavedFailure;
    use kdk_report::fixtures;
    use kdk_vm::error::RunError;
    use kdk_vm::select::SelectError;
    use proptest::prelude::*;

    use super::*;

    fn outcome(name: &str, verdict: Verdict, detail: &str) -> Outcome {
        Outcome {
            detail: detail.into(),
            ..fixtures::outcome(name, verdict, 1)
        }
    }

    fn counts(good: u32, bad: u32, other: u32, why: &str) -> Counts {
        Counts {
            good,
            bad,
            other,
            why: why.into(),
            ..Counts::default()
        }
    }

    /// Returns the counts without the tests that failed, where none decides.
    fn count(signature: &Signature, outcomes: &[Outcome]) -> Counts {
        let counts = signature.count(outcomes, &BTreeSet::new());
        assert_eq!(counts.failing.is_empty(), counts.bad == 0, "{counts:?}");
        Counts {
            failing: BTreeSet::new(),
            machine: None,
            ..counts
        }
    }

    #[test]
    fn runs_of_one_test() {
        use Verdict::{Crash, Fail, NotRun, Pass, Skip, Timeout, Xfail, Xpass};
        let any = Signature::new(None).unwrap();
        let panic = Signature::new(Some("panic: lock .* not exclusively")).unwrap();
        let lock = "panic: lock inp not exclusively locked";
        for (verdict, detail, of_any, of_panic) in [
            (Pass, "", counts(1, 0, 0, ""), counts(1, 0, 0, "")),
            (Xpass, "", counts(1, 0, 0, ""), counts(1, 0, 0, "")),
            (
                Crash,
                lock,
                counts(0, 1, 0, "a/x CRASH panic: lock inp not exclusively locked"),
                counts(0, 1, 0, "a/x CRASH panic: lock inp not exclusively locked"),
            ),
            (
                Crash,
                "panic: page fault",
                counts(0, 1, 0, "a/x CRASH panic: page fault"),
                counts(0, 0, 1, "another failure: a/x CRASH panic: page fault"),
            ),
            (
                Fail,
                "got 3",
                counts(0, 1, 0, "a/x FAIL got 3"),
                counts(0, 0, 1, "another failure: a/x FAIL got 3"),
            ),
            (
                Xfail,
                "known",
                counts(0, 1, 0, "a/x XFAIL known"),
                counts(0, 0, 1, "another failure: a/x XFAIL known"),
            ),
            (
                Timeout,
                "",
                counts(0, 1, 0, "a/x TIMEOUT"),
                counts(0, 0, 1, "another failure: a/x TIMEOUT"),
            ),
            (
                Skip,
                "no such sysctl",
                counts(0, 0, 1, "skipped: a/x SKIP no such sysctl"),
                counts(0, 0, 1, "skipped: a/x SKIP no such sysctl"),
            ),
            (
                NotRun,
                "",
                counts(0, 0, 1, "no test ran"),
                counts(0, 0, 1, "no test ran"),
            ),
        ] {
            let outcomes = [outcome("a/x", verdict, detail)];
            assert_eq!(count(&any, &outcomes), of_any, "{verdict} {detail}");
            assert_eq!(count(&panic, &outcomes), of_panic, "{verdict} {detail}");
        }
        assert_eq!(count(&any, &[]), counts(0, 0, 1, "no test ran"));
    }

    #[test]
    fn each_round_of_all_tests_is_one_run() {
        use Verdict::{Fail, Pass, Skip};
        let any = Signature::AnyFailure;
        let outcomes = [
            outcome("a/x", Pass, ""),
            outcome("a/y", Skip, ""),
            outcome("a/x", Fail, "1"),
            outcome("a/y", Pass, ""),
            outcome("a/x", Pass, ""),
            outcome("a/y", Fail, "2"),
            outcome("a/x", Skip, "3"),
            outcome("a/y", Skip, ""),
        ];
        assert_eq!(count(&any, &outcomes), counts(1, 2, 1, "a/x FAIL 1"));
        // On two numbers of CPUs, it is two tests.
        let mut twice = [outcome("a/x", Pass, ""), outcome("a/x", Fail, "smp")];
        twice[1].cpus = 4;
        assert_eq!(count(&any, &twice), counts(0, 1, 0, "a/x FAIL smp"));
    }

    #[test]
    fn the_signature_may_be_in_the_console() {
        let mut crash = outcome("a/x", Verdict::Crash, "the kernel died");
        crash.console = vec!["panic: Bad link elm 0xfffff80003".into()];
        let pattern = Signature::new(Some("Bad link elm")).unwrap();
        assert_eq!(count(&pattern, &[crash]).bad, 1);
        assert!(Signature::new(Some("a(")).is_err());
    }

    #[test]
    fn a_kernel_without_tests() {
        let any = Signature::AnyFailure;
        let panic = Signature::new(Some("panic: no init")).unwrap();
        let build = Failure::build("build the kernel", "error: panic: no init");
        let boot = Failure::new(Class::Boot, "boot", "it died").help("| panic: no init");
        let other = "no boot: could not boot: it died";
        assert_eq!(any.of_failure(&boot, ""), Some(counts(0, 0, 1, other)));
        let bad = Some(counts(0, 1, 0, "could not boot: it died"));
        assert_eq!(panic.of_failure(&boot, ""), bad);
        assert_eq!(panic.of_failure(&build, "").map(|one| one.other), Some(1));
        let logged = build.help("the full log: /x/kernel.log");
        let why = any.of_failure(&logged, "").map(|one| one.why);
        assert!(why.unwrap().ends_with("; the full log: /x/kernel.log"));
        assert_eq!(any.of_failure(&Failure::infra("a", "b"), ""), None);
        assert_eq!(any.of_failure(&Failure::usage("a", "b"), ""), None);
        // The text may be far from the end of the console or of the reason.
        let late = Failure::new(Class::Boot, "boot", "it died");
        let console = format!("panic: no init\n{}", "more\n".repeat(100));
        assert_eq!(panic.of_failure(&late, &console), bad);
        let long = format!("{}panic: no init", "x".repeat(2 * LONGEST));
        let long = Failure::new(Class::Boot, "boot", long);
        assert_eq!(panic.of_failure(&long, "").map(|one| one.bad), Some(1));
    }

    #[test]
    fn a_test_that_decides_must_pass_on_a_good_kernel() {
        use Verdict::{Fail, NotRun, Pass, Skip};
        let any = Signature::AnyFailure;
        let both = [outcome("a/x", Fail, "1"), outcome("a/y", Pass, "")];
        let decisive = any.count(&both, &BTreeSet::new()).failing;
        assert_eq!(decisive, BTreeSet::from(["a/x@1".to_owned()]));
        for (verdict, want) in [
            (Some(Pass), counts(1, 0, 0, "")),
            (
                Some(Skip),
                counts(
                    0,
                    0,
                    1,
                    "a test that fails on the bad commit does not pass: a/x SKIP",
                ),
            ),
            (
                Some(NotRun),
                counts(
                    0,
                    0,
                    1,
                    "a test that fails on the bad commit does not pass: a/x NOT_RUN",
                ),
            ),
            (
                None,
                counts(
                    0,
                    0,
                    1,
                    "a test that fails on the bad commit does not pass: a/x@1 did not run",
                ),
            ),
        ] {
            let mut outcomes = vec![outcome("a/y", Pass, "")];
            outcomes.extend(verdict.map(|verdict| outcome("a/x", verdict, "")));
            assert_eq!(any.count(&outcomes, &decisive), want, "{verdict:?}");
        }
        // The same holds for a test that reports a number.
        let sample = |name, ns: u32| outcome(name, Pass, &format!("ns={ns}"));
        let good = [sample("b/x", 100), sample("b/y", 100)];
        let worse = Signature::Worse(Metric::worse_than("ns", &good, 10.0).unwrap());
        let bad = [sample("b/x", 200), sample("b/y", 100)];
        let decisive = worse.count(&bad, &BTreeSet::new()).failing;
        assert_eq!(worse.count(&good, &decisive).good, 1);
        let silent = [outcome("b/x", Skip, ""), sample("b/y", 100)];
        assert_eq!(worse.count(&silent, &decisive).other, 1);
    }

    #[test]
    fn only_a_test_that_does_not_exist_is_one() {
        let none = SelectError::NoMatch {
            pattern: "a/*".into(),
            of: 3,
            hint: "b".into(),
        };
        let failure = Failure::from(RunError::from(none));
        assert!(is_no_such_test(&failure), "{failure}");
        // It comes from another process, too.
        assert!(is_no_such_test(&SavedFailure::from(&failure).into()));
        let other = Failure::usage("use the program as a test", "it is gone");
        assert!(!is_no_such_test(&other));
    }

    #[test]
    fn a_compiler_that_was_killed_is_no_verdict() {
        for (text, want) in [
            ("clang: error: unable to execute command: Killed", true),
            (
                "error: could not compile `kdk` (signal: 9, SIGKILL: kill)",
                true,
            ),
            ("a.c:3:1: error: unknown type name 'Killed'", false),
        ] {
            let failure = Failure::build("build the kernel", text);
            assert_eq!(is_killed(&failure), want, "{text}");
        }
        assert!(!is_killed(&Failure::usage("a", "signal: 9, SIGKILL")));
    }

    fn verdicts() -> impl Strategy<Value = Verdict> {
        proptest::sample::select(Verdict::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn a_good_run_has_a_pass_of_each_test_that_decides(
            bad in proptest::collection::vec(verdicts(), 3),
            now in proptest::collection::vec(verdicts(), 3),
        ) {
            let round = |verdicts: &[Verdict]| -> Vec<Outcome> {
                let names = ["a/x", "a/y", "a/z"].iter().zip(verdicts);
                names.map(|(name, verdict)| outcome(name, *verdict, "")).collect()
            };
            let any = Signature::AnyFailure;
            let decisive = any.count(&round(&bad), &BTreeSet::new()).failing;
            let counts = any.count(&round(&now), &decisive);
            for (bad, now) in bad.iter().zip(&now) {
                let passes = matches!(now, Verdict::Pass | Verdict::Xpass);
                prop_assert!(counts.good == 0 || passes || !fails(*bad), "{:?}", counts);
            }
        }
    }

    #[test]
    fn a_metric_is_compared_with_the_good_kernel() {
        let sample = |ns: u32| outcome("bench/x", Verdict::Pass, &format!("sample: ns={ns} n=3"));
        let good = [sample(100), sample(90), sample(104)];
        let metric = Metric::worse_than("ns", &good, 10.0).unwrap();
        assert!((metric.limit - 110.0).abs() < 1e-9);
        assert_eq!(Metric::worse_than("ms", &good, 10.0), None);
        let worse = Signature::Worse(metric);
        assert_eq!(count(&worse, &[sample(109), sample(111)]).bad, 1);
        let none = count(&worse, &[outcome("bench/x", Verdict::Pass, "")]);
        assert_eq!(none, counts(0, 0, 1, "no test reported ns"));
        let lower = Metric::worse_than("ns", &good, -10.0).unwrap();
        let lower = Signature::Worse(lower);
        let seen = count(&lower, &[sample(91), sample(89), sample(300)]);
        assert_eq!(seen, counts(2, 1, 0, "ns=89, less than 90"));
    }

    #[test]
    fn numbers_that_have_no_percentage_or_are_none() {
        let sample = |value: &str| outcome("bench/x", Verdict::Pass, &format!("n={value}"));
        for text in ["nan", "inf", "-inf", "x"] {
            assert_eq!(
                Metric::worse_than("n", &[sample(text)], 10.0),
                None,
                "{text}"
            );
        }
        assert_eq!(Metric::worse_than("n", &[sample("0")], 10.0), None);
        // Larger is worse below 0, too.
        let metric = Metric::worse_than("n", &[sample("-100")], 10.0).unwrap();
        assert!((metric.limit + 90.0).abs() < 1e-9, "{metric:?}");
        let worse = Signature::Worse(metric);
        assert_eq!(count(&worse, &[sample("-100"), sample("-80")]).bad, 1);
        assert_eq!(count(&worse, &[sample("nan")]).other, 1);
    }

    #[test]
    fn a_long_reason_is_cut() {
        let long = "\u{fc}".repeat(LONGEST + 1);
        assert_eq!(shorten(&long).chars().count(), LONGEST + 3);
    }
}

//! What counts as the failure that is searched for: the verdict on each run of
//! the tests. Pure.

use std::collections::BTreeMap;

use kdk_core::failure::{Class, Failure};
use kdk_vm::verdict::{Outcome, Verdict};
use regex::Regex;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The tests passed.
    Good,
    /// They failed with the signature, in this way.
    Bad(String),
    /// Neither, for this reason.
    Neither(String),
}

/// What the runs of the tests on one kernel show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs that passed.
    pub good: u32,
    /// Runs that failed with the signature.
    pub bad: u32,
    /// Runs that show neither.
    pub other: u32,
    /// How the tests failed, or why a run shows neither. Failures with the
    /// signature come first.
    pub why: String,
}

impl Counts {
    /// Returns the counts of a kernel that was not tested, for this reason.
    pub fn untested(why: impl Into<String>) -> Self {
        Self::of([Shown::Neither(why.into())])
    }

    fn of(runs: impl IntoIterator<Item = Shown>) -> Self {
        let mut counts = Self::default();
        let mut neither = None;
        for run in runs {
            match run {
                Shown::Good => counts.good += 1,
                Shown::Bad(why) => {
                    counts.bad += 1;
                    if counts.why.is_empty() {
                        counts.why = why;
                    }
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
    /// the next.
    pub fn count(&self, outcomes: &[Outcome]) -> Counts {
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
            false => Counts::of(rounds.iter().map(|round| self.judge(round))),
        }
    }

    /// Returns what one run of the tests shows.
    fn judge(&self, outcomes: &[&Outcome]) -> Shown {
        if let Self::Worse(metric) = self {
            return metric.judge(outcomes);
        }
        let failed = || outcomes.iter().filter(|outcome| fails(outcome.verdict));
        if let Some(outcome) = failed().find(|outcome| self.matches(&text(outcome))) {
            return Shown::Bad(describe(outcome));
        }
        if let Some(outcome) = failed().next() {
            return Shown::Neither(format!("another failure: {}", describe(outcome)));
        }
        let passes =
            |outcome: &&&Outcome| matches!(outcome.verdict, Verdict::Pass | Verdict::Xpass);
        match outcomes.iter().find(passes) {
            Some(_) => Shown::Good,
            None => Shown::Neither(absent(outcomes)),
        }
    }

    /// Returns what a kernel shows whose tests did not run because of
    /// `failure`; none if the host or the user is at fault.
    pub fn of_failure(&self, failure: &Failure) -> Option<Counts> {
        let why = shorten(&failure.in_one_line());
        match failure.class() {
            Class::Build => Some(Counts::untested(format!("no build: {why}"))),
            Class::Boot => {
                let all = format!("{why}\n{}", failure.advice().unwrap_or_default());
                let is_signature = matches!(self, Self::Matches(_)) && self.matches(&all);
                let shown = match is_signature {
                    true => Shown::Bad(why),
                    false => Shown::Neither(format!("no boot: {why}")),
                };
                Some(Counts::of([shown]))
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
    /// to so many percent smaller. Returns none if it reported no value.
    pub fn worse_than(name: &str, good: &[Outcome], percent: f64) -> Option<Self> {
        let mut values: Vec<f64> = good
            .iter()
            .filter_map(|one| value(&one.detail, name))
            .collect();
        values.sort_by(f64::total_cmp);
        let median = values.get(values.len() / 2)?;
        Some(Self {
            name: name.to_owned(),
            limit: median * (1.0 + percent / 100.0),
            is_lower_worse: percent < 0.0,
        })
    }

    fn judge(&self, outcomes: &[&Outcome]) -> Shown {
        let values = outcomes
            .iter()
            .filter_map(|one| value(&one.detail, &self.name));
        let Self { name, limit, .. } = self;
        let (worst, word) = match self.is_lower_worse {
            true => (values.min_by(f64::total_cmp), "less"),
            false => (values.max_by(f64::total_cmp), "more"),
        };
        match worst {
            Some(value) if value != *limit && (value < *limit) == self.is_lower_worse => {
                Shown::Bad(format!("{name}={value}, {word} than {limit}"))
            }
            Some(_) => Shown::Good,
            None => Shown::Neither(format!("no test reported {name}")),
        }
    }
}

/// Returns the value of `NAME=VALUE` in a text.
fn value(text: &str, name: &str) -> Option<f64> {
    let mut words = text
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    words.find(|(key, _)| *key == name)?.1.parse().ok()
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
    use kdk_report::fixtures;

    use super::*;

    fn outcome(name: &str, verdict: Verdict, detail: &str) -> Outcome {
        Outcome {
            detail: detail.into(),
            ..fixtures::outcome(name, verdict, 1)
        }
    }

    fn counts(good: u32, bad: u32, other: u32, why: &str) -> Counts {
        let why = why.into();
        Counts {
            good,
            bad,
            other,
            why,
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
            assert_eq!(any.count(&outcomes), of_any, "{verdict} {detail}");
            assert_eq!(panic.count(&outcomes), of_panic, "{verdict} {detail}");
        }
        assert_eq!(any.count(&[]), counts(0, 0, 1, "no test ran"));
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
        assert_eq!(any.count(&outcomes), counts(1, 2, 1, "a/x FAIL 1"));
        // On two numbers of CPUs, it is two tests.
        let mut twice = [outcome("a/x", Pass, ""), outcome("a/x", Fail, "smp")];
        twice[1].cpus = 4;
        assert_eq!(any.count(&twice), counts(0, 1, 0, "a/x FAIL smp"));
    }

    #[test]
    fn the_signature_may_be_in_the_console() {
        let mut crash = outcome("a/x", Verdict::Crash, "the kernel died");
        crash.console = vec!["panic: Bad link elm 0xfffff80003".into()];
        let pattern = Signature::new(Some("Bad link elm")).unwrap();
        assert_eq!(pattern.count(&[crash]).bad, 1);
        assert!(Signature::new(Some("a(")).is_err());
    }

    #[test]
    fn a_kernel_without_tests() {
        let any = Signature::AnyFailure;
        let panic = Signature::new(Some("panic: no init")).unwrap();
        let build = Failure::build("build the kernel", "error: panic: no init");
        let boot = Failure::new(Class::Boot, "boot", "it died").help("| panic: no init");
        let other = "no boot: could not boot: it died";
        assert_eq!(any.of_failure(&boot), Some(counts(0, 0, 1, other)));
        let bad = counts(0, 1, 0, "could not boot: it died");
        assert_eq!(panic.of_failure(&boot), Some(bad));
        assert_eq!(panic.of_failure(&build).map(|one| one.other), Some(1));
        assert_eq!(any.of_failure(&Failure::infra("a", "b")), None);
        assert_eq!(any.of_failure(&Failure::usage("a", "b")), None);
    }

    #[test]
    fn a_metric_is_compared_with_the_good_kernel() {
        let sample = |ns: u32| outcome("bench/x", Verdict::Pass, &format!("sample: ns={ns} n=3"));
        let good = [sample(100), sample(90), sample(104)];
        let metric = Metric::worse_than("ns", &good, 10.0).unwrap();
        assert!((metric.limit - 110.0).abs() < 1e-9);
        assert_eq!(Metric::worse_than("ms", &good, 10.0), None);
        let worse = Signature::Worse(metric);
        assert_eq!(worse.count(&[sample(109), sample(111)]).bad, 1);
        let none = worse.count(&[outcome("bench/x", Verdict::Pass, "")]);
        assert_eq!(none, counts(0, 0, 1, "no test reported ns"));
        let lower = Metric::worse_than("ns", &good, -10.0).unwrap();
        let lower = Signature::Worse(lower);
        let seen = lower.count(&[sample(91), sample(89), sample(300)]);
        assert_eq!(seen, counts(2, 1, 0, "ns=89, less than 90"));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let long = "\u{fc}".repeat(LONGEST + 1);
        assert_eq!(shorten(&long).chars().count(), LONGEST + 3);
    }
}

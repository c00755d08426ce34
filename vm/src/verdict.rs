//! Verdicts of tests, and the result of a run.

use serde::{Deserialize, Serialize};

use crate::protocol::{Expect, TestEntry};

/// The result of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// The test passed.
    Pass,
    /// The test failed, or its report is invalid.
    Fail,
    /// The test cannot run here.
    Skip,
    /// The test failed, as expected.
    Xfail,
    /// The test passed, but was expected to fail.
    Xpass,
    /// The test did not end within its limit.
    Timeout,
    /// The kernel died while the test ran.
    Crash,
    /// The test was planned and has not run.
    NotRun,
}

impl Verdict {
    /// Every verdict, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Pass,
        Self::Fail,
        Self::Skip,
        Self::Xfail,
        Self::Xpass,
        Self::Timeout,
        Self::Crash,
        Self::NotRun,
    ];

    /// Returns the name in reports, as in the JSON file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
            Self::Xfail => "XFAIL",
            Self::Xpass => "XPASS",
            Self::Timeout => "TIMEOUT",
            Self::Crash => "CRASH",
            Self::NotRun => "NOT_RUN",
        }
    }

    /// Returns whether a run with this verdict can succeed.
    pub fn is_as_expected(self) -> bool {
        match self {
            Self::Pass | Self::Skip | Self::Xfail => true,
            Self::Fail | Self::Xpass | Self::Timeout | Self::Crash | Self::NotRun => false,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// Where a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// The test runs in kdk.ko, or in the demo guest.
    Kernel,
    /// The test runs in a program under `/suites`.
    Userland,
}

/// One test's result, as in the report file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The name, `suite/case`.
    pub name: String,
    /// Where it ran.
    #[serde(rename = "where")]
    pub where_: Where,
    /// The number of virtual CPUs of its machine. Reports of older versions do
    /// not have it, and most of their machines had one.
    #[serde(default = "one_cpu")]
    pub cpus: u32,
    /// The verdict of the test.
    pub verdict: Verdict,
    /// The time from its start line to its end, in milliseconds, by the host's
    /// clock.
    pub ms: u64,
    /// The time from the run's start to its start line, in milliseconds, or
    /// none if it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// The expected verdict: [`Verdict::Pass`], or [`Verdict::Xfail`] for an
    /// expected failure or crash.
    pub expected: Verdict,
    /// The explanation: the test's own diagnostics, or what killed it.
    pub detail: String,
    /// The kernel's backtrace lines, if it died or printed a warning.
    pub backtrace: Vec<String>,
    /// The number of its machine in this run, from 1. The logs have the same
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<usize>,
    /// The seed of a run that repeats it: the first round of such a run makes the
    /// same random choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The number of the worker that ran it, from 1.
    #[serde(alias = "lane", default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<usize>,
    /// The lines that show the processor's registers, if it died.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registers: Vec<String>,
    /// The backtrace with source lines, which are indented below each line. A
    /// line without source lines is followed by `error: ` and the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbolized: Vec<String>,
    /// The last console lines before the verdict, if the test itself did not
    /// report it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// The command that repeats this test alone, if it did not end as expected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reproduce: String,
}

impl Outcome {
    /// Returns an outcome without details, of a test that should pass on one CPU.
    pub fn new(name: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            name: name.into(),
            where_: Where::Userland,
            cpus: one_cpu(),
            verdict,
            ms: 0,
            start_ms: None,
            expected: Verdict::Pass,
            detail: String::new(),
            backtrace: Vec::new(),
            machine: None,
            seed: None,
            worker: None,
            registers: Vec::new(),
            symbolized: Vec::new(),
            console: Vec::new(),
            reproduce: String::new(),
        }
    }

    /// Returns the outcome of a test that reported nothing.
    pub fn without_verdict(test: &TestEntry, verdict: Verdict) -> Self {
        Self {
            where_: test.where_,
            expected: match test.expect {
                Expect::Pass => Verdict::Pass,
                Expect::Fail | Expect::Crash => Verdict::Xfail,
            },
            ..Self::new(test.name.as_str(), verdict)
        }
    }

    /// Returns what identifies the outcome for a reader: the test's name, and
    /// the number of CPUs if it is not one.
    pub fn label(&self) -> String {
        label(&self.name, self.cpus)
    }

    /// Returns the backtrace, with its source lines if they are known.
    pub fn trace(&self) -> &[String] {
        if self.symbolized.is_empty() {
            &self.backtrace
        } else {
            &self.symbolized
        }
    }
}

/// Returns the name for a reader of the test `name` on a machine with `cpus`
/// virtual CPUs: `a/x` on one, else `a/x on 4 CPUs`.
pub fn label(name: &str, cpus: u32) -> String {
    match cpus {
        1 => name.to_owned(),
        more => format!("{name} on {more} CPUs"),
    }
}

fn one_cpu() -> u32 {
    1
}

/// The number of tests by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "a field for each verdict")]
pub struct Summary {
    pub pass: usize,
    pub fail: usize,
    pub skip: usize,
    pub xfail: usize,
    pub xpass: usize,
    pub timeout: usize,
    pub crash: usize,
    pub not_run: usize,
}

impl Summary {
    /// Returns the counts of `outcomes`.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut summary = Self::default();
        for outcome in outcomes {
            *summary.slot(outcome.verdict) += 1;
        }
        summary
    }

    /// Returns the number of tests with `verdict`.
    pub fn get(mut self, verdict: Verdict) -> usize {
        *self.slot(verdict)
    }

    /// Returns the number of tests.
    pub fn total(self) -> usize {
        Verdict::ALL.into_iter().map(|v| self.get(v)).sum()
    }

    /// Returns whether the run succeeded: there is at least one test, and every
    /// test ended as expected.
    pub fn is_good(self) -> bool {
        self.total() > 0
            && Verdict::ALL
                .into_iter()
                .all(|v| v.is_as_expected() || self.get(v) == 0)
    }

    fn slot(&mut self, verdict: Verdict) -> &mut usize {
        match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Fail => &mut self.fail,
            Verdict::Skip => &mut self.skip,
            Verdict::Xfail => &mut self.xfail,
            Verdict::Xpass => &mut self.xpass,
            Verdict::Timeout => &mut self.timeout,
            Verdict::Crash => &mut self.crash,
            Verdict::NotRun => &mut self.not_run,
        }
    }
}

impl std::fmt::Display for Summary {
    /// Returns the counts that are not zero: `41 PASS, 2 SKIP`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts: Vec<String> = Verdict::ALL
            .into_iter()
            .filter(|v| self.get(*v) > 0)
            .map(|v| format!("{} {v}", self.get(v)))
            .collect();
        if counts.is_empty() {
            return f.write_str("no tests");
        }
        f.write_str(&counts.join(", "))
    }
}

/// The class of a run's result, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitClass {
    /// Every test ended as expected, and there was at least one.
    Good,
    /// A test did not end as expected, or there was none.
    Tests,
    /// The kernel did not boot.
    Boot,
    /// The host failed: QEMU is missing, the disk is full, or the user
    /// interrupted the run.
    Infra,
}

impl ExitClass {
    /// Returns the process exit code of this class.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Tests => 1,
            Self::Boot => 4,
            Self::Infra => 5,
        }
    }

    /// Returns the class of a complete run with these counts.
    pub fn of(summary: Summary) -> Self {
        if summary.is_good() {
            Self::Good
        } else {
            Self::Tests
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: Verdict) -> Outcome {
        Outcome {
            cpus: 4,
            ms: 12,
            ..Outcome::new("smoke/kqueue", verdict)
        }
    }

    #[test]
    fn a_run_with_any_of_these_is_bad() {
        for verdict in [
            Verdict::Fail,
            Verdict::Xpass,
            Verdict::Timeout,
            Verdict::Crash,
            Verdict::NotRun,
        ] {
            let all = [outcome(Verdict::Pass), outcome(verdict)];
            let class = ExitClass::of(Summary::of(&all));
            assert_eq!(class, ExitClass::Tests, "{verdict}");
            assert_eq!(class.code(), 1);
        }
    }

    #[test]
    fn zero_tests_is_never_a_pass() {
        assert_eq!(ExitClass::of(Summary::default()), ExitClass::Tests);
        assert_eq!(Summary::default().to_string(), "no tests");
    }

    #[test]
    fn pass_skip_and_expected_failures_are_good() {
        let all = [Verdict::Pass, Verdict::Skip, Verdict::Xfail].map(outcome);
        let summary = Summary::of(&all);
        assert_eq!(ExitClass::of(summary).code(), 0);
        assert_eq!(summary.to_string(), "1 PASS, 1 SKIP, 1 XFAIL");
    }

    #[test]
    fn a_report_of_an_older_version_names_the_worker_a_lane() {
        let mut text = serde_json::to_string(&outcome(Verdict::Pass)).unwrap();
        text.insert_str(text.len() - 1, r#","lane":2"#);
        let read: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!(read.worker, Some(2));
    }

    #[test]
    fn a_report_of_an_older_version_is_of_one_cpu() {
        let text = serde_json::to_string(&outcome(Verdict::Pass)).unwrap();
        let text = text.replace(r#""cpus":4,"#, "");
        let read: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!((read.cpus, read.label().as_str()), (1, "smoke/kqueue"));
        let four = outcome(Verdict::Pass);
        assert_eq!(four.label(), "smoke/kqueue on 4 CPUs");
    }

    #[test]
    fn the_json_words_are_those_of_the_report_file() {
        for verdict in Verdict::ALL {
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("{:?}", verdict.word()));
        }
        let text = serde_json::to_string(&outcome(Verdict::NotRun)).unwrap();
        assert_eq!(
            text,
            r#"{"name":"smoke/kqueue","where":"userland","cpus":4,"verdict":"NOT_RUN","ms":12,"expected":"PASS","detail":"","backtrace":[]}"#
        );
        let text = serde_json::to_string(&Summary::default()).unwrap();
        assert_eq!(
            text,
            r#"{"PASS":0,"FAIL":0,"SKIP":0,"XFAIL":0,"XPASS":0,"TIMEOUT":0,"CRASH":0,"NOT_RUN":0}"#
        );
    }
}

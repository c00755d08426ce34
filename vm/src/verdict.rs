//! What became of a test, and what that makes of a run.

use serde::{Deserialize, Serialize};

use crate::protocol::{Expect, TestEntry};

/// What became of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// It passed.
    Pass,
    /// It failed, or what it reported cannot be trusted.
    Fail,
    /// It said that it cannot run here.
    Skip,
    /// It failed, as was expected of it.
    Xfail,
    /// It passed although it was expected to fail.
    Xpass,
    /// It did not end within its own limit.
    Timeout,
    /// The kernel died while it ran.
    Crash,
    /// Planned, but there is no verdict on it.
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

    /// The word reports use, as in the JSON file.
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

    /// Whether a run with this verdict can be a good run.
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
    /// In kdk.ko, or in the demo guest.
    Kernel,
    /// A program under `/suites` in the guest.
    Userland,
}

/// One test's result, as the report file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `suite/case`.
    pub name: String,
    /// Where it ran.
    #[serde(rename = "where")]
    pub where_: Where,
    /// What became of it.
    pub verdict: Verdict,
    /// From its start line to its end, milliseconds, by the host's clock.
    pub ms: u64,
    /// From the run's beginning to its start line, milliseconds; none if it
    /// never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// [`Verdict::Pass`], or [`Verdict::Xfail`] for an expected failure or
    /// crash.
    pub expected: Verdict,
    /// Why, for people: the test's own diagnostics, or what killed it.
    pub detail: String,
    /// The kernel's backtrace lines, if it died or complained.
    pub backtrace: Vec<String>,
    /// Which of the run's machines it ran on, from 1; names its logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<usize>,
    /// Which of the machines side by side that was, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<usize>,
    /// The lines that show the processor's registers, if it died.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registers: Vec<String>,
    /// The backtrace again, each line followed by its source lines, indented;
    /// a line that has none is followed by the reason, after `error: `.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbolized: Vec<String>,
    /// The last console lines before the verdict, when it was not given by
    /// the test itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// The command that runs this test alone in the same way, when it did not
    /// end as expected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reproduce: String,
}

impl Outcome {
    /// An outcome that nothing was reported for.
    pub fn without_verdict(test: &TestEntry, verdict: Verdict) -> Self {
        Self {
            name: test.name.clone(),
            where_: test.where_,
            verdict,
            ms: 0,
            start_ms: None,
            expected: match test.expect {
                Expect::Pass => Verdict::Pass,
                Expect::Fail | Expect::Crash => Verdict::Xfail,
            },
            detail: String::new(),
            backtrace: Vec::new(),
            machine: None,
            worker: None,
            registers: Vec::new(),
            symbolized: Vec::new(),
            console: Vec::new(),
            reproduce: String::new(),
        }
    }

    /// The backtrace for people: with its source lines, once they are known.
    pub fn trace(&self) -> &[String] {
        if self.symbolized.is_empty() {
            &self.backtrace
        } else {
            &self.symbolized
        }
    }
}

/// How many tests got which verdict.
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
    /// Counts `outcomes`.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut summary = Self::default();
        for outcome in outcomes {
            *summary.slot(outcome.verdict) += 1;
        }
        summary
    }

    /// How many tests got `verdict`.
    pub fn get(mut self, verdict: Verdict) -> usize {
        *self.slot(verdict)
    }

    /// How many tests there are.
    pub fn total(self) -> usize {
        Verdict::ALL.into_iter().map(|v| self.get(v)).sum()
    }

    /// Whether these counts make a good run: there is a test, and every test
    /// went as expected.
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
    /// The counts that are not zero: `41 PASS, 2 SKIP`.
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

/// Whose fault the end of a run was; the classes that tests can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitClass {
    /// Every test went as expected, and there was one.
    Good,
    /// A test did not, or there was none.
    Tests,
    /// The kernel did not come up.
    Boot,
    /// The host: QEMU missing, disk full, interrupted.
    Infra,
}

impl ExitClass {
    /// The process exit code that stands for it.
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Tests => 1,
            Self::Boot => 4,
            Self::Infra => 5,
        }
    }

    /// The class of a run that ended by itself with these counts.
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
            name: "smoke/kqueue".into(),
            where_: Where::Userland,
            verdict,
            ms: 12,
            start_ms: None,
            expected: Verdict::Pass,
            detail: String::new(),
            backtrace: Vec::new(),
            machine: None,
            worker: None,
            registers: Vec::new(),
            symbolized: Vec::new(),
            console: Vec::new(),
            reproduce: String::new(),
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
    fn the_json_words_are_those_of_the_report_file() {
        for verdict in Verdict::ALL {
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("{:?}", verdict.word()));
        }
        let text = serde_json::to_string(&outcome(Verdict::NotRun)).unwrap();
        assert_eq!(
            text,
            r#"{"name":"smoke/kqueue","where":"userland","verdict":"NOT_RUN","ms":12,"expected":"PASS","detail":"","backtrace":[]}"#
        );
        let text = serde_json::to_string(&Summary::default()).unwrap();
        assert_eq!(
            text,
            r#"{"PASS":0,"FAIL":0,"SKIP":0,"XFAIL":0,"XPASS":0,"TIMEOUT":0,"CRASH":0,"NOT_RUN":0}"#
        );
    }
}

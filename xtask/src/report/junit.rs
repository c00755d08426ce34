//! JUnit, for CI services.

use std::path::Path;
use std::time::Duration;

use kdk_vm::verdict::{Outcome, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::failure::Failure;
use crate::home::write_atomically;

/// The report as XML: a suite for each part of the names before the slash.
pub fn xml(base: &str, outcomes: &[Outcome]) -> Result<String, Failure> {
    let mut report = Report::new(format!("fbsd-kdk {base}"));
    let mut suites: Vec<TestSuite> = Vec::new();
    for outcome in outcomes {
        let (suite, case) = outcome.name.split_once('/').unwrap_or(("", &outcome.name));
        let at = suites.iter().position(|one| one.name.as_str() == suite);
        let at = at.unwrap_or_else(|| {
            suites.push(TestSuite::new(suite));
            suites.len() - 1
        });
        suites[at].add_test_case(test_case(suite, case, outcome));
    }
    report.add_test_suites(suites);
    report
        .to_string()
        .map_err(|error| Failure::infra("write the JUnit report", error.to_string()))
}

/// Writes it, whole or not at all.
pub fn write(path: &Path, base: &str, outcomes: &[Outcome]) -> Result<(), Failure> {
    let text = xml(base, outcomes)?;
    write_atomically(path, text.as_bytes())
        .map_err(|error| Failure::io("write the JUnit report", path, error))
}

fn test_case(suite: &str, case: &str, outcome: &Outcome) -> TestCase {
    let mut one = TestCase::new(case, status(outcome));
    one.set_classname(suite);
    one.set_time(Duration::from_millis(outcome.ms));
    let text = system_out(outcome);
    if !text.is_empty() {
        one.set_system_out(text);
    }
    one
}

/// All that is known of a test that went wrong beside its message.
fn system_out(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    if !outcome.reproduce.is_empty() {
        parts.push(format!("run it again: {}", outcome.reproduce));
    }
    for (what, lines) in [
        ("where it died", outcome.trace()),
        ("registers", outcome.registers.as_slice()),
        ("the console's last lines", outcome.console.as_slice()),
    ] {
        if !lines.is_empty() {
            parts.push(format!("{what}:\n{}", lines.join("\n")));
        }
    }
    parts.join("\n\n")
}

fn status(outcome: &Outcome) -> TestCaseStatus {
    let kind = match outcome.verdict {
        Verdict::Pass | Verdict::Xfail => return TestCaseStatus::success(),
        Verdict::Skip => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(outcome.detail.clone());
            return skipped;
        }
        Verdict::Fail | Verdict::Xpass => NonSuccessKind::Failure,
        Verdict::Timeout | Verdict::Crash | Verdict::NotRun => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(outcome.verdict.word());
    status.set_message(outcome.detail.clone());
    status
}

#[cfg(test)]
mod tests {
    use kdk_vm::verdict::Where;

    use super::*;

    #[test]
    fn a_crash_has_all_that_is_known_of_it() {
        let own = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        let mut outcome = Outcome {
            name: "fault/panic".into(),
            where_: Where::Kernel,
            verdict: Verdict::Crash,
            ms: 12,
            expected: Verdict::Pass,
            detail: "panic: x".into(),
            backtrace: own(&["panic() at panic+0x1/frame 0x1"]),
            registers: own(&["rip = 0x1"]),
            symbolized: own(&["panic() at panic+0x1/frame 0x1", "    sys/f.c:1 (panic)"]),
            console: own(&["panic: x", "Uptime: 3s"]),
            reproduce: "cargo xtask vm-test --tests fault/panic".into(),
        };
        insta::assert_snapshot!(system_out(&outcome), @r"
        run it again: cargo xtask vm-test --tests fault/panic

        where it died:
        panic() at panic+0x1/frame 0x1
            sys/f.c:1 (panic)

        registers:
        rip = 0x1

        the console's last lines:
        panic: x
        Uptime: 3s
        ");
        outcome.symbolized.clear();
        assert!(system_out(&outcome).contains("panic() at panic+0x1"));
    }
}

//! The report as JUnit XML, for CI services.

use std::path::Path;
use std::time::Duration;

use kdk_vm::verdict::{Outcome, Verdict, label};
use quick_junit::{
    FlakyOrRerun, NonSuccessKind, Property, Report as Junit, TestCase, TestCaseStatus, TestRerun,
    TestSuite,
};

use super::json::{Report, Run};
use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;

/// Returns the report as XML: a suite for each part of the names before the
/// slash, a case for each test on each number of CPUs. A run that ended early has a case of its own,
/// so that it is not green because it has no tests.
pub fn xml(report: &Report) -> Result<String, Failure> {
    let mut junit = Junit::new(format!("fbsd-kdk {}", report.run.base));
    if let Some(began) = report.run.began {
        junit.set_timestamp(began);
    }
    junit.set_time(Duration::from_millis(report.took_ms()));
    let cases = cases(&report.tests)
        .into_iter()
        .map(|runs| test_case(&runs))
        .chain(
            report
                .run
                .error
                .as_deref()
                .map(|text| ended_early(&report.run, text)),
        );
    let mut suites: Vec<TestSuite> = Vec::new();
    for (suite, case) in cases {
        let at = suites.iter().position(|one| one.name.as_str() == suite);
        let at = at.unwrap_or_else(|| {
            let mut new = TestSuite::new(suite.as_str());
            new.add_properties(properties(&report.run));
            suites.push(new);
            suites.len() - 1
        });
        suites[at].add_test_case(case);
    }
    for suite in &mut suites {
        let times = suite.test_cases.iter().filter_map(|case| case.time);
        suite.time = Some(times.sum());
    }
    junit.add_test_suites(suites);
    junit
        .to_string()
        .map_err(|error| Failure::infra("write the JUnit report", error.to_string()))
}

/// Writes the report atomically.
pub fn write(path: &Path, report: &Report) -> Result<(), Failure> {
    let text = xml(report)?;
    write_atomically(path, text.as_bytes())
        .map_err(|error| Failure::io("write the JUnit report", path, error))
}

/// Returns the runs of each test on each number of CPUs, in the order in which
/// the tests first ran.
fn cases(outcomes: &[Outcome]) -> Vec<Vec<&Outcome>> {
    let mut cases: Vec<Vec<&Outcome>> = Vec::new();
    for outcome in outcomes {
        let test = |one: &Outcome| (one.name.clone(), one.cpus);
        let known = cases.iter_mut().find(|runs| test(runs[0]) == test(outcome));
        match known {
            Some(runs) => runs.push(outcome),
            None => cases.push(vec![outcome]),
        }
    }
    cases
}

/// Returns the suite and the case of one test. The first run that was not as
/// expected decides, as it does in the exit code, and the other bad ones are
/// reruns; else the first run that was not skipped decides.
fn test_case(runs: &[&Outcome]) -> (String, TestCase) {
    let bad = |one: &&&Outcome| !one.verdict.is_as_expected();
    let mut failed = runs.iter().filter(bad);
    let ran = || runs.iter().find(|one| one.verdict != Verdict::Skip);
    let main = failed.next().or_else(ran).unwrap_or(&runs[0]);
    let (suite, case) = main.name.split_once('/').unwrap_or(("", &main.name));
    let mut status = status(main);
    status.add_reruns(failed.map(|one| rerun(one)));
    if !runs.iter().all(|one| bad(&one)) {
        status.set_rerun_kind(FlakyOrRerun::Flaky);
    }
    let mut one = TestCase::new(label(case, main.cpus), status);
    one.set_classname(suite);
    one.add_property(Property::new("cpus", main.cpus.to_string()));
    one.set_time(Duration::from_millis(main.ms));
    if let Some(text) = Some(system_out(main)).filter(|text| !text.is_empty()) {
        one.set_system_out(text);
    }
    if runs.len() > 1 {
        let failures = runs.iter().filter(bad).count();
        one.add_property(Property::new("runs", runs.len().to_string()));
        one.add_property(Property::new("failed-runs", failures.to_string()));
    }
    (suite.to_owned(), one)
}

fn ended_early(run: &Run, text: &str) -> (String, TestCase) {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(format!("exit {}", run.exit));
    status.set_message(text);
    let mut case = TestCase::new("ended-early", status);
    case.set_classname("run");
    ("run".into(), case)
}

fn properties(run: &Run) -> Vec<Property> {
    [
        ("base", run.base.clone()),
        ("guest", run.guest.clone()),
        ("uname", run.uname.clone()),
        ("patches", run.patches.join(" ")),
        (
            "kernel-config",
            run.kernel_config.clone().unwrap_or_default(),
        ),
        ("accel", run.accel.clone()),
        ("boot", run.boot.clone()),
        ("isolation", run.isolation.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| Property::new(name, value))
    .collect()
}

/// Returns whether a verdict is a failure of the test or an error outside of
/// it; none if it is neither.
fn kind(verdict: Verdict) -> Option<NonSuccessKind> {
    match verdict {
        Verdict::Pass | Verdict::Xfail | Verdict::Skip => None,
        Verdict::Fail | Verdict::Xpass => Some(NonSuccessKind::Failure),
        Verdict::Timeout | Verdict::Crash | Verdict::NotRun => Some(NonSuccessKind::Error),
    }
}

/// Returns all details of a test beside its message.
fn system_out(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    if !outcome.reproduce.is_empty() {
        parts.push(format!("to run it again: {}", outcome.reproduce));
    }
    for (what, lines) in [
        ("backtrace", outcome.trace()),
        ("registers", outcome.registers.as_slice()),
        ("last lines of the console", outcome.console.as_slice()),
    ] {
        if !lines.is_empty() {
            parts.push(format!("{what}:\n{}", lines.join("\n")));
        }
    }
    parts.join("\n\n")
}

fn status(outcome: &Outcome) -> TestCaseStatus {
    let mut status = match kind(outcome.verdict) {
        Some(kind) => TestCaseStatus::non_success(kind),
        None if outcome.verdict == Verdict::Skip => TestCaseStatus::skipped(),
        None => return TestCaseStatus::success(),
    };
    status.set_type(outcome.verdict.word());
    // CI services show the message in lists.
    if let Some(line) = outcome.detail.lines().next() {
        status.set_message(line);
    }
    if outcome.detail.contains('\n') {
        status.set_description(outcome.detail.as_str());
    }
    status
}

fn rerun(outcome: &Outcome) -> TestRerun {
    let mut rerun = TestRerun::new(kind(outcome.verdict).unwrap_or(NonSuccessKind::Error));
    rerun.set_type(outcome.verdict.word());
    if let Some(line) = outcome.detail.lines().next() {
        rerun.set_message(line);
    }
    rerun.set_time(Duration::from_millis(outcome.ms));
    if !outcome.trace().is_empty() {
        rerun.set_stack_trace(outcome.trace().join("\n"));
    }
    if let Some(text) = Some(system_out(outcome)).filter(|text| !text.is_empty()) {
        rerun.set_system_out(text);
    }
    rerun
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{failing_run, outcome, report};
    use Verdict::{Crash, Fail, Pass, Skip};

    #[test]
    fn each_verdict_has_its_element() {
        insta::assert_snapshot!(xml(&failing_run()).unwrap());
    }

    #[test]
    fn runs_of_one_test_are_one_case() {
        let mut tests = vec![
            outcome("a/flaky", Pass, 10),
            outcome("a/broken", Fail, 20),
            outcome("a/steady", Skip, 30),
            outcome("a/flaky", Crash, 11),
            outcome("a/broken", Fail, 21),
            outcome("a/steady", Pass, 31),
            outcome("a/flaky", Fail, 12),
        ];
        tests[3].backtrace = vec!["vpanic() at vpanic+0x1/frame 0x2".into()];
        insta::assert_snapshot!(xml(&report(tests)).unwrap());
    }

    #[test]
    fn a_run_that_ended_early_is_an_error_even_without_tests() {
        let mut run = report(Vec::new());
        run.run.exit = 4;
        run.run.error = Some("the kernel did not boot: \u{1b}[31mpanic\u{1b}[0m <root>".into());
        insta::assert_snapshot!(xml(&run).unwrap());
    }

    #[test]
    fn a_crash_has_all_its_details() {
        let own = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        let mut outcome = Outcome {
            detail: "panic: x".into(),
            backtrace: own(&["panic() at panic+0x1/frame 0x1"]),
            registers: own(&["rip = 0x1"]),
            symbolized: own(&["panic() at panic+0x1/frame 0x1", "    sys/f.c:1 (panic)"]),
            console: own(&["panic: x", "Uptime: 3s"]),
            reproduce: "cargo xtask vm-test --tests fault/panic".into(),
            ..outcome("fault/panic", Crash, 12)
        };
        insta::assert_snapshot!(system_out(&outcome), @r"
        to run it again: cargo xtask vm-test --tests fault/panic

        backtrace:
        panic() at panic+0x1/frame 0x1
            sys/f.c:1 (panic)

        registers:
        rip = 0x1

        last lines of the console:
        panic: x
        Uptime: 3s
        ");
        outcome.symbolized.clear();
        assert!(system_out(&outcome).contains("panic() at panic+0x1"));
    }
}

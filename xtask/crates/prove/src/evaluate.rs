//! Evaluates whether tests with and without a patch prove the patch.

use kdk_vm::verdict::{Outcome, Verdict};

use kdk_series::manifest::Without;
use kdk_series::results::Row;

/// The result of running tests on one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunResult {
    /// The tests ran; the outcomes are in the order of the run.
    Ran(Vec<Outcome>),
    /// The kernel did not boot, for this reason.
    NoBoot(String),
    /// The kernel could not be built, for this reason.
    NoBuild(String),
}

impl RunResult {
    /// Returns the results of tests that ran apart on the same kernel.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Ran(mut all), Self::Ran(more)) => {
                all.extend(more);
                Self::Ran(all)
            }
            (Self::Ran(_), failed) | (failed, _) => failed,
        }
    }
}

/// How a test ended, or why it did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Verdict(Verdict),
    NoBoot,
    NoBuild,
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Self::Verdict(verdict) => verdict.word(),
            Self::NoBoot => "NO_BOOT",
            Self::NoBuild => "NO_BUILD",
        }
    }
}

/// Returns how `test` ended. Of several runs, the first one that did not pass
/// decides.
fn ended(result: &RunResult, test: &str) -> Ended {
    match result {
        RunResult::NoBoot(_) => Ended::NoBoot,
        RunResult::NoBuild(_) => Ended::NoBuild,
        RunResult::Ran(outcomes) => {
            let mut verdicts = outcomes
                .iter()
                .filter(|outcome| outcome.name == test)
                .map(|outcome| outcome.verdict);
            let first = verdicts.next().unwrap_or(Verdict::NotRun);
            let worse = verdicts.find(|verdict| *verdict != Verdict::Pass);
            Ended::Verdict(worse.filter(|_| first == Verdict::Pass).unwrap_or(first))
        }
    }
}

/// Evaluates `tests`, the names of the tests that prove a patch.
pub fn evaluate(
    tests: &[String],
    expected: Without,
    without: &RunResult,
    with: &RunResult,
) -> Vec<Row> {
    let row = |test: &String| {
        let (without, with) = (ended(without, test), ended(with, test));
        Row {
            test: test.clone(),
            without: without.word().into(),
            with: with.word().into(),
            reason: why_not(expected, without, with).unwrap_or_default(),
        }
    };
    tests.iter().map(row).collect()
}

/// Returns why a test does not prove a patch; `None` if it does.
fn why_not(expected: Without, without: Ended, with: Ended) -> Option<String> {
    use Verdict::{Crash, Fail, Pass, Timeout};
    if with != Ended::Verdict(Pass) {
        return Some(format!("with the patch it ends in {}", with.word()));
    }
    let as_expected = matches!(
        (expected, without),
        (Without::Fail, Ended::Verdict(Fail | Crash | Timeout))
            | (Without::Crash, Ended::Verdict(Crash))
            | (Without::Timeout, Ended::Verdict(Timeout))
            | (Without::NoBoot, Ended::NoBoot)
    );
    match without {
        _ if as_expected => None,
        Ended::Verdict(Pass) => Some("not proven: it passes without the patch".into()),
        Ended::NoBuild => Some("not proven: the kernel does not build without the patch".into()),
        Ended::NoBoot => Some(
            "not proven: the kernel does not boot without the patch; write `expect_without: no-boot` \
             if that is what the patch fixes"
                .into(),
        ),
        other => Some(format!(
            "not proven: without the patch it ends in {}, not in {}",
            other.word(),
            words(expected)
        )),
    }
}

fn words(expected: Without) -> &'static str {
    match expected {
        Without::Fail => "FAIL, CRASH or TIMEOUT",
        Without::Crash => "CRASH",
        Without::Timeout => "TIMEOUT",
        Without::NoBoot => "NO_BOOT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_report::fixtures::outcome;

    fn ran(verdicts: &[Verdict]) -> RunResult {
        let outcomes = verdicts.iter().map(|verdict| outcome("a/x", *verdict, 1));
        RunResult::Ran(outcomes.collect())
    }

    #[test]
    fn what_proves_a_patch_and_what_does_not() {
        use Verdict::{Crash, Fail, NotRun, Pass, Skip, Timeout, Xfail};
        let (no_boot, no_build) = (
            RunResult::NoBoot("x".into()),
            RunResult::NoBuild("x".into()),
        );
        let table = [
            (Without::Fail, ran(&[Fail]), ran(&[Pass]), ""),
            (Without::Fail, ran(&[Crash]), ran(&[Pass]), ""),
            (Without::Fail, ran(&[Timeout]), ran(&[Pass]), ""),
            (Without::Crash, ran(&[Crash]), ran(&[Pass]), ""),
            (Without::Timeout, ran(&[Timeout]), ran(&[Pass]), ""),
            (Without::NoBoot, no_boot.clone(), ran(&[Pass]), ""),
            (Without::Fail, ran(&[Pass, Fail]), ran(&[Pass, Pass]), ""),
            (
                Without::Fail,
                ran(&[Pass]),
                ran(&[Pass]),
                "not proven: it passes without the patch",
            ),
            (
                Without::NoBoot,
                ran(&[Pass]),
                ran(&[Pass]),
                "not proven: it passes without the patch",
            ),
            (
                Without::Crash,
                ran(&[Fail]),
                ran(&[Pass]),
                "not proven: without the patch it ends in FAIL, not in CRASH",
            ),
            (
                Without::NoBoot,
                ran(&[Fail]),
                ran(&[Pass]),
                "not proven: without the patch it ends in FAIL, not in NO_BOOT",
            ),
            (
                Without::Fail,
                ran(&[Skip]),
                ran(&[Pass]),
                "not proven: without the patch it ends in SKIP, not in FAIL, CRASH or TIMEOUT",
            ),
            (
                Without::Fail,
                ran(&[]),
                ran(&[Pass]),
                "not proven: without the patch it ends in NOT_RUN, not in FAIL, CRASH or TIMEOUT",
            ),
            (
                Without::Fail,
                no_boot.clone(),
                ran(&[Pass]),
                "not proven: the kernel does not boot without the patch; write `expect_without: no-boot` \
                 if that is what the patch fixes",
            ),
            (
                Without::Fail,
                no_build.clone(),
                ran(&[Pass]),
                "not proven: the kernel does not build without the patch",
            ),
            (
                Without::Fail,
                ran(&[Fail]),
                ran(&[Fail]),
                "with the patch it ends in FAIL",
            ),
            (
                Without::Fail,
                ran(&[Fail]),
                ran(&[Pass, Fail]),
                "with the patch it ends in FAIL",
            ),
            (
                Without::Fail,
                ran(&[Fail]),
                ran(&[Skip]),
                "with the patch it ends in SKIP",
            ),
            (
                Without::Fail,
                ran(&[Fail]),
                ran(&[Xfail]),
                "with the patch it ends in XFAIL",
            ),
            (
                Without::Fail,
                ran(&[Fail]),
                ran(&[NotRun]),
                "with the patch it ends in NOT_RUN",
            ),
            (
                Without::NoBoot,
                no_boot.clone(),
                no_boot,
                "with the patch it ends in NO_BOOT",
            ),
            (
                Without::Fail,
                ran(&[Fail]),
                no_build,
                "with the patch it ends in NO_BUILD",
            ),
        ];
        for (expected, without, with, want) in table {
            let rows = evaluate(&["a/x".into()], expected, &without, &with);
            assert_eq!(rows[0].reason, want, "{expected:?} {without:?} {with:?}");
        }
    }
}

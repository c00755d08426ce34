//! What a test with and without a patch says about the patch.

use kdk_vm::verdict::{Outcome, Verdict};

use kdk_series::manifest::Without;
use kdk_series::results::Row;

/// What came of the tests on one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial {
    /// They ran; each with its verdict, in order.
    Ran(Vec<Outcome>),
    /// The kernel did not come up, and why.
    NoBoot(String),
    /// It could not be built, and why.
    NoBuild(String),
}

/// A test's end, or why it had none.
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

/// How `test` ended. A test that ran several times ended as it did when it did
/// not pass.
fn ended(trial: &Trial, test: &str) -> Ended {
    match trial {
        Trial::NoBoot(_) => Ended::NoBoot,
        Trial::NoBuild(_) => Ended::NoBuild,
        Trial::Ran(outcomes) => {
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

/// Judges each of `tests`, names of tests that prove a patch.
pub fn judge(tests: &[String], expected: Without, without: &Trial, with: &Trial) -> Vec<Row> {
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

/// Why a test does not prove a patch; none if it does.
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
        Ended::Verdict(Pass) => Some("does not prove: it passes without the patch".into()),
        Ended::NoBuild => Some("does not prove: nothing builds without the patch".into()),
        Ended::NoBoot => Some(
            "does not prove: no kernel comes up without the patch; write `expect_without: no-boot` \
             where that is what the patch mends"
                .into(),
        ),
        other => Some(format!(
            "does not prove: without the patch it ends in {}, not in {}",
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

    fn ran(verdicts: &[Verdict]) -> Trial {
        let outcomes = verdicts.iter().map(|verdict| outcome("a/x", *verdict, 1));
        Trial::Ran(outcomes.collect())
    }

    #[test]
    fn what_proves_a_patch_and_what_does_not() {
        use Verdict::{Crash, Fail, NotRun, Pass, Skip, Timeout, Xfail};
        let (no_boot, no_build) = (Trial::NoBoot("x".into()), Trial::NoBuild("x".into()));
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
                "does not prove: it passes without the patch",
            ),
            (
                Without::NoBoot,
                ran(&[Pass]),
                ran(&[Pass]),
                "does not prove: it passes without the patch",
            ),
            (
                Without::Crash,
                ran(&[Fail]),
                ran(&[Pass]),
                "does not prove: without the patch it ends in FAIL, not in CRASH",
            ),
            (
                Without::NoBoot,
                ran(&[Fail]),
                ran(&[Pass]),
                "does not prove: without the patch it ends in FAIL, not in NO_BOOT",
            ),
            (
                Without::Fail,
                ran(&[Skip]),
                ran(&[Pass]),
                "does not prove: without the patch it ends in SKIP, not in FAIL, CRASH or TIMEOUT",
            ),
            (
                Without::Fail,
                ran(&[]),
                ran(&[Pass]),
                "does not prove: without the patch it ends in NOT_RUN, not in FAIL, CRASH or TIMEOUT",
            ),
            (
                Without::Fail,
                no_boot.clone(),
                ran(&[Pass]),
                "does not prove: no kernel comes up without the patch; write `expect_without: no-boot` \
                 where that is what the patch mends",
            ),
            (
                Without::Fail,
                no_build.clone(),
                ran(&[Pass]),
                "does not prove: nothing builds without the patch",
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
            let rows = judge(&["a/x".into()], expected, &without, &with);
            assert_eq!(rows[0].reason, want, "{expected:?} {without:?} {with:?}");
        }
    }
}

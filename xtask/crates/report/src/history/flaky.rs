//! Flakiness: how often a test fails that ran several times.

use kdk_vm::verdict::{Outcome, Verdict, label};

use super::by_test;

/// The quantile of the normal distribution for 95 %, two-sided.
const Z: f64 = 1.959_964;

/// A test that ran several times on one number of CPUs in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaky {
    /// The name of the test, with the number of CPUs if it is not one.
    pub name: String,
    /// The number of runs; skipped and never started runs do not count.
    pub runs: usize,
    /// The number of runs that did not end as expected.
    pub failures: usize,
}

impl Flaky {
    /// Returns whether the test failed in some of the runs, but not in all.
    pub fn is_flaky(&self) -> bool {
        self.failures > 0 && self.failures < self.runs
    }

    /// Returns the share of runs that failed, from 0 to 1.
    pub fn rate(&self) -> f64 {
        self.failures as f64 / self.runs.max(1) as f64
    }

    /// Returns the 95 % confidence interval of the true share: Wilson's score
    /// interval (E. B. Wilson, 1927), which is valid for few runs, and if none
    /// or all failed.
    pub fn interval(&self) -> (f64, f64) {
        let runs = self.runs.max(1) as f64;
        let (rate, square) = (self.rate(), Z * Z);
        let scale = 1.0 + square / runs;
        let centre = (rate + square / (2.0 * runs)) / scale;
        let spread = (rate * (1.0 - rate) / runs + square / (4.0 * runs * runs)).sqrt();
        let half = Z * spread / scale;
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }

    /// Renders the share: `a/x failed 1 of 10 runs: 10.0 % (95 %: 1.8 to 40.4
    /// %)`.
    pub fn text(&self) -> String {
        let (low, high) = self.interval();
        format!(
            "{} failed {} of {} runs: {:.1} % (95 %: {:.1} to {:.1} %)",
            self.name,
            self.failures,
            self.runs,
            100.0 * self.rate(),
            100.0 * low,
            100.0 * high
        )
    }
}

/// Returns the tests among `outcomes` that ran several times, the flakiest
/// first.
pub fn flaky(outcomes: &[Outcome]) -> Vec<Flaky> {
    let counts = |one: &&&Outcome| !matches!(one.verdict, Verdict::Skip | Verdict::NotRun);
    let mut all: Vec<Flaky> = by_test(outcomes)
        .into_iter()
        .map(|((name, cpus), outcomes)| Flaky {
            name: label(name, cpus),
            runs: outcomes.iter().filter(counts).count(),
            failures: outcomes
                .iter()
                .filter(counts)
                .filter(|one| !one.verdict.is_as_expected())
                .count(),
        })
        .filter(|one| one.runs > 1)
        .collect();
    // The test that fails every other time comes first. The sort is stable, so
    // tests with equal shares are in order of their names.
    all.sort_by(|a, b| (a.rate() - 0.5).abs().total_cmp(&(b.rate() - 0.5).abs()));
    all
}

/// Renders the flakiness of the tests that ran several times, with one line for
/// all that never failed.
pub fn lines(all: &[Flaky]) -> Vec<String> {
    let mut lines: Vec<String> = all
        .iter()
        .filter(|one| one.failures > 0)
        .map(|one| {
            let word = if one.is_flaky() { "flaky" } else { "always" };
            format!("{word}: {}", one.text())
        })
        .collect();
    let steady: Vec<&Flaky> = all.iter().filter(|one| one.failures == 0).collect();
    if let Some(least) = steady.iter().min_by_key(|one| one.runs) {
        lines.push(format!(
            "steady: {} of {} tests never failed in {} runs or more: below {:.1} % (95 %)",
            steady.len(),
            all.len(),
            least.runs,
            100.0 * least.interval().1
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::outcome;
    use Verdict::{Crash, Fail, NotRun, Pass, Skip, Xfail};

    fn of(failures: usize, runs: usize) -> Flaky {
        Flaky {
            name: "a/x".into(),
            runs,
            failures,
        }
    }

    #[test]
    fn the_interval_is_wilsons() {
        // Solved apart from this code: (rate - x)^2 = z^2 x (1 - x) / runs.
        for (failures, runs, low, high) in [
            (0, 1, 0.000000, 0.793451),
            (1, 1, 0.206549, 1.000000),
            (1, 2, 0.094531, 0.905469),
            (0, 10, 0.000000, 0.277533),
            (1, 10, 0.017876, 0.404150),
            (5, 10, 0.236593, 0.763407),
            (9, 10, 0.595850, 0.982124),
            (10, 10, 0.722467, 1.000000),
            (0, 20, 0.000000, 0.161125),
            (3, 50, 0.020615, 0.162171),
            (0, 100, 0.000000, 0.036993),
            (50, 100, 0.403832, 0.596168),
            (1, 1000, 0.000177, 0.005643),
        ] {
            let (got_low, got_high) = of(failures, runs).interval();
            assert!((got_low - low).abs() < 1e-5, "{failures}/{runs}: {got_low}");
            assert!(
                (got_high - high).abs() < 1e-5,
                "{failures}/{runs}: {got_high}"
            );
        }
    }

    #[test]
    fn the_rate_and_its_text() {
        for (failures, runs, rate, text) in [
            (
                0,
                0,
                0.0,
                "a/x failed 0 of 0 runs: 0.0 % (95 %: 0.0 to 79.3 %)",
            ),
            (
                1,
                3,
                1.0 / 3.0,
                "a/x failed 1 of 3 runs: 33.3 % (95 %: 6.1 to 79.2 %)",
            ),
            (
                1,
                10,
                0.1,
                "a/x failed 1 of 10 runs: 10.0 % (95 %: 1.8 to 40.4 %)",
            ),
            (
                5,
                5,
                1.0,
                "a/x failed 5 of 5 runs: 100.0 % (95 %: 56.6 to 100.0 %)",
            ),
        ] {
            assert!((of(failures, runs).rate() - rate).abs() < 1e-12);
            assert_eq!(of(failures, runs).text(), text);
        }
    }

    #[test]
    fn only_what_ran_several_times_is_counted() {
        let outcomes = [
            outcome("a/once", Fail, 1),
            outcome("a/often", Pass, 1),
            outcome("a/often", Xfail, 1),
            outcome("a/often", Skip, 1),
            outcome("a/some", Pass, 1),
            outcome("a/some", Crash, 1),
            outcome("a/some", Fail, 1),
            outcome("a/cut", Pass, 1),
            outcome("a/cut", NotRun, 0),
        ];
        let mut outcomes = outcomes.to_vec();
        outcomes.extend([Pass, Fail].map(|verdict| {
            let mut on_four = outcome("a/some", verdict, 1);
            on_four.cpus = 4;
            on_four
        }));
        let all = flaky(&outcomes);
        let got: Vec<(&str, usize, usize)> = all
            .iter()
            .map(|one| (one.name.as_str(), one.runs, one.failures))
            .collect();
        assert_eq!(
            got,
            [
                ("a/some on 4 CPUs", 2, 1),
                ("a/some", 3, 2),
                ("a/often", 2, 0)
            ]
        );
    }

    #[test]
    fn one_line_for_each_that_failed_and_one_for_the_rest() {
        let named = |name: &str, one: Flaky| Flaky {
            name: name.into(),
            ..one
        };
        let all = [of(1, 20), of(20, 20), named("b/y", of(0, 20)), of(0, 30)];
        insta::assert_snapshot!(lines(&all).join("\n"));
        assert!(lines(&[]).is_empty());
    }
}

//! Statistics of a test that fails only in some runs of a bad kernel.

/// What the runs on the bad endpoint show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureRate {
    /// The number of runs that failed with the signature.
    pub failed: u32,
    /// The number of all runs.
    pub runs: u32,
}

/// How sure an answer has to be, and how many runs measure the failure rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// The number of runs on the bad endpoint.
    pub estimate_runs: u32,
    /// The accepted probability of a wrong answer.
    pub risk: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            estimate_runs: 20,
            risk: 0.05,
        }
    }
}

impl FailureRate {
    /// Returns the share of the runs that failed, from 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.failed) / f64::from(self.runs.max(1))
    }

    /// Returns whether every run failed.
    pub fn always(self) -> bool {
        self.failed == self.runs
    }

    /// Returns how many passes make a kernel good, if up to `kernels` kernels
    /// are tested and at most `risk` of the answers may be wrong: each of the
    /// kernels may pass that often by chance.
    pub fn passes_needed(self, kernels: u32, risk: f64) -> u32 {
        let share = self.share();
        if share >= 1.0 || share <= 0.0 {
            return 1;
        }
        let passes = (risk / f64::from(kernels.max(1))).ln() / (1.0 - share).ln();
        // At least one, and the largest value is a limit of the arithmetic only.
        passes.ceil().clamp(1.0, 1e6) as u32
    }

    /// Returns the probability that the answer is right, after `passes` passes
    /// of the last good kernel, some of them fresh ones after the search.
    ///
    /// The rate is estimated by Laplace's rule: 20 failures of 20 runs do not
    /// show that a run never passes.
    pub fn confidence(self, kernels: u32, passes: u32) -> f64 {
        let passing = f64::from(self.runs - self.failed + 1) / f64::from(self.runs + 2);
        let wrong = f64::from(kernels.max(1)) * passing.powf(f64::from(passes));
        (1.0 - wrong).clamp(0.0, 1.0)
    }
}

/// Returns ceil(log base `width` + 1 of `suspects`): the rounds that a search
/// without skips takes if `width` kernels are tested in each round.
pub fn rounds(suspects: usize, width: usize) -> u32 {
    let (mut rounds, mut reached) = (0, 1_usize);
    while reached < suspects {
        reached = reached.saturating_mul(width.max(1) + 1);
        rounds += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_that_make_a_kernel_good() {
        for (failed, runs, kernels, want) in [
            (20, 20, 8, 1),
            (0, 20, 8, 1),
            // ln(0.05 / 8) / ln(0.5) = 7.3
            (10, 20, 8, 8),
            // ln(0.05 / 8) / ln(0.95) = 98.9
            (1, 20, 8, 99),
            (19, 20, 8, 2),
            (10, 20, 0, 5),
        ] {
            let rate = FailureRate { failed, runs };
            assert_eq!(
                rate.passes_needed(kernels, 0.05),
                want,
                "{failed} of {runs}"
            );
        }
    }

    #[test]
    fn rounds_of_a_search() {
        for (suspects, width, want) in [
            (0, 1, 0),
            (1, 1, 0),
            (2, 1, 1),
            (200, 1, 8),
            (256, 1, 8),
            (257, 1, 9),
            (200, 2, 5),
            (243, 2, 5),
            (244, 2, 6),
            (5, 0, 3),
        ] {
            assert_eq!(rounds(suspects, width), want, "{suspects} by {width}");
        }
    }

    #[test]
    fn more_passes_are_more_certain() {
        let rate = FailureRate {
            failed: 10,
            runs: 20,
        };
        assert!(rate.confidence(8, 16) > rate.confidence(8, 8));
        assert!(rate.confidence(8, 8) > 0.9);
        assert_eq!(rate.confidence(8, 0), 0.0);
        let always = FailureRate {
            failed: 20,
            runs: 20,
        };
        assert!(always.confidence(8, 2) > 0.98);
        assert!(always.confidence(8, 2) < 1.0);
    }
}

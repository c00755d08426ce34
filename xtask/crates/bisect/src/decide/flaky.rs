//! Statistics of a test that fails only in some runs of a bad kernel.

/// The most passes that make a kernel good.
pub const MOST_PASSES: u32 = 1_000_000;

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

    /// Returns the probability that a bad kernel passes `passes` runs in a row.
    ///
    /// The rate itself is not known: after `failed` failures of `runs` runs it has
    /// the distribution Beta(failed + 1, runs - failed + 1), if each rate was
    /// equally likely before. This is the mean over it, B(a, b + passes) / B(a, b).
    fn passing(self, passes: u32) -> f64 {
        let b = f64::from(self.runs.saturating_sub(self.failed) + 1);
        (0..=self.failed).map(f64::from).fold(1.0, |product, i| {
            product * (b + i) / (b + f64::from(passes) + i)
        })
    }

    /// Returns how many passes make a kernel good, if up to `kernels` kernels
    /// are tested and at most `risk` of the answers may be wrong: each of the
    /// kernels may pass that often by chance.
    ///
    /// It is so many that hardly a kernel does at the measured rate, and so many
    /// that the answer holds at the rates that the measurement leaves possible. For
    /// the latter the passes count twice: the last good kernel passes again
    /// before there is an answer.
    pub fn passes_needed(self, kernels: u32, risk: f64) -> u32 {
        let kernels = f64::from(kernels.max(1));
        let share = self.share();
        if share <= 0.0 {
            return 1;
        }
        let measured = match share < 1.0 {
            true => (risk / kernels).ln() / (1.0 - share).ln(),
            false => 1.0,
        };
        // The limit is one of the arithmetic only.
        let mut low = measured.ceil().clamp(1.0, f64::from(MOST_PASSES)) as u32;
        let is_enough = |passes: u32| kernels * self.passing(2 * passes) <= risk;
        let mut high = low;
        while high < MOST_PASSES && !is_enough(high) {
            low = high + 1;
            high = (2 * high).min(MOST_PASSES);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match is_enough(middle) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        high
    }

    /// Returns the probability that the answer is right, after `passes` passes
    /// of the last good kernel, some of them fresh ones after the search.
    pub fn confidence(self, kernels: u32, passes: u32) -> f64 {
        let wrong = f64::from(kernels.max(1)) * self.passing(passes);
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
            // One failure of 20 runs may be a rate of 2 %: the measured rate
            // would need ln(0.05 / 8) / ln(0.95) = 98.9.
            (1, 20, 8, 120),
            (19, 20, 8, 2),
            // One run says little.
            (1, 1, 8, 9),
            (20, 20, 16, 2),
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
        assert!(always.confidence(8, 2) > 0.96);
        assert!(always.confidence(8, 2) < 1.0);
    }
}

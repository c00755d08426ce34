//! From runs to figures. Pure.

use super::notes::{Driver, Run};

/// A second, if a tick of the guest's counter is a nanosecond: it is where
/// instructions are counted.
const SECOND: f64 = 1e9;

impl Run {
    /// Ticks of driver and stack for a frame; none if no frame came.
    pub fn cost(&self) -> Option<f64> {
        let frames = self.others + self.own;
        (frames > 0).then(|| self.receiving as f64 / frames as f64)
    }

    /// Frames that a CPU with nothing else to do brings to the stack in 10^9
    /// ticks.
    pub fn capacity(&self) -> Option<f64> {
        self.cost().map(|ticks| SECOND / ticks)
    }

    /// Frames of the three other queues at the stack in 10^9 ticks, under a
    /// load that goes on as fast as the machine takes it.
    pub fn rate(&self) -> f64 {
        self.others as f64 * SECOND / (self.offering + self.receiving).max(1) as f64
    }

    /// Of the frames of the three other queues, the part that came to the
    /// stack.
    pub fn share(&self) -> f64 {
        self.others as f64 / self.offered.max(1) as f64
    }
}

/// The sizes of frames, the smallest first.
pub fn sizes(runs: &[Run]) -> Vec<u64> {
    let mut sizes: Vec<u64> = runs.iter().map(|run| run.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The run of a driver with frames of a size.
pub fn find(runs: &[Run], driver: Driver, size: u64, stalled: bool) -> Option<&Run> {
    let is_it = |run: &&Run| (run.driver, run.size, run.stalled) == (driver, size, stalled);
    runs.iter().find(is_it)
}

/// What of a driver's rate is left when a ring is stalled, at each size.
pub fn left(runs: &[Run], driver: Driver, quantity: fn(&Run) -> f64) -> Vec<f64> {
    let at = |size| {
        let [with, without] = [true, false].map(|stalled| find(runs, driver, size, stalled));
        Some(quantity(with?) / quantity(without?))
    };
    sizes(runs).into_iter().filter_map(at).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Frames of two sizes: the series drops what is for the stalled ring, the
    /// others stop at the first such frame.
    pub fn sample() -> Vec<Run> {
        let mut runs = Vec::new();
        for driver in Driver::ALL {
            for size in [64, 1518] {
                for stalled in [false, true] {
                    let stops = stalled && driver != Driver::Series;
                    let others = if stops { 3 } else { 6144 };
                    let own = if stalled { 0 } else { 2048 };
                    let patched = u64::from(driver != Driver::Tree) * 8;
                    runs.push(Run {
                        driver,
                        size,
                        stalled,
                        offered: 6144,
                        others,
                        own,
                        astray: 0,
                        offering: 8192 * 20_000,
                        receiving: (others + own) * (16_000 + size + patched),
                    });
                }
            }
        }
        runs
    }

    #[test]
    fn runs_are_found() {
        let runs = sample();
        assert_eq!(sizes(&runs), [64, 1518]);
        let found = find(&runs, Driver::Tree, 1518, true);
        assert_eq!(found.map(|run| run.others), Some(3));
        assert_eq!(find(&runs, Driver::Tree, 512, true), None);
    }

    #[test]
    fn figures_of_a_run() {
        let run = Run {
            driver: Driver::Series,
            size: 64,
            stalled: false,
            offered: 300,
            others: 150,
            own: 50,
            astray: 0,
            offering: 1_000_000,
            receiving: 2_000_000,
        };
        assert_eq!(run.cost(), Some(10_000.0));
        assert_eq!(run.capacity(), Some(100_000.0));
        assert_eq!(run.rate(), 50_000.0);
        assert_eq!(run.share(), 0.5);
        let nothing = Run {
            offered: 0,
            others: 0,
            own: 0,
            offering: 0,
            receiving: 0,
            ..run
        };
        assert_eq!((nothing.cost(), nothing.capacity()), (None, None));
        assert_eq!((nothing.rate(), nothing.share()), (0.0, 0.0));
    }

    #[test]
    fn what_is_left_of_a_rate() {
        let runs = sample();
        assert_eq!(left(&runs, Driver::Series, Run::share), [1.0, 1.0]);
        let tree = left(&runs, Driver::Tree, Run::rate);
        assert!(tree.iter().all(|left| *left < 0.001), "{tree:?}");
        assert!(left(&runs[..1], Driver::Series, Run::share).is_empty());
    }
}

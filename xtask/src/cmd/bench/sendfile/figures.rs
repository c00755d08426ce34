//! From measurements to figures and ratios. Pure.

use super::notes::{Case, Method, Run};
use crate::cmd::bench::ratio;

/// Something that one measurement says.
pub type Quantity = fn(&Run) -> f64;

/// Bytes a second.
pub fn throughput(run: &Run) -> f64 {
    run.bytes as f64 * 1e9 / run.ns.max(1) as f64
}

/// Processor time of the whole machine for a byte, ns.
pub fn cpu(run: &Run) -> f64 {
    ratio(run.ns.saturating_sub(run.idle), run.bytes)
}

/// Processor time of the workers for a byte, ns.
pub fn worker_cpu(run: &Run) -> f64 {
    ratio(run.workers, run.bytes)
}

/// The workers' calls for a MiB, kevent(2) included.
pub fn calls(run: &Run) -> f64 {
    (run.sends + run.waits) as f64 * f64::from(1 << 20) / run.bytes.max(1) as f64
}

/// Until a buffer can be used again, the median, ms.
pub fn p50(run: &Run) -> f64 {
    run.p50 as f64 / 1e6
}

/// The same, 99th percentile.
pub fn p99(run: &Run) -> f64 {
    run.p99 as f64 / 1e6
}

impl Case {
    /// The median of all rounds.
    pub fn median(&self, method: Method, quantity: Quantity) -> f64 {
        middle(self.values(method, quantity).collect())
    }

    /// The median of what two methods' ratio was in each round.
    pub fn ratio(&self, quantity: Quantity, top: Method, bottom: Method) -> f64 {
        let (tops, bottoms) = (self.values(top, quantity), self.values(bottom, quantity));
        middle(
            tops.zip(bottoms)
                .map(|(top, bottom)| top / bottom)
                .collect(),
        )
    }

    fn values(&self, method: Method, quantity: Quantity) -> impl Iterator<Item = f64> {
        self.runs
            .iter()
            .filter(move |run| run.method == method)
            .map(quantity)
    }
}

/// The one in the middle; of two, the upper one.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
pub mod tests {
    use super::super::notes::{Pace, Setup};
    use super::*;

    /// Rounds of `(SF_KQUEUE, SF_SYNC, write(2))`: bytes in a second that was
    /// half idle.
    pub fn sample(name: &str, setup: Setup, rounds: &[[u64; 3]]) -> Case {
        let runs = rounds.iter().flat_map(|round| {
            Method::ALL
                .into_iter()
                .zip(round)
                .map(|(method, bytes)| Run {
                    method,
                    bytes: *bytes,
                    ns: 1_000_000_000,
                    idle: 500_000_000,
                    workers: 100_000_000,
                    sends: 10,
                    waits: 5,
                    buffers: 8,
                    p50: 2_000_000,
                    p99: 9_000_000,
                })
        });
        Case {
            name: name.into(),
            setup,
            runs: runs.collect(),
        }
    }

    /// 64 sockets on a worker.
    pub fn setup(pace: Pace, chunk: u64) -> Setup {
        Setup {
            pace,
            sockets: 64,
            chunk,
            workers: 1,
            segment: "own".into(),
            locked: false,
        }
    }

    #[test]
    fn ratios_are_of_rounds_not_of_medians() {
        let rounds = [[100, 10, 50], [900, 100, 50], [500, 20, 50]];
        let case = sample("a/b", setup(Pace::Free, 4096), &rounds);
        assert_eq!(case.median(Method::Kqueue, throughput), 500.0);
        assert_eq!(case.ratio(throughput, Method::Kqueue, Method::Sync), 10.0);
        assert_eq!(case.ratio(cpu, Method::Kqueue, Method::Sync), 0.1);
        assert_eq!(case.median(Method::Write, cpu), 1e7);
        assert!(middle(Vec::new()).is_nan());
    }
}

//! The time of a machine, which all of a session's limits are in. It passes only
//! while the host runs the machine: on a loaded host a guest gets a share of
//! the processors, and is not at fault for what it could not do meanwhile.
//!
//! The host says how long each thread of the machine has been ready to run and
//! had to wait. A guest that is idle, for example in a deadlock, does not wait
//! for the host, so its time passes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kdk_harness::CALIBRATION_REFERENCE_US as REFERENCE_US;

/// How long the threads of a machine have waited for a processor of the host
/// since they exist, by the thread.
pub type Waits = BTreeMap<u64, Duration>;

/// The longest time before the last sample that a wait can reach back.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The time of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The machine's time.
    now: Duration,
    /// The host's time, both since the machine's start.
    host: Duration,
    /// The waits at that time.
    waits: Waits,
    /// The part of the host's time that does not count.
    waited: Duration,
    /// The host's time and the part of it that did not count then, at the
    /// samples of the last [`LONGEST_WAIT`].
    earlier: VecDeque<(Duration, Duration)>,
}

impl Pace {
    /// Takes a sample at the host's time `host`. Of the time since the last
    /// one, what the most hindered thread had to wait does not count: the test
    /// may depend on that thread.
    ///
    /// The host reports a wait when it ends, so that it may have begun before
    /// the last sample. The machine's time does not go back; what it has counted
    /// of such a wait, it leaves out afterwards.
    pub fn sample(&mut self, host: Duration, waits: Waits) {
        let host = host.max(self.host);
        let passed = host - self.host;
        let waited = |(thread, waited): (&u64, &Duration)| {
            let before = self.waits.get(thread).copied().unwrap_or_default();
            waited.saturating_sub(before)
        };
        let wait = waits.iter().map(waited).max().unwrap_or_default();
        self.earlier.retain(|(at, _)| *at + LONGEST_WAIT >= host);
        self.earlier.push_back((self.host, self.waited));
        // From its begin to the last sample nothing counts, but what another
        // wait has taken out already is not taken out again.
        let began = self.host.saturating_sub(wait.saturating_sub(passed));
        let until_last = |(at, waited): &(Duration, Duration)| *waited + self.host - began.max(*at);
        let until_last = self.earlier.iter().map(until_last).max();
        self.waited = until_last.unwrap_or_default() + wait.min(passed);
        self.now = self.now.max(host.saturating_sub(self.waited));
        self.host = host;
        self.waits = waits;
    }

    /// Returns the time of the machine at the last sample.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the time that did not count so far.
    pub fn hindered(&self) -> Duration {
        self.host.saturating_sub(self.now)
    }

    /// Returns whether the last sample is older than `age` at the host's time
    /// `host`.
    pub fn is_older(&self, host: Duration, age: Duration) -> bool {
        host.saturating_sub(self.host) >= age
    }
}

/// How fast a guest runs, from the time that it took for
/// [`kdk_harness::calibrate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    micros: u64,
}

/// The most that a limit grows. What a guest measures includes the time in which
/// the host did not run it, and a hang has to be found.
const SLOWEST: u64 = 8;

impl Default for Speed {
    fn default() -> Self {
        Self {
            micros: REFERENCE_US,
        }
    }
}

impl Speed {
    /// Returns the speed of a guest that took `micros` for the loop.
    pub fn of(micros: u64) -> Self {
        Self { micros }
    }

    /// Returns the limit of a test on this guest, which declares the limit
    /// `own`. A fast guest has the same limit: it may wait for its timers.
    pub fn limit(self, own: Duration) -> Duration {
        let micros = self.micros.clamp(REFERENCE_US, SLOWEST * REFERENCE_US);
        own.saturating_mul(1000)
            .saturating_mul(u32::try_from(micros * 1000 / REFERENCE_US).unwrap_or(u32::MAX))
            / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn waits(list: &[(u64, u64)]) -> Waits {
        list.iter().map(|(thread, at)| (*thread, ms(*at))).collect()
    }

    #[test]
    fn time_passes_only_while_the_host_runs_the_machine() {
        let mut pace = Pace::default();
        for (host, list, now) in [
            // An idle host, or one that does not say.
            (1000, &[][..], 1000),
            (2000, &[(1, 0), (2, 0)], 2000),
            // One thread gets a quarter, the other one sleeps.
            (3000, &[(1, 750), (2, 0)], 2250),
            // Both get a half, at different times.
            (4000, &[(1, 1250), (2, 500)], 2750),
            // A new thread; one that has ended.
            (5000, &[(1, 1250), (3, 400)], 3350),
            // More threads than processors: a thread cannot have waited longer
            // than the time that has passed.
            (6000, &[(1, 9000), (3, 400)], 3350),
            // A hang with nothing to run, on whatever host.
            (66_000, &[(1, 9000), (3, 400)], 63_350),
        ] {
            pace.sample(ms(host), waits(list));
            assert_eq!(pace.now(), ms(now), "{host}");
            assert_eq!(pace.hindered(), ms(host - now), "{host}");
        }
        // The host's clock does not go back.
        pace.sample(ms(60_000), waits(&[(1, 9000)]));
        assert_eq!(pace.now(), ms(63_350));
        assert!(pace.is_older(ms(66_100), ms(100)));
        assert!(!pace.is_older(ms(66_099), ms(100)));
    }

    #[test]
    fn a_wait_that_spans_samples_does_not_count() {
        type Samples<'a> = &'a [(u64, &'a [(u64, u64)], u64)];
        let table: [(&str, Samples<'_>); 5] = [
            (
                "a wait spans three samples",
                &[
                    (5, &[(1, 0)], 5),
                    (10, &[(1, 0)], 10),
                    (15, &[(1, 15)], 10),
                    (20, &[(1, 15)], 10),
                    (25, &[(1, 15)], 10),
                    (30, &[(1, 15)], 15),
                ],
            ),
            (
                "two threads wait at the same time",
                &[
                    (15, &[(1, 0), (2, 0)], 15),
                    (20, &[(1, 20), (2, 0)], 15),
                    (25, &[(1, 20), (2, 25)], 15),
                    (40, &[(1, 20), (2, 25)], 15),
                    (45, &[(1, 20), (2, 25)], 20),
                ],
            ),
            (
                "one waits long, and another one shortly and often",
                &[
                    (5, &[(1, 1), (2, 0)], 4),
                    (10, &[(1, 2), (2, 0)], 8),
                    (15, &[(1, 3), (2, 0)], 12),
                    (20, &[(1, 4), (2, 20)], 12),
                    (40, &[(1, 4), (2, 20)], 20),
                ],
            ),
            (
                "one waits after another one has waited",
                &[
                    (100, &[(1, 50), (2, 0)], 50),
                    (105, &[(1, 50), (2, 0)], 55),
                    (110, &[(1, 50), (2, 0)], 60),
                    (115, &[(1, 50), (2, 15)], 60),
                    (130, &[(1, 50), (2, 15)], 65),
                ],
            ),
            (
                "no wait is longer than the longest",
                &[
                    (5000, &[(1, 0)], 5000),
                    (5500, &[(1, 0)], 5500),
                    (6000, &[(1, 90_000)], 5500),
                    (6500, &[(1, 90_000)], 5500),
                    (7000, &[(1, 90_000)], 6000),
                ],
            ),
        ];
        for (name, samples) in table {
            let mut pace = Pace::default();
            for (host, list, now) in samples {
                pace.sample(ms(*host), waits(list));
                assert_eq!(pace.now(), ms(*now), "{name}, at {host}");
            }
        }
    }

    #[test]
    fn a_slow_guest_has_longer_limits_and_a_fast_one_the_same() {
        let limit = |micros| Speed::of(micros).limit(ms(5000));
        assert_eq!(Speed::default().limit(ms(5000)), ms(5000));
        for (times, want) in [(0, 5000), (1, 5000), (3, 15_000), (1_000_000, 40_000)] {
            assert_eq!(limit(times * REFERENCE_US), ms(want), "{times}");
        }
        assert_eq!(limit(REFERENCE_US / 50), ms(5000));
        assert_eq!(limit(REFERENCE_US * 3 / 2), ms(7500));
        let day = Duration::from_secs(86_400);
        assert_eq!(Speed::of(u64::MAX).limit(day), day * 8);
    }
}

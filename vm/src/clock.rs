//! The clock of all time limits. It does not count time in which this process
//! did not run: the user stopped it, the machine slept, or the host was frozen.
//! What a guest has sent meanwhile waits to be read, and must not be late.

use std::ops::Add;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant as HostInstant};

/// The interval at which a thread notes that this process runs.
const BEAT: Duration = Duration::from_millis(50);

/// The most time that counts between two beats.
const LONGEST_BEAT: Duration = Duration::from_millis(200);

/// The time between two beats from which on the host stood still. Shorter gaps
/// are those of a loaded host, however many there are.
pub const STANDSTILL: Duration = Duration::from_secs(1);

/// A point in time of this clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// Returns the current time.
    pub fn now() -> Self {
        Self(clock().lock().at(HostInstant::now()).running)
    }

    /// Returns the time since this point.
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// Returns the time since `earlier`, or zero if that is later.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

/// Returns how long the host has stood still so far: the sum of all gaps of at
/// least [`STANDSTILL`] in which this process did not run.
pub fn stood_still() -> Duration {
    clock().lock().at(HostInstant::now()).stood_still
}

struct Clock(Mutex<Beat>);

/// The times at the last beat.
#[derive(Clone, Copy, Debug)]
struct Beat {
    host: HostInstant,
    running: Duration,
    stood_still: Duration,
    /// The most time that counts until the next beat.
    longest: Duration,
}

impl Beat {
    fn new(host: HostInstant, longest: Duration) -> Self {
        Self {
            host,
            running: Duration::ZERO,
            stood_still: Duration::ZERO,
            longest,
        }
    }

    /// Returns the beat at a later time.
    fn at(self, host: HostInstant) -> Self {
        let passed = host.saturating_duration_since(self.host);
        let is_standstill = passed >= STANDSTILL && self.longest < STANDSTILL;
        let gap = if is_standstill {
            passed
        } else {
            Duration::ZERO
        };
        Self {
            host: self.host + passed,
            running: self.running + passed.min(self.longest),
            stood_still: self.stood_still + gap,
            ..self
        }
    }
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn clock() -> &'static Clock {
    static CLOCK: OnceLock<Clock> = OnceLock::new();
    CLOCK.get_or_init(|| {
        let beat = || {
            loop {
                thread::sleep(BEAT);
                let mut last = clock().lock();
                *last = last.at(HostInstant::now());
            }
        };
        // Where no more threads may start, all time counts.
        let started = thread::Builder::new().name("clock".into()).spawn(beat);
        let longest = started.map_or(Duration::MAX, |_| LONGEST_BEAT);
        Clock(Mutex::new(Beat::new(HostInstant::now(), longest)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_between_close_beats_counts() {
        let ms = Duration::from_millis;
        let start = HostInstant::now();
        let mut beat = Beat::new(start, LONGEST_BEAT);
        for (at, running, stood_still) in [
            (50, 50, 0),
            (250, 250, 0),
            (15_250, 450, 15_000),
            (15_300, 500, 15_000),
            // A loaded host, which delays the beats.
            (16_299, 700, 15_000),
            (17_298, 900, 15_000),
            (18_298, 1100, 16_000),
        ] {
            beat = beat.at(start + ms(at));
            assert_eq!(
                (beat.running, beat.stood_still),
                (ms(running), ms(stood_still))
            );
        }
        let plain = Beat::new(start, Duration::MAX).at(start + ms(15_250));
        assert_eq!((plain.running, plain.stood_still), (ms(15_250), ms(0)));
    }

    #[test]
    fn time_only_passes_and_not_faster_than_the_hosts() {
        let hosts = HostInstant::now();
        let first = Instant::now();
        let mut last = first;
        for _ in 0..1000 {
            let now = Instant::now();
            assert!(now >= last);
            last = now;
        }
        assert!(last.saturating_duration_since(first) <= hosts.elapsed());
        assert!(first + Duration::MAX > last);
    }
}

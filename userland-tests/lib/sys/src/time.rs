//! Clocks and deadlines.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{call, number};
use core::time::Duration;

const CLOCK_REALTIME: usize = 0;
const CLOCK_MONOTONIC: usize = 4;

/// Seconds and nanoseconds, a `timespec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeSpec {
    seconds: i64,
    nanoseconds: i64,
}

impl TimeSpec {
    pub(crate) const fn from_ms(ms: u64) -> Self {
        Self {
            seconds: (ms / 1000) as i64,
            nanoseconds: (ms % 1000 * 1_000_000) as i64,
        }
    }
}

/// Milliseconds since the machine started.
#[must_use]
pub fn now_ms() -> u64 {
    let now = read(CLOCK_MONOTONIC);
    now.seconds as u64 * 1000 + now.nanoseconds as u64 / 1_000_000
}

/// Nanoseconds since the machine started.
#[must_use]
pub fn now_ns() -> u64 {
    let now = read(CLOCK_MONOTONIC);
    now.seconds as u64 * 1_000_000_000 + now.nanoseconds as u64
}

/// The processor's time stamp counter, whose frequency is the kernel's to
/// know.
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: every amd64 processor has it, and FreeBSD lets programs read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The time of day, since 1970 (UTC).
#[must_use]
pub fn today() -> Duration {
    let now = read(CLOCK_REALTIME);
    Duration::new(now.seconds as u64, now.nanoseconds as u32)
}

/// Sets the time of day, since 1970 (UTC).
///
/// # Errors
/// `EPERM`: only root may; `EINVAL`: no time of day.
pub fn set_today(now: Duration) -> Result<()> {
    let time = TimeSpec {
        seconds: now.as_secs() as i64,
        nanoseconds: now.subsec_nanos().into(),
    };
    let arguments = [CLOCK_REALTIME, &raw const time as usize];
    // SAFETY: the kernel reads one timespec.
    unsafe { call(number::CLOCK_SETTIME, &arguments) }.map(drop)
}

fn read(clock: usize) -> TimeSpec {
    let mut now = TimeSpec::from_ms(0);
    // SAFETY: the kernel writes one timespec. It cannot fail: both clocks
    // exist on every base.
    let _ = unsafe { call(number::CLOCK_GETTIME, &[clock, &raw mut now as usize]) };
    now
}

/// Does nothing for `ms` milliseconds. Not a way to wait for something.
pub fn sleep_ms(ms: u64) {
    let time = TimeSpec::from_ms(ms);
    // SAFETY: the kernel reads one timespec. An early end does no harm.
    let _ = unsafe { call(number::NANOSLEEP, &[&raw const time as usize, 0]) };
}

/// A point in time that something has to happen before.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<u64>);

impl Deadline {
    /// There is time for ever.
    pub const NEVER: Self = Self(None);

    /// `ms` milliseconds from now.
    #[must_use]
    pub fn after_ms(ms: u64) -> Self {
        Self(Some(now_ms().saturating_add(ms)))
    }

    /// Milliseconds left, none for ever; 0 when it has passed.
    #[must_use]
    pub fn left_ms(self) -> Option<u64> {
        self.0.map(|at| at.saturating_sub(now_ms()))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.left_ms() == Some(0)
    }
}

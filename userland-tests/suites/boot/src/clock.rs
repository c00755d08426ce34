//! The kernel's clock, and its first measurement of time.

use kdk_sys::suite::must;
use kdk_sys::{sysctl, time};

/// Long enough for the resolution of every clock not to matter.
const NAP_MS: u64 = 50;

/// How far off the first measurement may be. A busy host holds a machine up
/// for a while; a DELAY() that does not wait, or that counts something else
/// than time, is further off.
const FACTOR: u64 = 8;

/// Fails unless nanosleep(2), the clock, the time stamp counter and
/// `hw.clockrate` agree.
///
/// `hw.clockrate` is the frequency of that counter in MHz, as the kernel knew
/// it first: from DELAY(100000), if neither the processor nor the hypervisor reports it
/// (`tsc_freq_tc()` in `sys/x86/x86/tsc.c`, `printcpuinfo()` in `identcpu.c`).
/// What is measured later, by better clocks, goes to `machdep.tsc_freq` alone.
pub fn check() {
    let rate = must("hw.clockrate", sysctl::integer("hw.clockrate"));
    let before = Moment::now();
    time::sleep_ms(NAP_MS);
    let after = Moment::now();
    let (Some(least), Some(most), Some(ticks)) = (
        after.earliest.checked_sub(before.latest),
        after.latest.checked_sub(before.earliest),
        after.ticks.checked_sub(before.ticks),
    ) else {
        panic!("a clock went back: {before:?}, then {after:?}");
    };
    assert!(
        least >= NAP_MS * 1_000_000,
        "nanosleep of {NAP_MS} ms was over after {least} ns"
    );
    // The program may have been interrupted between any two readings, for however
    // long; the true frequency still lies between these two.
    let (slowest, fastest) = (ticks * 1000 / most, ticks * 1000 / least);
    let rate = u64::try_from(rate).unwrap_or_default();
    assert!(
        slowest <= rate * FACTOR && rate <= fastest * FACTOR,
        "hw.clockrate is {rate} MHz; the counter makes {slowest} to {fastest} MHz by the clock"
    );
}

/// A reading of the time stamp counter, and what the clock said around it,
/// nanoseconds.
#[derive(Debug)]
struct Moment {
    earliest: u64,
    ticks: u64,
    latest: u64,
}

impl Moment {
    fn now() -> Self {
        Self {
            earliest: time::now_ns(),
            ticks: time::ticks(),
            latest: time::now_ns(),
        }
    }
}

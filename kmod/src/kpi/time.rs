//! Time and waiting.

use super::bindings;
use core::time::Duration;

/// Time since boot.
#[must_use]
pub fn uptime() -> Duration {
    // SAFETY: reads the time; callable from anywhere.
    let sbt = unsafe { bindings::kdk_sbinuptime() }.cast_unsigned();
    let fraction = u128::from(sbt & 0xffff_ffff) * 1_000_000_000;
    Duration::new(sbt >> 32, u32::try_from(fraction >> 32).unwrap_or(0))
}

/// Sleeps at least this long.
pub fn sleep(time: Duration) {
    // SAFETY: the name is a C string that outlives the sleep. The result only
    // says that the time passed.
    unsafe { bindings::kdk_pause(c"kdksleep".as_ptr(), sbt(time)) };
}

/// Lets other threads of the same priority run.
pub fn yield_now() {
    // SAFETY: callable wherever sleeping is.
    unsafe { bindings::kdk_yield() }
}

/// A `sbintime_t`: 32.32 fixed point seconds. At least the smallest one, since
/// 0 means "for ever" to the functions that take it.
pub(super) fn sbt(time: Duration) -> i64 {
    let seconds = i64::try_from(time.as_secs())
        .unwrap_or(i64::MAX)
        .min(i64::from(i32::MAX));
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction.cast_signed()).max(1)
}

//! Time and sleeping.

use super::bindings;
use core::time::Duration;

/// Returns the time since boot.
#[must_use]
pub fn uptime() -> Duration {
    // SAFETY: reads the time; callable in any context.
    let sbt = unsafe { bindings::kdk_sbinuptime() }.cast_unsigned();
    let fraction = u128::from(sbt & 0xffff_ffff) * 1_000_000_000;
    Duration::new(sbt >> 32, u32::try_from(fraction >> 32).unwrap_or(0))
}

/// Sleeps for at least this time.
pub fn sleep(time: Duration) {
    // SAFETY: the name is a C string that outlives the sleep. The result is
    // always that the time has passed.
    unsafe { bindings::kdk_pause(c"kdksleep".as_ptr(), sbt(time)) };
}

/// Yields to other threads of the same priority, see kern_yield(9).
pub fn yield_now() {
    // SAFETY: callable by any thread that can sleep.
    unsafe { bindings::kdk_yield() }
}

/// Waits until each CPU has been idle: everything that could run has run. On a
/// slow host that takes longer, and means the same.
pub fn wait_until_idle() {
    // SAFETY: callable by any thread that can sleep.
    unsafe { bindings::kdk_wait_until_idle() };
}

/// Converts to a `sbintime_t`: seconds in 32.32 fixed point. It is at least 1,
/// since 0 means no limit to the functions that take it.
pub(super) fn sbt(time: Duration) -> i64 {
    let seconds = i64::try_from(time.as_secs())
        .unwrap_or(i64::MAX)
        .min(i64::from(i32::MAX));
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction.cast_signed()).max(1)
}

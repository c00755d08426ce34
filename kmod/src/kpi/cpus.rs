//! The machine's CPUs.

use super::bindings;

/// The machine's CPUs below 64, a bit each.
#[must_use]
pub fn cpus() -> u64 {
    // SAFETY: reads what does not change.
    unsafe { bindings::kdk_machine_cpus() }
}

/// Runs `f` in a critical section (critical(9)): no other thread runs on this
/// CPU meanwhile. `f` may neither sleep nor allocate, nor panic.
#[cfg(ixgbe)]
pub fn uninterrupted<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: callable from anywhere; ended below, on the same thread.
    unsafe { bindings::kdk_critical_enter() };
    let result = f();
    // SAFETY: begun above.
    unsafe { bindings::kdk_critical_exit() };
    result
}

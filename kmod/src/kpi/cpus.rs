//! The machine's CPUs.

use super::bindings;

/// Returns a mask of the machine's CPUs below 64.
#[must_use]
pub fn cpus() -> u64 {
    // SAFETY: reads constants.
    unsafe { bindings::kdk_machine_cpus() }
}

/// Runs `f` in a critical section (critical_enter(9)): no other thread runs on
/// this CPU meanwhile. `f` must not sleep, allocate or panic.
#[cfg(ixgbe)]
pub fn uninterrupted<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: callable in any context; the same thread leaves it below.
    unsafe { bindings::kdk_critical_enter() };
    let result = f();
    // SAFETY: entered above.
    unsafe { bindings::kdk_critical_exit() };
    result
}

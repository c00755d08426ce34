//! The machine's CPUs.

use super::bindings;

/// The machine's CPUs below 64, a bit each.
#[must_use]
pub fn cpus() -> u64 {
    // SAFETY: reads what does not change.
    unsafe { bindings::kdk_machine_cpus() }
}

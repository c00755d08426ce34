//! Ways to die, for the tests of the runner.

use super::bindings;

/// panic(9).
pub fn panic() -> ! {
    // SAFETY: a C string.
    unsafe { bindings::panic(c"kdk: asked for by a test".as_ptr()) }
}

/// Turns interrupts off and never comes back.
pub fn hang() -> ! {
    // SAFETY: that is the point.
    unsafe { bindings::kdk_hang() }
}

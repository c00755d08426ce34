//! The linker set `set_kdk_tests`, which `kdk_test!` fills.

use kdk_harness::Test;

unsafe extern "C" {
    /// The set's bounds; the kernel's linker makes these two up.
    static __start_set_kdk_tests: u8;
    static __stop_set_kdk_tests: u8;
}

/// Every registered test.
#[must_use]
pub fn tests() -> &'static [&'static Test] {
    let (start, stop) = (
        &raw const __start_set_kdk_tests,
        &raw const __stop_set_kdk_tests,
    );
    let bytes = stop.addr() - start.addr();
    // SAFETY: between the bounds are the pointers `kdk_test!` put there, and
    // nothing else.
    unsafe { core::slice::from_raw_parts(start.cast::<&Test>(), bytes / size_of::<&Test>()) }
}

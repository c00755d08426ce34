//! The linker set `set_kdk_tests`, which `kdk_test!` fills.

use kdk_harness::Test;

unsafe extern "C" {
    /// The bounds of the set, which the kernel's linker defines.
    static __start_set_kdk_tests: u8;
    static __stop_set_kdk_tests: u8;
}

/// Returns every registered test.
#[must_use]
pub fn tests() -> &'static [&'static Test] {
    let (start, stop) = (
        &raw const __start_set_kdk_tests,
        &raw const __stop_set_kdk_tests,
    );
    let bytes = stop.addr() - start.addr();
    // SAFETY: the set consists of the pointers of `kdk_test!`.
    unsafe { core::slice::from_raw_parts(start.cast::<&Test>(), bytes / size_of::<&Test>()) }
}

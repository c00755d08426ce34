//! Finds the linker set of the tests.

use core::slice;
use kdk_harness::Test;

unsafe extern "C" {
    static __start_set_kdk_tests: u8;
    static __stop_set_kdk_tests: u8;
}

/// Returns every test that was registered with `kdk_test!`.
pub fn registered_tests() -> &'static [&'static Test] {
    let start = &raw const __start_set_kdk_tests;
    let stop = &raw const __stop_set_kdk_tests;
    let count = (stop.addr() - start.addr()) / size_of::<&Test>();
    // SAFETY: the linker script puts these symbols around the section, aligned
    // for pointers; it holds only those that the macro put there.
    unsafe { slice::from_raw_parts(start.cast(), count) }
}

//! Messages on the console and in the kernel message buffer.

use super::bindings;
use core::fmt::Arguments;
use kdk_harness::Text;

/// Prints one line with the prefix `kdk: `.
pub fn say(what: Arguments<'_>) {
    let line = Text::<256>::of(what);
    let line = line.as_str();
    let len = core::ffi::c_int::try_from(line.len()).unwrap_or(0);
    // SAFETY: "%.*s" reads `len` bytes at the pointer, which are there.
    unsafe { bindings::printf(c"kdk: %.*s\n".as_ptr(), len, line.as_ptr()) };
}

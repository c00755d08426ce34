//! The random seed of the run.

use super::bindings;
use core::ffi::{CStr, c_int};

const VARIABLE: &CStr = c"kdk.seed";

/// Returns the seed of this run, which the host sets as a kernel variable of 16
/// hexadecimal digits.
#[must_use]
pub fn seed() -> Option<u64> {
    let mut text = [0_u8; 32];
    let size = c_int::try_from(text.len()).ok()?;
    // SAFETY: the name is a C string; at most `size` bytes are written.
    let found =
        unsafe { bindings::getenv_string(VARIABLE.as_ptr(), text.as_mut_ptr().cast(), size) != 0 };
    let digits = CStr::from_bytes_until_nul(&text).ok()?.to_str().ok()?;
    u64::from_str_radix(digits, 16).ok().filter(|_| found)
}

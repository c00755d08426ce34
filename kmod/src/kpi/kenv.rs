//! Tunables: variables of the kernel environment, see kenv(1).

use super::bindings;
use super::errno::Errno;
use alloc::ffi::CString;

/// A variable that is set until this is dropped.
#[derive(Debug)]
pub struct Tunable(CString);

impl Tunable {
    /// Sets a variable. May sleep.
    ///
    /// # Errors
    /// Returns `EINVAL` for a zero byte in the name or value, and `EBUSY` if the
    /// kernel refuses the change.
    pub fn set(name: &str, value: &str) -> Result<Self, Errno> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let value = CString::new(value).map_err(|_| Errno::EINVAL)?;
        // SAFETY: both are C strings, which are copied.
        match unsafe { bindings::kdk_setenv(name.as_ptr(), value.as_ptr()) } {
            0 => Ok(Self(name)),
            _ => Err(Errno::EBUSY),
        }
    }
}

impl Drop for Tunable {
    fn drop(&mut self) {
        // SAFETY: the name is a C string. An unset variable is no problem.
        let _ = unsafe { bindings::kdk_setenv(self.0.as_ptr(), core::ptr::null()) };
    }
}

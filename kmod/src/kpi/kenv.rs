//! The kernel's environment, where its tunables are.

use super::bindings;
use super::errno::Errno;
use alloc::ffi::CString;

/// A variable that is set while this lives.
#[derive(Debug)]
pub struct Tunable(CString);

impl Tunable {
    /// Sets a variable; may sleep.
    ///
    /// # Errors
    /// `EINVAL` for a zero byte in either; `EBUSY` or what else the kernel
    /// says, when its environment cannot be changed.
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
        // SAFETY: a C string. That it is not set any more is as well.
        let _ = unsafe { bindings::kdk_setenv(self.0.as_ptr(), core::ptr::null()) };
    }
}

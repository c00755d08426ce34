//! Variables of sysctl(3).

use super::bindings;
use super::errno::Errno;
use alloc::ffi::CString;
use core::ffi::c_void;

/// Reads an integer of 4 or 8 bytes, as unsigned.
///
/// # Errors
/// Returns `EINVAL` for a zero byte in the name, or the kernel's error:
/// `ENOENT` for an unknown name and `ENOMEM` for a longer value.
#[cfg(ixgbe)]
pub fn read(name: &str) -> Result<u64, Errno> {
    let mut bytes = [0_u8; 8];
    call(name, &mut bytes, &[])?;
    // A shorter value is followed by zeros: amd64 is little-endian.
    Ok(u64::from_le_bytes(bytes))
}

/// Writes an `int` as root.
///
/// # Errors
/// Returns the errors of [`read`], or that of the variable's handler.
pub fn write(name: &str, value: i32) -> Result<(), Errno> {
    call(name, &mut [], &value.to_le_bytes())
}

/// Writes a string as root.
///
/// # Errors
/// Returns the errors of [`write`].
pub fn write_text(name: &str, value: &str) -> Result<(), Errno> {
    call(name, &mut [], value.as_bytes())
}

fn call(name: &str, old: &mut [u8], new: &[u8]) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let mut room = old.len();
    let at = |empty: bool, address: *mut c_void| {
        if empty {
            core::ptr::null_mut()
        } else {
            address
        }
    };
    let old = at(old.is_empty(), old.as_mut_ptr().cast());
    // The kernel only reads it.
    let value = at(new.is_empty(), new.as_ptr().cast_mut().cast());
    // SAFETY: the name is a C string; at most `room` bytes are written to
    // `old` and `new.len()` read from `value`, if they are not null.
    Errno::check(unsafe {
        bindings::kernel_sysctlbyname(
            bindings::kdk_curthread(),
            name.as_ptr().cast_mut(),
            old,
            &raw mut room,
            value,
            new.len(),
            core::ptr::null_mut(),
            0,
        )
    })
}

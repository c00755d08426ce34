//! Variables of sysctl(9).

use super::bindings;
use super::errno::Errno;
use alloc::ffi::CString;
use core::ffi::c_void;

/// Reads an integer of 4 or 8 bytes, as an unsigned one.
///
/// # Errors
/// `EINVAL` for a zero byte in the name; else what the kernel says, `ENOENT`
/// for a name it does not know and `ENOMEM` for what is longer.
pub fn read(name: &str) -> Result<u64, Errno> {
    let mut bytes = [0_u8; 8];
    call(name, &mut bytes, &[])?;
    // What is shorter has zeros behind it: amd64 is little-endian.
    Ok(u64::from_le_bytes(bytes))
}

/// Writes an `int`, as root would.
///
/// # Errors
/// As for [`read`], and what the variable's handler says.
pub fn write(name: &str, value: i32) -> Result<(), Errno> {
    call(name, &mut [], &value.to_le_bytes())
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
    // It is only read.
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

//! sysctl(3) by name.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::raw::{call, number};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI64, Ordering};

/// `CTL_SYSCTL`, `CTL_SYSCTL_NAME2OID`.
const NAME_TO_OID: [i32; 2] = [0, 3];
/// `CTL_MAXNAME`.
const LONGEST_OID: usize = 24;

/// The value's bytes.
///
/// # Errors
/// `ENOENT`: there is no such name; else those of sysctl(3).
pub fn bytes(name: &str) -> Result<Vec<u8>> {
    bytes_of(name, &[])
}

/// The value's bytes, of a node that takes numbers, such as a process's.
///
/// # Errors
/// As [`bytes`].
pub fn bytes_of(name: &str, numbers: &[i32]) -> Result<Vec<u8>> {
    let mut oid = oid(name)?;
    oid.extend(numbers);
    loop {
        let mut length = 0;
        // SAFETY: no buffer, so that only the length is asked for.
        unsafe { sysctl(&oid, 0, &mut length, (0, 0)) }?;
        // It may grow until it is asked for again.
        let mut value = vec![0u8; length + length / 8];
        length = value.len();
        // SAFETY: `length` bytes at `value`.
        match unsafe { sysctl(&oid, value.as_mut_ptr() as usize, &mut length, (0, 0)) } {
            Ok(()) => {
                value.truncate(length);
                return Ok(value);
            }
            Err(Errno::ENOMEM) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether the kernel has a variable or node of this name.
///
/// # Errors
/// Those of sysctl(3).
pub fn exists(name: &str) -> Result<bool> {
    match oid(name) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A value of text, without the NUL.
///
/// # Errors
/// As [`bytes`].
pub fn text(name: &str) -> Result<String> {
    let bytes = bytes(name)?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// A value of four or eight bytes.
///
/// # Errors
/// As [`bytes`]; `EBADMSG` when it has another length.
pub fn integer(name: &str) -> Result<i64> {
    let value = bytes(name)?;
    if let Ok(value) = <[u8; 4]>::try_from(value.as_slice()) {
        return Ok(i32::from_le_bytes(value).into());
    }
    <[u8; 8]>::try_from(value.as_slice())
        .map(i64::from_le_bytes)
        .map_err(|_| Errno::EBADMSG)
}

/// Sets a value of four bytes.
///
/// # Errors
/// As [`write`].
pub fn set(name: &str, value: i32) -> Result<()> {
    write(name, &value.to_le_bytes())
}

/// Sets a value.
///
/// # Errors
/// As [`bytes`]; `EPERM` for one that cannot be set.
pub fn write(name: &str, value: &[u8]) -> Result<()> {
    let oid = oid(name)?;
    let new = (value.as_ptr() as usize, value.len());
    // SAFETY: no buffer for the old value; the kernel reads the new one.
    unsafe { sysctl(&oid, 0, &mut 0, new) }
}

fn oid(name: &str) -> Result<Vec<i32>> {
    let mut oid = vec![0i32; LONGEST_OID];
    let mut length = LONGEST_OID * size_of::<i32>();
    let new = (name.as_ptr() as usize, name.len());
    // SAFETY: `length` bytes at `oid`.
    unsafe { sysctl(&NAME_TO_OID, oid.as_mut_ptr() as usize, &mut length, new) }?;
    oid.truncate(length / size_of::<i32>());
    Ok(oid)
}

/// # Safety
/// `old` is 0 or has `length` bytes to write to; `new` is an address and a
/// length of bytes to read, or zeros.
unsafe fn sysctl(
    oid: &[i32],
    old: usize,
    length: &mut usize,
    (new, new_length): (usize, usize),
) -> Result<()> {
    let arguments = [
        oid.as_ptr() as usize,
        oid.len(),
        old,
        &raw mut *length as usize,
        new,
        new_length,
    ];
    // SAFETY: the kernel reads the oid and reads and writes one length; the
    // rest is the caller's word.
    unsafe { call(number::SYSCTL, &arguments) }.map(drop)
}

/// Returns `__FreeBSD_version` of the running kernel. Only the first call asks
/// the kernel, so that calls which are measured do not pay for it.
///
/// # Errors
/// Those of sysctl(3).
pub fn osreldate() -> Result<i64> {
    static KNOWN: AtomicI64 = AtomicI64::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let version = integer("kern.osreldate")?;
            KNOWN.store(version, Ordering::Relaxed);
            Ok(version)
        }
        version => Ok(version),
    }
}

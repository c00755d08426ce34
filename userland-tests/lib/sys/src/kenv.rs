//! The kernel's environment, as the loader or the command line set it.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{c_string, call, number};
use alloc::string::String;

const KENV_GET: usize = 0;
const KENV_SET: usize = 1;
/// `KENV_MVALLEN` and a NUL.
const LONGEST: usize = 129;

/// The value of a variable.
///
/// # Errors
/// `ENOENT`: it is not set.
pub fn get(name: &str) -> Result<String> {
    let name = c_string(name)?;
    let mut value = [0u8; LONGEST];
    let arguments = [
        KENV_GET,
        name.as_ptr() as usize,
        value.as_mut_ptr() as usize,
        value.len(),
    ];
    // SAFETY: the kernel reads a NUL-terminated name and writes to `value`.
    unsafe { call(number::KENV, &arguments) }?;
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Sets a variable, which may be there already.
///
/// # Errors
/// `EPERM`: only root may; `ENAMETOOLONG`.
pub fn set(name: &str, value: &str) -> Result<()> {
    let (name, value) = (c_string(name)?, c_string(value)?);
    let bytes = value.as_bytes_with_nul();
    let arguments = [
        KENV_SET,
        name.as_ptr() as usize,
        bytes.as_ptr() as usize,
        bytes.len(),
    ];
    // SAFETY: the kernel reads a NUL-terminated name and `bytes.len()` bytes.
    unsafe { call(number::KENV, &arguments) }.map(drop)
}

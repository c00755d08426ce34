//! File systems.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{IoVec, c_string, call, number};
use alloc::vec::Vec;

/// nmount(2) of a file system that needs no device (`"devfs"`, `"tmpfs"`).
///
/// # Errors
/// Those of nmount(2); `ENODEV` when the kernel does not know the type.
pub fn mount(kind: &str, directory: &str) -> Result<()> {
    let parameters = ["fstype", kind, "fspath", directory];
    let strings = parameters
        .iter()
        .map(|parameter| c_string(parameter))
        .collect::<Result<Vec<_>>>()?;
    let vectors: Vec<IoVec> = strings
        .iter()
        .map(|string| IoVec::of(string.as_bytes_with_nul()))
        .collect();
    let arguments = [vectors.as_ptr() as usize, vectors.len(), 0];
    // SAFETY: the kernel reads the vectors and what they point to, all alive
    // here.
    unsafe { call(number::NMOUNT, &arguments) }.map(drop)
}

/// unmount(2).
///
/// # Errors
/// Those of unmount(2).
pub fn unmount(directory: &str) -> Result<()> {
    let directory = c_string(directory)?;
    // SAFETY: the path is NUL-terminated.
    unsafe { call(number::UNMOUNT, &[directory.as_ptr() as usize, 0]) }.map(drop)
}

//! Mounting of file systems.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{IoVec, c_string, call, number};
use alloc::vec::Vec;

/// nmount(2) of a file system that needs no device (`"devfs"`, `"tmpfs"`).
///
/// # Errors
/// Those of nmount(2); `ENODEV` when the kernel does not know the type.
pub fn mount(kind: &str, directory: &str) -> Result<()> {
    nmount(&["fstype", kind, "fspath", directory], 0)
}

/// nmount(2) of what is on a device, to be read only.
///
/// # Errors
/// Those of nmount(2).
pub fn mount_device(kind: &str, device: &str, directory: &str) -> Result<()> {
    const MNT_RDONLY: usize = 1;
    let parameters = ["fstype", kind, "from", device, "fspath", directory];
    nmount(&parameters, MNT_RDONLY)
}

fn nmount(parameters: &[&str], flags: usize) -> Result<()> {
    let strings = parameters
        .iter()
        .map(|parameter| c_string(parameter))
        .collect::<Result<Vec<_>>>()?;
    let vectors: Vec<IoVec> = strings
        .iter()
        .map(|string| IoVec::of(string.as_bytes_with_nul()))
        .collect();
    let arguments = [vectors.as_ptr() as usize, vectors.len(), flags];
    // SAFETY: the kernel reads the vectors and what they point to, all alive
    // here.
    unsafe { call(number::NMOUNT, &arguments) }.map(drop)
}

/// Calls unmount(2).
///
/// # Errors
/// Those of unmount(2).
pub fn unmount(directory: &str) -> Result<()> {
    end(directory, 0)
}

/// unmount(2) with `MNT_FORCE`: files that are open there go bad.
///
/// # Errors
/// Those of unmount(2).
pub fn unmount_by_force(directory: &str) -> Result<()> {
    const MNT_FORCE: usize = 0x8_0000;
    end(directory, MNT_FORCE)
}

fn end(directory: &str, flags: usize) -> Result<()> {
    let directory = c_string(directory)?;
    // SAFETY: the path is NUL-terminated.
    unsafe { call(number::UNMOUNT, &[directory.as_ptr() as usize, flags]) }.map(drop)
}

//! Loading of kernel modules.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{as_id, c_string, call, number, plain};

/// A loaded file of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File(i32);

/// Calls kldload(2).
///
/// # Errors
/// Those of kldload(2).
pub fn load(path: &str) -> Result<File> {
    by_name(number::KLDLOAD, path)
}

/// kldfind(2): the loaded file of this name.
///
/// # Errors
/// `ENOENT`: there is none.
pub fn find(name: &str) -> Result<File> {
    by_name(number::KLDFIND, name)
}

/// Calls kldunload(2).
///
/// # Errors
/// Those of kldunload(2).
pub fn unload(file: File) -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::KLDUNLOAD, [file.0.into()]) }.map(drop)
}

fn by_name(number: usize, name: &str) -> Result<File> {
    let name = c_string(name)?;
    // SAFETY: the name is NUL-terminated.
    unsafe { call(number, &[name.as_ptr() as usize]) }.map(|id| File(as_id(id)))
}

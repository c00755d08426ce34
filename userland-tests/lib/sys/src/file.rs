//! Files and directories.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd, adopted};
use crate::raw::{c_string, call, number};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Open for reading.
pub const O_RDONLY: u32 = 0;
/// Open for writing.
pub const O_WRONLY: u32 = 1;
/// Open for both.
pub const O_RDWR: u32 = 2;
/// Do not wait.
pub const O_NONBLOCK: u32 = 4;
/// Make the file if there is none.
pub const O_CREAT: u32 = 0x200;
/// Empty the file.
pub const O_TRUNC: u32 = 0x400;
/// A terminal does not become the controlling one.
pub const O_NOCTTY: u32 = 0x8000;
/// Closed on execve(2).
pub const O_CLOEXEC: u32 = 0x0010_0000;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Opens `path`; a file made by it has mode 0600.
///
/// # Errors
/// Those of open(2).
pub fn open(path: &str, flags: u32) -> Result<Fd> {
    open_with_mode(path, flags, 0o600)
}

fn open_with_mode(path: &str, flags: u32, mode: usize) -> Result<Fd> {
    let path = c_string(path)?;
    let arguments = [path.as_ptr() as usize, flags as usize, mode];
    // SAFETY: `path` is NUL-terminated.
    unsafe { call(number::OPEN, &arguments) }.map(adopted)
}

/// Makes the file at `path` hold `bytes` and nothing else.
///
/// # Errors
/// Those of open(2) and write(2).
pub fn write_file(path: &str, bytes: &[u8]) -> Result<()> {
    open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC)?.write_all(bytes)
}

/// Makes a program of `bytes` at `path`, where nothing is yet.
///
/// # Errors
/// Those of open(2) and write(2).
pub fn write_program(path: &str, bytes: &[u8]) -> Result<()> {
    open_with_mode(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o700)?.write_all(bytes)
}

/// All of the file at `path`.
///
/// # Errors
/// Those of open(2) and read(2).
pub fn read_file(path: &str) -> Result<Vec<u8>> {
    read_to_end(&open(path, O_RDONLY | O_CLOEXEC)?)
}

/// All that is left to read of `file`.
///
/// # Errors
/// Those of read(2).
pub fn read_to_end(file: &impl Descriptor) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
}

/// Calls unlink(2).
///
/// # Errors
/// Those of unlink(2).
pub fn unlink(path: &str) -> Result<()> {
    let path = c_string(path)?;
    // SAFETY: `path` is NUL-terminated.
    unsafe { call(number::UNLINK, &[path.as_ptr() as usize]) }.map(drop)
}

/// mkdir(2), mode 0755.
///
/// # Errors
/// Those of mkdir(2).
pub fn make_directory(path: &str) -> Result<()> {
    let path = c_string(path)?;
    // SAFETY: `path` is NUL-terminated.
    unsafe { call(number::MKDIR, &[path.as_ptr() as usize, 0o755]) }.map(drop)
}

/// Where reading and writing goes on, from the start of the file (bytes).
///
/// # Errors
/// Those of lseek(2).
pub fn seek(file: &impl Descriptor, offset: u64) -> Result<()> {
    // SAFETY: no addresses.
    unsafe {
        call(
            number::LSEEK,
            &[file.raw() as usize, offset as usize, 0 /* SEEK_SET */],
        )
    }
    .map(drop)
}

/// Sets the length (bytes).
///
/// # Errors
/// Those of ftruncate(2).
pub fn set_length(file: &impl Descriptor, length: u64) -> Result<()> {
    let arguments = [file.raw() as usize, length as usize];
    // SAFETY: no addresses.
    unsafe { call(number::FTRUNCATE, &arguments) }.map(drop)
}

/// Names of what is in the directory, in order, without `.` and `..`. A name
/// that is not UTF-8 is shown as well as it can be.
///
/// # Errors
/// Those of open(2) and getdirentries(2); `EBADMSG` for entries that make no
/// sense.
pub fn directory(path: &str) -> Result<Vec<String>> {
    let directory = open(path, O_RDONLY | O_CLOEXEC)?;
    let mut names = Vec::new();
    let mut buffer = vec![0u8; 8192];
    loop {
        let mut base = 0i64;
        let arguments = [
            directory.raw() as usize,
            buffer.as_mut_ptr() as usize,
            buffer.len(),
            &raw mut base as usize,
        ];
        // SAFETY: the kernel writes into `buffer` and `base` only.
        let count = unsafe { call(number::GETDIRENTRIES, &arguments) }?;
        let Some(mut entries) = buffer.get(..count).filter(|entries| !entries.is_empty()) else {
            names.sort();
            return Ok(names);
        };
        while let Some((name, rest)) = first_entry(entries)? {
            if !matches!(name.as_str(), "." | "..") {
                names.push(name);
            }
            entries = rest;
        }
    }
}

/// The first entry of a `getdirentries` 196 buffer: file number (4 bytes, 0
/// for a hole), record length (2), type (1), length of the name (1), name.
fn first_entry(entries: &[u8]) -> Result<Option<(String, &[u8])>> {
    let mut entries = entries;
    while let [n0, n1, n2, n3, low, high, _kind, name_length, tail @ ..] = entries {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let name = tail.get(..usize::from(*name_length));
        let rest = entries.get(length..).filter(|_| length >= 8);
        let (Some(name), Some(rest)) = (name, rest) else {
            return Err(Errno::EBADMSG);
        };
        if [*n0, *n1, *n2, *n3] != [0; 4] {
            return Ok(Some((String::from_utf8_lossy(name).into_owned(), rest)));
        }
        entries = rest;
    }
    Ok(None)
}

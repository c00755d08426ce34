//! Descriptors: who owns them, and what can be done with any of them.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::raw::{as_id, call, number, plain};

const F_DUPFD_CLOEXEC: i64 = 17;
const F_GETFL: i64 = 3;
const F_SETFL: i64 = 4;
const O_NONBLOCK: i64 = 4;
const O_CLOEXEC: usize = 0x0010_0000;

/// An open descriptor, closed when dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Fd(i32);

/// A standard descriptor, which is never closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard(i32);

/// The standard input.
pub const STDIN: Standard = Standard(0);
/// The standard output.
pub const STDOUT: Standard = Standard(1);
/// The standard error.
pub const STDERR: Standard = Standard(2);

impl Fd {
    /// Takes a descriptor that the kernel has just returned.
    pub(crate) const fn adopt(raw: i32) -> Self {
        Self(raw)
    }

    /// Closes it and says how that went.
    ///
    /// # Errors
    /// Those of close(2).
    pub fn close(self) -> Result<()> {
        let raw = self.0;
        core::mem::forget(self);
        close(raw)
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // A failure cannot be reported any more.
        let _ = close(self.0);
    }
}

fn close(raw: i32) -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::CLOSE, [raw.into()]) }.map(drop)
}

/// Anything that has a descriptor.
pub trait Descriptor {
    /// The number the kernel knows it by.
    fn raw(&self) -> i32;

    /// read(2): how many bytes came; 0 is the end.
    ///
    /// # Errors
    /// Those of read(2).
    fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        let arguments = [
            self.raw() as usize,
            buffer.as_mut_ptr() as usize,
            buffer.len(),
        ];
        // SAFETY: the kernel writes into `buffer` only.
        unsafe { call(number::READ, &arguments) }
    }

    /// write(2): how many bytes were taken.
    ///
    /// # Errors
    /// Those of write(2).
    fn write(&self, bytes: &[u8]) -> Result<usize> {
        let arguments = [self.raw() as usize, bytes.as_ptr() as usize, bytes.len()];
        // SAFETY: the kernel reads from `bytes` only.
        unsafe { call(number::WRITE, &arguments) }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Those of write(2); `EIO` when it takes nothing. Some may have been
    /// written.
    fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Fills `buffer`, or as much of it as comes before the end: how many
    /// bytes came.
    ///
    /// # Errors
    /// Those of read(2).
    fn read_full(&self, buffer: &mut [u8]) -> Result<usize> {
        let mut got = 0;
        while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 => break,
                count => got += count,
            }
        }
        Ok(got)
    }

    /// Makes reads and writes return `EAGAIN` instead of waiting, or not.
    ///
    /// # Errors
    /// Those of fcntl(2).
    fn set_nonblocking(&self, on: bool) -> Result<()> {
        // SAFETY: no addresses.
        let flags = unsafe { plain(number::FCNTL, [self.raw().into(), F_GETFL, 0]) }? as i64;
        let flags = if on {
            flags | O_NONBLOCK
        } else {
            flags & !O_NONBLOCK
        };
        // SAFETY: no addresses.
        unsafe { plain(number::FCNTL, [self.raw().into(), F_SETFL, flags]) }.map(drop)
    }

    /// Another descriptor of the same, closed on execve(2).
    ///
    /// # Errors
    /// Those of fcntl(2).
    fn duplicate(&self) -> Result<Fd> {
        self.duplicate_from(STDERR.0 + 1)
    }

    /// The same, with the lowest number from `lowest` on that is free.
    ///
    /// # Errors
    /// Those of fcntl(2).
    fn duplicate_from(&self, lowest: i32) -> Result<Fd> {
        let arguments = [self.raw().into(), F_DUPFD_CLOEXEC, lowest.into()];
        // SAFETY: no addresses.
        unsafe { plain(number::FCNTL, arguments) }.map(adopted)
    }

    /// Makes the number `place` another name of this one (dup2(2)). Whatever
    /// had that number is closed, so no [`Fd`] may own it.
    ///
    /// # Errors
    /// Those of dup2(2).
    fn duplicate_at(&self, place: i32) -> Result<()> {
        // SAFETY: no addresses.
        unsafe { plain(number::DUP2, [self.raw().into(), place.into()]) }.map(drop)
    }

    /// Lets this descriptor of a kqueue only wait for events (cap_rights_limit(2)
    /// to `CAP_KQUEUE_EVENT`).
    ///
    /// # Errors
    /// Those of cap_rights_limit(2).
    fn limit_to_events(&self) -> Result<()> {
        // A `cap_rights_t` of version 0: the top bits have the version and the
        // index of each word.
        const CAP_KQUEUE_EVENT: [u64; 2] = [1 << 57, 1 << 58 | 0x40];
        let arguments = [self.raw() as usize, CAP_KQUEUE_EVENT.as_ptr() as usize];
        // SAFETY: the kernel reads one cap_rights_t.
        unsafe { call(number::CAP_RIGHTS_LIMIT, &arguments) }.map(drop)
    }

    /// Makes `to` another name of this one (dup2(2)).
    ///
    /// # Errors
    /// Those of dup2(2).
    fn duplicate_onto(&self, to: Standard) -> Result<()> {
        // SAFETY: no addresses. Standard descriptors have no owner, so that
        // none is closed behind an owner's back.
        unsafe { plain(number::DUP2, [self.raw().into(), to.0.into()]) }.map(drop)
    }
}

impl Descriptor for Fd {
    fn raw(&self) -> i32 {
        self.0
    }
}

impl Descriptor for Standard {
    fn raw(&self) -> i32 {
        self.0
    }
}

/// A pipe, closed on execve(2): the end to read from and the end to write to.
///
/// # Errors
/// Those of pipe(2).
pub fn pipe() -> Result<(Fd, Fd)> {
    let mut ends = [0i32; 2];
    // SAFETY: the kernel writes two ints.
    unsafe { call(number::PIPE2, &[ends.as_mut_ptr() as usize, O_CLOEXEC]) }?;
    let [read, write] = ends.map(Fd::adopt);
    Ok((read, write))
}

/// Makes `fd` standard input, output and error.
///
/// # Errors
/// Those of dup2(2).
pub fn make_standard(fd: Fd) -> Result<()> {
    for standard in [STDIN, STDOUT, STDERR] {
        fd.duplicate_onto(standard)?;
    }
    if fd.raw() <= STDERR.0 {
        // It is one of the standard descriptors, which have no owner.
        core::mem::forget(fd);
    }
    Ok(())
}

/// Adopts the descriptor a call has returned.
pub(crate) fn adopted(value: usize) -> Fd {
    Fd::adopt(as_id(value))
}

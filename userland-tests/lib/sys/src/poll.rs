//! Waiting for descriptors.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::fd::Descriptor;
use crate::raw::{call, number};
use crate::time::Deadline;

/// There is something to read.
pub const POLLIN: i16 = 0x1;
/// There is room to write.
pub const POLLOUT: i16 = 0x4;
/// The descriptor has an error.
pub const POLLERR: i16 = 0x8;
/// The other side is gone.
pub const POLLHUP: i16 = 0x10;

/// The C structure `pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollFd {
    fd: i32,
    events: i16,
    /// What poll(2) says of it.
    pub seen: i16,
}

impl PollFd {
    /// Asks for `events`.
    #[must_use]
    pub fn new(descriptor: &impl Descriptor, events: i16) -> Self {
        Self {
            fd: descriptor.raw(),
            events,
            seen: 0,
        }
    }
}

/// poll(2): how many of the entries have something to say.
///
/// # Errors
/// Those of poll(2).
pub fn poll(entries: &mut [PollFd], deadline: Deadline) -> Result<usize> {
    let timeout = deadline.left_ms().map_or(-1, |left| {
        i64::from(i32::try_from(left).unwrap_or(i32::MAX))
    });
    let arguments = [
        entries.as_mut_ptr() as usize,
        entries.len(),
        timeout as usize,
    ];
    // SAFETY: the kernel reads and writes the entries only.
    unsafe { call(number::POLL, &arguments) }
}

/// Waits for one descriptor: what poll(2) says of it.
///
/// # Errors
/// Those of poll(2); `ETIMEDOUT` after the deadline.
pub fn wait_for(descriptor: &impl Descriptor, events: i16, deadline: Deadline) -> Result<i16> {
    let mut entry = [PollFd::new(descriptor, events)];
    match poll(&mut entry, deadline)? {
        0 => Err(Errno::ETIMEDOUT),
        _ => Ok(entry[0].seen),
    }
}

/// select(2) on a single descriptor: whether it can be read without waiting.
///
/// # Errors
/// Those of select(2); `EINVAL` for a descriptor of 1024 and above.
pub fn select_readable(descriptor: &impl Descriptor, deadline: Deadline) -> Result<bool> {
    let bit = usize::try_from(descriptor.raw()).map_err(|_| Errno::EBADF)?;
    let mut set = [0u64; 16];
    *set.get_mut(bit / 64).ok_or(Errno::EINVAL)? |= 1 << (bit % 64);
    let time = deadline
        .left_ms()
        .map(|left| [(left / 1000) as i64, (left % 1000 * 1000) as i64]);
    let arguments = [
        bit + 1,
        set.as_mut_ptr() as usize,
        0,
        0,
        time.as_ref().map_or(0, |time| time.as_ptr() as usize),
    ];
    // SAFETY: the kernel reads one timeval and works on a set that has room
    // for `bit`.
    unsafe { call(number::SELECT, &arguments) }.map(|count| count > 0)
}

//! What a process does, as the seed says.

use super::table::{End, PAIRS, Sort};
use crate::stress::plan::random;
use fastrand::Rng;
use kdk_sys::file::PAGE;
use kdk_sys::socket::Half;

/// Where what a call sends is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Shared memory without a name.
    Memory,
    /// A file that is truncated and extended.
    File,
    /// A file that cannot be read, if there is one.
    Broken,
}

/// The kqueue that a call posts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The one whose events are taken.
    Queue,
    /// One that is closed and made anew.
    Closed,
}

/// A call of sendfile(2).
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The socket to send to.
    pub socket: End,
    /// The file to send from.
    pub from: From,
    /// The kqueue of the event.
    pub to: To,
    /// The first page.
    pub page: usize,
    /// Bytes of the file; 0 is the rest.
    pub length: usize,
    /// Something goes before it.
    pub header: bool,
    /// Something goes behind it.
    pub trailer: bool,
    /// It has the same ident as others.
    pub same: bool,
}

/// One of the things that a process does.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Calls sendfile(2).
    Send(Call),
    /// Reads so many bytes at most.
    Read(End, usize),
    /// Takes so many events at most.
    Take(usize),
    /// Deletes the event of its last call, or of a call of the common ident.
    Delete {
        /// Of the common ident.
        same: bool,
    },
    /// Disables and enables the event of its last call.
    Change,
    /// Shuts a direction down.
    ShutDown(End, Half),
    /// Closes one end.
    Close(End),
    /// Connects an end that is not connected, to a new socket at the other.
    Reconnect(End),
    /// Closes both ends and puts new ones there.
    Replace(usize, Sort),
    /// Sets the length of the file.
    SetLength(u64),
    /// Waits for room at this end, and forks; the child looks at its copy of
    /// the kqueue.
    Fork(End),
    /// Closes the kqueue that is not read from, and makes a new one.
    Renew,
}

impl Operation {
    /// All operations of a process, without an end.
    pub fn all(seed: u64, worker: usize) -> impl Iterator<Item = Self> {
        let mut random = random(seed, worker as u16, 0, 3);
        core::iter::repeat_with(move || Self::next(&mut random))
    }

    fn next(random: &mut Rng) -> Self {
        let end = End::of(random.usize(0..PAIRS), random.bool());
        match random.u8(0..64) {
            0..28 => Self::Send(Call {
                socket: end,
                from: match random.u8(0..8) {
                    0..5 => From::Memory,
                    5..7 => From::File,
                    _ => From::Broken,
                },
                to: match random.u8(0..6) {
                    0 => To::Closed,
                    _ => To::Queue,
                },
                page: random.usize(0..4),
                length: match random.u8(0..8) {
                    0 => 0,
                    1 => random.usize(1..200),
                    _ => random.usize(1..=6 * PAGE),
                },
                header: random.u8(0..4) == 0,
                trailer: random.u8(0..8) == 0,
                same: random.u8(0..4) == 0,
            }),
            28..40 => Self::Read(end, random.usize(1..=8 * PAGE)),
            40..46 => Self::Take(random.usize(1..=8)),
            46..48 => Self::Delete {
                same: random.bool(),
            },
            48..51 => Self::Change,
            51..53 => match random.bool() {
                true => Self::ShutDown(end, Half::Read),
                // If both ends did so, one would stay in TIME_WAIT.
                false => Self::ShutDown(end.first(), Half::Write),
            },
            53..55 => Self::Close(end),
            55..58 => Self::Reconnect(end),
            58..60 => Self::Replace(random.usize(0..PAIRS), Sort::any(random)),
            60..62 => Self::SetLength(random.u64(0..=8 * PAGE as u64)),
            62 => Self::Fork(end),
            _ => Self::Renew,
        }
    }
}

//! How a connection goes.

use super::record::LONGEST;
use fastrand::Rng;
use kdk_fixtures::link::Link;
use kdk_sys::socket::{SocketOption, set_option};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Fd};

/// Bytes of a TCP receiver's buffer: two packets of lo0's.
const WINDOW: i32 = 32 << 10;

/// What both sides know of a connection beforehand.
pub struct Plan {
    link: Link,
    /// Bytes of the sender's buffer; some are less than a record.
    buffer: i32,
    /// Calls of the sender wait for room.
    waits: bool,
    /// Records until the sender ends the stream.
    pub records: u32,
    /// The sender closes the socket in this record, with calls in flight.
    pub cut: Option<Cut>,
    /// The reader closes the socket after so many bytes.
    pub leave: Option<Leave>,
    /// The reader takes little at a time, and pauses.
    pub slow: bool,
}

/// An early end by the sender.
pub struct Cut {
    /// The record in which it happens.
    pub sequence: u32,
    /// By a reset (TCP).
    pub reset: bool,
}

/// An early end by the reader.
pub struct Leave {
    /// Bytes it has read by then, at least.
    pub after: usize,
    /// By a reset (TCP).
    pub reset: bool,
}

/// Random numbers that are the same for the same seed and place in the test.
pub fn random(seed: u64, sender: u16, socket: u16, what: u16) -> Rng {
    let place = u64::from(sender) << 32 | u64::from(socket) << 16 | u64::from(what);
    // Seeds that differ in a bit are far apart in the generator's cycle.
    Rng::with_seed(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Plan {
    /// The plan of one of a sender's sockets.
    pub fn of(seed: u64, sender: u16, socket: u16) -> Self {
        let mut random = random(seed, sender, socket, 0);
        let link = match random.u8(0..8) {
            0..2 => Link::Unix,
            2 => Link::Tcp6,
            _ => Link::Tcp,
        };
        let records = random.u32(1..=2);
        let tcp = link != Link::Unix;
        let mut one_of = |many: u8| random.u8(0..many) == 0;
        let (waits, slow) = (one_of(8), one_of(3));
        let (cut, leave) = (one_of(6), one_of(6));
        let reset = tcp && one_of(2);
        Self {
            link,
            buffer: random
                .choice([6 << 10, 10 << 10, 48 << 10])
                .unwrap_or(6 << 10),
            waits,
            records,
            cut: cut.then(|| Cut {
                sequence: random.u32(0..records),
                reset,
            }),
            leave: leave.then(|| Leave {
                after: random.usize(0..2 * LONGEST),
                reset,
            }),
            slow,
        }
    }

    /// Two connected sockets, the sender's first.
    #[track_caller]
    pub fn connect(&self) -> (Fd, Fd) {
        // On unix(4) the receiver's buffer is the sender's. TCP's receiver has
        // room for a packet, or the sender would wait for seconds until it
        // sends less than one.
        let there = match self.link {
            Link::Unix => self.buffer,
            Link::Tcp | Link::Tcp6 => WINDOW,
        };
        let (here, there) = self.link.connect_with(there);
        for (option, value) in [
            (SocketOption::SendBuffer, self.buffer),
            // What sendfile(2) waits for.
            (SocketOption::SendLowWater, self.buffer / 2),
        ] {
            must("set the sender's buffer", set_option(&here, option, value));
        }
        if !self.waits {
            must("do not wait", here.set_nonblocking(true));
        }
        must("do not wait", there.set_nonblocking(true));
        (here, there)
    }
}

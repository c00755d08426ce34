//! What is measured.

use alloc::format;
use alloc::string::String;

/// How readers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they can.
    Free,
    /// Each socket at a rate of its own, as from a client far away.
    Rated,
}

/// Whose memory is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Each worker has an object of shared memory.
    Own,
    /// All have the same one.
    Shared,
}

/// Creates a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How readers read.
    pub pace: Pace,
    /// Sockets of all workers together.
    pub sockets: usize,
    /// Bytes of a buffer, all of which is sent before it is used again.
    pub chunk: usize,
    /// Processes that send.
    pub workers: usize,
    /// Whose memory is sent.
    pub segment: Segment,
    /// Whether it is locked, mlock(2).
    pub locked: bool,
}

/// Buffers of each socket.
pub const SLOTS: usize = 2;

/// What a reader takes at a time, bytes.
pub const PIECE: usize = 8 << 10;

impl Setup {
    /// `sockets` of one worker that has its memory for itself.
    pub const fn new(pace: Pace, sockets: usize, chunk: usize) -> Self {
        Self {
            pace,
            sockets,
            chunk,
            workers: 1,
            segment: Segment::Own,
            locked: false,
        }
    }

    /// The same on four workers.
    pub const fn on_four(self, segment: Segment, locked: bool) -> Self {
        Self {
            workers: 4,
            segment,
            locked,
            ..self
        }
    }

    /// Room of a socket's buffers, bytes: all that may be in flight fits.
    pub const fn room(&self) -> usize {
        let room = SLOTS * self.chunk;
        if room < 32 << 10 { 32 << 10 } else { room }
    }

    /// Sockets of one worker.
    pub const fn sockets_each(&self) -> usize {
        self.sockets.div_ceil(self.workers)
    }

    /// Bytes of one worker's buffers.
    pub const fn memory_each(&self) -> usize {
        self.sockets_each() * SLOTS * self.chunk
    }

    /// Bytes a second that a reader takes from each socket; less of many, so
    /// that all together stay far below what the machine can do.
    pub const fn rate(&self) -> usize {
        if self.sockets > 128 {
            8 << 10
        } else {
            64 << 10
        }
    }

    /// How long nothing is counted, then how long something is, milliseconds.
    pub const fn times_ms(&self) -> (u64, u64) {
        match self.pace {
            Pace::Free => (200 + self.sockets as u64, 400 + 2 * self.sockets as u64),
            Pace::Rated => (2_000, 8_000),
        }
    }

    /// For the host.
    pub fn describe(&self) -> String {
        let pace = match self.pace {
            Pace::Free => "free",
            Pace::Rated => "rated",
        };
        let segment = match self.segment {
            Segment::Own => "own",
            Segment::Shared => "shared",
        };
        let rate = match self.pace {
            Pace::Free => 0,
            Pace::Rated => self.rate(),
        };
        format!(
            "pace={pace} rate={rate} sockets={} chunk={} workers={} segment={segment} locked={}",
            self.sockets, self.chunk, self.workers, self.locked
        )
    }
}

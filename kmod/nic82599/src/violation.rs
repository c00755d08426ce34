//! Violations of the datasheet by a driver.

use alloc::vec::Vec;
use core::fmt;

/// The most violations that are kept. Later ones are only counted.
pub const MAX_VIOLATIONS: usize = 64;

/// Which of a queue pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A receive queue.
    Receive,
    /// A transmit queue.
    Transmit,
}

/// A violation of the datasheet by the driver. A queue is a number from 0 to
/// 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A tail outside of the ring (RDLEN, TDLEN). The NIC ignores it.
    TailBeyondRing {
        /// Receive or transmit.
        direction: Direction,
        /// The number of the queue.
        queue: u16,
        /// What was written.
        tail: u32,
        /// Descriptors in the ring.
        entries: u32,
    },
    /// A doorbell of a queue that is not enabled. The NIC ignores it.
    DoorbellOfDisabledQueue {
        /// Receive or transmit.
        direction: Direction,
        /// The number of the queue.
        queue: u16,
        /// What was written.
        tail: u32,
    },
    /// A ring's base, length or head written while the queue is enabled.
    RingChangedWhileEnabled {
        /// Receive or transmit.
        direction: Direction,
        /// The number of the queue.
        queue: u16,
        /// Offset of the register.
        register: u32,
    },
    /// A queue was enabled with a ring of no length, of more than 128 KB, of a
    /// length that is not a multiple of 128 bytes, or at a base that is not.
    BadRing {
        /// Receive or transmit.
        direction: Direction,
        /// The number of the queue.
        queue: u16,
        /// Base, in bytes.
        base: u64,
        /// Length, in bytes.
        length: u32,
    },
    /// A descriptor has the address 0. The NIC does no DMA there.
    NullAddress {
        /// Receive or transmit.
        direction: Direction,
        /// The number of the queue.
        queue: u16,
        /// The descriptor's index.
        index: u32,
    },
    /// A receive buffer was posted while the NIC owned it, on one ring or two.
    BufferOwnedTwice {
        /// The queue whose doorbell posted it again.
        queue: u16,
        /// The descriptor's index.
        index: u32,
        /// The address of the buffer.
        address: u64,
    },
    /// The address of a receive descriptor changed while the NIC owned it.
    ChangedWhileOwned {
        /// The number of the queue.
        queue: u16,
        /// The descriptor's index.
        index: u32,
        /// The address found.
        address: u64,
    },
    /// The NIC owns more buffers than the model can track
    /// ([`Config::owned_buffers`](crate::Config::owned_buffers)).
    TooManyOwned {
        /// The number of the queue.
        queue: u16,
    },
    /// A received frame was for a queue that is not enabled. It is discarded.
    FrameForDisabledQueue {
        /// The number of the queue.
        queue: u16,
    },
    /// A register that only the NIC writes was written.
    ReadOnly {
        /// Offset of the register.
        register: u32,
        /// What was written.
        value: u32,
    },
    /// A register was written during a reset.
    WrittenDuringReset {
        /// Offset of the register.
        register: u32,
    },
    /// SW_FW_SYNC was written without SWSM.SWESMBI.
    SyncWithoutSemaphore {
        /// What was written.
        value: u32,
    },
    /// RDRXCTL.CRCStrip and HLREG0.RXCRCSTRP differ when RXEN is set.
    CrcStripDiffers,
    /// An access outside of the register space.
    NoRegister {
        /// Offset of the access.
        register: u32,
    },
    /// A transmit descriptor is invalid. Its packet is not sent.
    BadTransmit {
        /// The number of the queue.
        queue: u16,
        /// The descriptor's index.
        index: u32,
        /// What is wrong.
        why: BadTransmit,
    },
    /// The driver used a feature of the 82599 that is not modelled.
    NotModelled {
        /// Offset of the register.
        register: u32,
        /// What was written.
        value: u32,
    },
}

/// What is wrong with a transmit descriptor or its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTransmit {
    /// A legacy descriptor (DEXT is 0): not modelled.
    Legacy,
    /// DTYP is neither context nor data.
    Type,
    /// A data buffer of no length.
    Empty,
    /// PAYLEN is not what the buffers hold.
    Length,
    /// Longer than the NIC sends.
    TooLong,
    /// The context's lengths do not fit the packet.
    Headers,
    /// An MSS of 0, or headers longer than the packet, with TSE.
    Segmentation,
    /// An offload that is not modelled (IPsec, FCoE, SCTP checksum).
    NotModelled,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

/// The violations seen, the first [`MAX_VIOLATIONS`] of them in full.
#[derive(Debug)]
pub struct Violations {
    seen: Vec<Violation>,
    more: u64,
}

impl Violations {
    pub(crate) fn new() -> Self {
        Self {
            seen: Vec::with_capacity(MAX_VIOLATIONS),
            more: 0,
        }
    }

    pub(crate) fn record(&mut self, violation: Violation) {
        if self.seen.len() < MAX_VIOLATIONS {
            self.seen.push(violation);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// In the order in which they were seen.
    #[must_use]
    pub fn seen(&self) -> &[Violation] {
        &self.seen
    }

    /// How many more there were.
    #[must_use]
    pub const fn more(&self) -> u64 {
        self.more
    }

    pub(crate) fn clear(&mut self) {
        self.seen.clear();
        self.more = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let mut violations = Violations::new();
        for _ in 0..MAX_VIOLATIONS + 3 {
            violations.record(Violation::CrcStripDiffers);
        }
        assert_eq!(violations.seen().len(), MAX_VIOLATIONS);
        assert_eq!(violations.more(), 3);
        violations.clear();
        assert_eq!((violations.seen().len(), violations.more()), (0, 0));
    }
}

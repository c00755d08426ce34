//! The model's own counters of frames, which no driver can clear.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use crate::registers::QUEUES;

/// The frames of a queue since the NIC was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Received frames that were written to host memory.
    pub delivered: u64,
    /// Received frames dropped for want of descriptors (DROP_EN).
    pub dropped: u64,
    /// Received frames discarded because the queue was not enabled.
    pub queue_disabled: u64,
    /// The number of transmitted frames.
    pub sent: u64,
}

/// Frames since the NIC was made. Each offered frame is in exactly one of the
/// other counters, or in the packet buffer.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Frames offered to [`Nic::receive`](crate::Nic::receive).
    pub offered: u64,
    /// Frames while the link was down or the receiver disabled.
    pub receive_disabled: u64,
    /// Frames that the MAC discarded with an error.
    pub errored: u64,
    /// MAC control frames (pause) that the MAC consumed.
    pub control: u64,
    /// Frames that did not pass the filters.
    pub filtered: u64,
    /// Frames missed for want of room in the packet buffer (RXMPC).
    pub missed: u64,
    /// Frames flushed from the packet buffer by a reset or the disabling of a
    /// queue.
    pub flushed: u64,
    /// Pause frames that the NIC has transmitted.
    pub pauses_sent: u64,
    /// Resets by software (CTRL.RST, CTRL.LNK_RST).
    pub resets: u64,
    queues: Box<[QueueCounters]>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            offered: 0,
            receive_disabled: 0,
            errored: 0,
            control: 0,
            filtered: 0,
            missed: 0,
            flushed: 0,
            pauses_sent: 0,
            resets: 0,
            queues: vec![QueueCounters::default(); usize::from(QUEUES)].into_boxed_slice(),
        }
    }

    /// Returns the counters of a queue: zeroes for one that does not exist.
    #[must_use]
    pub fn queue(&self, queue: u16) -> QueueCounters {
        let found = self.queues.get(usize::from(queue));
        found.copied().unwrap_or_default()
    }

    pub(crate) fn of_queue(&mut self, queue: u16, count: impl FnOnce(&mut QueueCounters)) {
        if let Some(counters) = self.queues.get_mut(usize::from(queue)) {
            count(counters);
        }
    }

    /// Returns the sums over all queues.
    #[must_use]
    pub fn all_queues(&self) -> QueueCounters {
        self.queues
            .iter()
            .fold(QueueCounters::default(), |sum, queue| QueueCounters {
                delivered: sum.delivered + queue.delivered,
                dropped: sum.dropped + queue.dropped,
                queue_disabled: sum.queue_disabled + queue.queue_disabled,
                sent: sum.sent + queue.sent,
            })
    }

    /// Returns the number of offered frames that are in another counter.
    #[must_use]
    pub fn accounted(&self) -> u64 {
        let queues = self.all_queues();
        self.receive_disabled
            + self.errored
            + self.control
            + self.filtered
            + self.missed
            + self.flushed
            + queues.delivered
            + queues.dropped
            + queues.queue_disabled
    }
}

/// The model is inconsistent: a defect of the model, not of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvariantError {
    /// Not every offered frame is in another counter.
    Frames {
        /// The number of offered frames.
        offered: u64,
        /// Frames in another counter.
        accounted: u64,
        /// Frames in the packet buffer.
        buffered: u64,
    },
    /// The number of tracked receive buffers differs from the number of
    /// descriptors that the NIC owns. It is not checked after the driver posted
    /// an invalid buffer.
    Descriptors {
        /// The number of tracked buffers.
        watched: u64,
        /// Descriptors between heads and tails.
        owned: u64,
    },
}

impl fmt::Display for InvariantError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames {
                offered,
                accounted,
                buffered,
            } => write!(
                out,
                "of {offered} offered frames {accounted} are counted and {buffered} are in the packet buffer"
            ),
            Self::Descriptors { watched, owned } => write!(
                out,
                "the NIC tracks {watched} receive buffers but owns {owned} descriptors"
            ),
        }
    }
}

impl core::error::Error for InvariantError {}

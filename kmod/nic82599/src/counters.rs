//! What became of every frame: the model's own account, which no driver can
//! clear.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use crate::registers::QUEUES;

/// A queue's frames since the card was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Received frames in the host's memory.
    pub delivered: u64,
    /// Received frames dropped for want of descriptors (DROP_EN).
    pub dropped: u64,
    /// Received frames lost because the queue was not enabled.
    pub queue_disabled: u64,
    /// Frames that it has sent.
    pub sent: u64,
}

/// Frames since the card was made. All that came in is in exactly one of the
/// other counts, or in the packet buffer.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Frames offered to [`Nic::receive`](crate::Nic::receive).
    pub offered: u64,
    /// Not listened to: link down, or the receiver is off.
    pub receive_disabled: u64,
    /// Counted as bad by the MAC and discarded.
    pub errored: u64,
    /// MAC control frames (pause) that the MAC consumed.
    pub control: u64,
    /// Not for this card.
    pub filtered: u64,
    /// No room in the packet buffer (RXMPC).
    pub missed: u64,
    /// Thrown away from the packet buffer by a reset or a queue's disabling.
    pub flushed: u64,
    /// Pause frames that the card has sent.
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

    /// Those of a queue; all zero for one that the card has not.
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

    /// All queues' together.
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

    /// Offered frames that are in another count.
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

/// The model contradicts itself: a defect of the model, not of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvariantError {
    /// Offered frames are not all accounted for.
    Frames {
        /// Offered.
        offered: u64,
        /// In another count.
        accounted: u64,
        /// In the packet buffer.
        buffered: u64,
    },
    /// Receive buffers watched are not those that the rings' registers give
    /// the card. Not checked after a buffer was armed wrongly.
    Descriptors {
        /// Buffers watched.
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
                "the card was offered {offered} frames but accounts for {accounted} and buffers {buffered}"
            ),
            Self::Descriptors { watched, owned } => write!(
                out,
                "the card watches {watched} receive buffers but owns {owned} descriptors"
            ),
        }
    }
}

impl core::error::Error for InvariantError {}

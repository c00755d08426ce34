//! A snapshot of the counters of a NIC.

use kdk_nic82599::{Nic, QueueCounters};

/// The number of queues of a snapshot. A frame on another queue is a fault.
pub const MAX_QUEUES: usize = 16;

/// The counters of a NIC at one time. Making it does not allocate, so it can be
/// made under a spin mutex.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// See the counter [`Counters::receive_disabled`](kdk_nic82599::Counters::receive_disabled).
    pub receive_disabled: u64,
    /// See the counter [`Counters::errored`](kdk_nic82599::Counters::errored).
    pub errored: u64,
    /// See the counter [`Counters::control`](kdk_nic82599::Counters::control).
    pub control: u64,
    /// See the counter [`Counters::filtered`](kdk_nic82599::Counters::filtered).
    pub filtered: u64,
    /// See the counter [`Counters::missed`](kdk_nic82599::Counters::missed).
    pub missed: u64,
    /// See the counter [`Counters::flushed`](kdk_nic82599::Counters::flushed).
    pub flushed: u64,
    /// Frames in the packet buffer.
    pub buffered: u64,
    /// The counters of the first queues.
    pub queues: [QueueCounters; MAX_QUEUES],
}

impl CounterSnapshot {
    /// Takes a snapshot.
    #[must_use]
    pub fn of(nic: &Nic) -> Self {
        let counters = nic.counters();
        let mut queues = [QueueCounters::default(); MAX_QUEUES];
        for (queue, slot) in (0..).zip(&mut queues) {
            *slot = counters.queue(queue);
        }
        Self {
            receive_disabled: counters.receive_disabled,
            errored: counters.errored,
            control: counters.control,
            filtered: counters.filtered,
            missed: counters.missed,
            flushed: counters.flushed,
            buffered: nic.buffered_frames() as u64,
            queues,
        }
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.queues.iter().map(|queue| queue.delivered).sum()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.queues.iter().map(|queue| queue.dropped).sum()
    }

    pub(crate) fn queue_disabled(&self) -> u64 {
        self.queues.iter().map(|queue| queue.queue_disabled).sum()
    }
}

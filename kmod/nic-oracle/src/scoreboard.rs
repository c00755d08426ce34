//! The scoreboard of frames between the wire and the stack.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kdk_nic82599::Received;

use crate::fault::{Count, Fault};
use crate::snapshot::{CounterSnapshot, MAX_QUEUES};

/// A frame that was injected on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedFrame {
    /// The flow of the frame.
    pub flow: u16,
    /// The [`digest`] of its bytes.
    pub digest: u64,
    /// Whether its descriptor marks it as bad. The driver has to discard it.
    pub bad: bool,
}

/// Returns the 64-bit FNV-1a hash of a frame.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The order that the stack has to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The frames of each flow are in the order of the wire. Large receive
    /// offload may reorder flows.
    Flow,
    /// The frames of each queue are, too.
    Queue,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    injected: InjectedFrame,
    received: Received,
    arrived: bool,
}

impl Frame {
    /// Returns the queue of a frame that the stack may receive.
    const fn queue(&self) -> Option<u16> {
        match self.received {
            Received::Delivered { queue } | Received::Buffered { queue } => Some(queue),
            _ => None,
        }
    }

    /// Returns whether the stack has to receive the frame from this queue.
    fn is_due(&self, queue: u16) -> bool {
        self.received == Received::Delivered { queue } && !self.injected.bad
    }
}

/// The frames of a queue since the last start of the interface.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Bad frames that were delivered at once.
    bad: u64,
    /// Bad frames that went to the packet buffer.
    buffered_bad: u64,
    arrived: u64,
    /// The latest frame that arrived.
    last: Option<u32>,
}

/// The number of frames by what the NIC reported.
#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    receive_disabled: u64,
    errored: u64,
    control: u64,
    filtered: u64,
    missed: u64,
    queue_disabled: u64,
    passed: u64,
}

/// A record of the frames on the wire, of what the NIC reported for each, and of
/// the frames that the stack received. The stack has to receive every good
/// frame that the NIC has written to memory, once, unaltered, in the order of
/// the wire in each flow, and nothing else.
///
/// A stop of the interface may lose the last frames of each queue: see [`interface_stopped`](Self::interface_stopped).
#[derive(Clone, Debug)]
pub struct Scoreboard {
    order: Order,
    frames: Vec<Frame>,
    /// The first frame since the last start of the interface.
    opened: usize,
    /// The counters at that start, and when the scoreboard was made.
    then: CounterSnapshot,
    first: CounterSnapshot,
    queues: [Tally; MAX_QUEUES],
    reported: Reported,
    /// The last frame of each flow that arrived.
    flows: BTreeMap<u16, u32>,
    arrived: u64,
    bad: u64,
}

impl Scoreboard {
    /// Makes an empty scoreboard for a NIC with these counters.
    #[must_use]
    pub fn new(order: Order, snapshot: &CounterSnapshot) -> Self {
        Self {
            order,
            frames: Vec::new(),
            opened: 0,
            then: *snapshot,
            first: *snapshot,
            queues: [Tally::default(); MAX_QUEUES],
            reported: Reported::default(),
            flows: BTreeMap::new(),
            arrived: 0,
            bad: 0,
        }
    }

    /// Returns the number of the next frame.
    #[must_use]
    pub fn next(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }

    /// Returns the number of frames that arrived.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Returns the number of frames that the NIC accepted and marked as bad.
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.bad
    }

    /// Records the next frame on the wire, and what the NIC reported for it.
    ///
    /// # Errors
    /// Returns [`Fault::Queue`] for an unexpected queue.
    pub fn inject(&mut self, injected: InjectedFrame, received: Received) -> Result<(), Fault> {
        let reported = &mut self.reported;
        match received {
            Received::ReceiveDisabled => reported.receive_disabled += 1,
            Received::Errored => reported.errored += 1,
            Received::Control => reported.control += 1,
            Received::Filtered => reported.filtered += 1,
            Received::Missed => reported.missed += 1,
            Received::QueueDisabled { .. } => reported.queue_disabled += 1,
            Received::Dropped { .. } | Received::Delivered { .. } | Received::Buffered { .. } => {
                reported.passed += 1;
            }
        }
        let frame = Frame {
            injected,
            received,
            arrived: false,
        };
        self.frames.push(frame);
        if let Some(queue) = frame.queue() {
            self.bad += u64::from(injected.bad);
            let tally = self.tally(queue)?;
            match (injected.bad, received) {
                (true, Received::Buffered { .. }) => tally.buffered_bad += 1,
                (true, _) => tally.bad += 1,
                (false, _) => {}
            }
        }
        Ok(())
    }

    fn tally(&mut self, queue: u16) -> Result<&mut Tally, Fault> {
        let tally = self.queues.get_mut(usize::from(queue));
        tally.ok_or(Fault::Queue { queue })
    }

    /// Records a frame that the stack received, with its number.
    ///
    /// # Errors
    /// Returns a fault if the stack should not have received it now.
    pub fn arrive(&mut self, number: Option<u32>, digest: u64) -> Result<(), Fault> {
        let (opened, order) = (self.opened, self.order);
        let number = number.ok_or(Fault::Unknown)?;
        let at = number as usize;
        let entry = self.frames.get_mut(at).ok_or(Fault::Unknown)?;
        let queue = entry.queue().ok_or(Fault::Discarded { frame: number })?;
        let flow = entry.injected.flow;
        if entry.injected.digest != digest {
            return Err(Fault::Altered { frame: number });
        }
        if entry.injected.bad {
            return Err(Fault::Bad { frame: number });
        }
        if entry.arrived {
            return Err(Fault::Twice { frame: number });
        }
        if at < opened {
            return Err(Fault::Late { frame: number });
        }
        entry.arrived = true;
        self.arrived += 1;
        match self.flows.insert(flow, number) {
            Some(before) if before > number => {
                return Err(Fault::FlowOrder {
                    flow,
                    frame: number,
                    before,
                });
            }
            _ => {}
        }
        let tally = self.tally(queue)?;
        tally.arrived += 1;
        match tally.last {
            Some(before) if before > number => match order {
                Order::Flow => Ok(()),
                Order::Queue => Err(Fault::QueueOrder {
                    queue,
                    frame: number,
                    before,
                }),
            },
            _ => {
                tally.last = Some(number);
                Ok(())
            }
        }
    }

    /// Returns whether the stack has to receive more, given the counters now.
    #[must_use]
    pub fn is_pending(&self, now: &CounterSnapshot) -> bool {
        // Which frames of the packet buffer were written is not known, so their
        // number alone counts.
        self.missing().next().is_some()
            || self.written(now).any(|(_, tally, written)| {
                tally.arrived < written.saturating_sub(tally.bad + tally.buffered_bad)
            })
    }

    /// Returns the number of frames of each queue that were written to memory
    /// since the last start of the interface.
    fn written<'a>(
        &'a self,
        now: &'a CounterSnapshot,
    ) -> impl Iterator<Item = (u16, &'a Tally, u64)> {
        let queues = self.queues.iter().zip(&now.queues).zip(&self.then.queues);
        (0..)
            .zip(queues)
            .map(|(queue, ((tally, now), then))| (queue, tally, now.delivered - then.delivered))
    }

    /// Checks that the stack has received all frames in memory. The driver has
    /// to be idle.
    ///
    /// # Errors
    /// Returns the first fault.
    pub fn check_settled(&self, now: &CounterSnapshot) -> Result<(), Fault> {
        self.count(now)?;
        self.lost()?;
        for (queue, tally, written) in self.written(now) {
            let bad = tally.bad;
            let least = written.saturating_sub(bad + tally.buffered_bad);
            let most = written.saturating_sub(bad);
            if !(least..=most).contains(&tally.arrived) {
                return Err(Fault::Unbalanced {
                    queue,
                    written,
                    arrived: tally.arrived,
                    bad,
                });
            }
        }
        Ok(())
    }

    /// Records a stop of the interface, after which the stack receives no
    /// earlier frame. The stop may lose the last frames of a queue, which the
    /// driver had not processed, but no frame before one that arrived.
    ///
    /// # Errors
    /// Returns the first fault.
    pub fn interface_stopped(&mut self, now: &CounterSnapshot) -> Result<(), Fault> {
        self.count(now)?;
        self.skipped()?;
        for (queue, tally, written) in self.written(now) {
            if tally.arrived > written.saturating_sub(tally.bad) {
                return Err(Fault::Unbalanced {
                    queue,
                    written,
                    arrived: tally.arrived,
                    bad: tally.bad,
                });
            }
        }
        self.opened = self.frames.len();
        self.then = *now;
        self.queues = [Tally::default(); MAX_QUEUES];
        Ok(())
    }

    /// Returns the frames since the last start of the interface that the stack
    /// has to receive and has not, with their queues.
    fn missing(&self) -> impl Iterator<Item = (u32, u16, &Frame)> {
        let frames = (0_u32..).zip(&self.frames).skip(self.opened);
        frames.filter_map(|(number, frame)| {
            let queue = frame.queue()?;
            (frame.is_due(queue) && !frame.arrived).then_some((number, queue, frame))
        })
    }

    fn lost(&self) -> Result<(), Fault> {
        self.missing()
            .next()
            .map_or(Ok(()), |(number, queue, frame)| {
                Err(Fault::Lost {
                    flow: frame.injected.flow,
                    queue,
                    frame: number,
                })
            })
    }

    fn skipped(&self) -> Result<(), Fault> {
        for (frame, queue, _) in self.missing() {
            let tally = self.queues.get(usize::from(queue));
            let last = tally.and_then(|tally| tally.last);
            if let Some(last) = last.filter(|last| *last > frame) {
                return Err(Fault::Skipped { queue, frame, last });
            }
        }
        Ok(())
    }

    /// Checks the counters of the NIC against its reports.
    fn count(&self, now: &CounterSnapshot) -> Result<(), Fault> {
        let (reported, first) = (&self.reported, &self.first);
        let all = |snapshot: &CounterSnapshot| {
            snapshot.delivered() + snapshot.dropped() + snapshot.flushed + snapshot.buffered
        };
        for (count, reported, now, first) in [
            (
                Count::ReceiveDisabled,
                reported.receive_disabled,
                now.receive_disabled,
                first.receive_disabled,
            ),
            (Count::Errored, reported.errored, now.errored, first.errored),
            (Count::Control, reported.control, now.control, first.control),
            (
                Count::Filtered,
                reported.filtered,
                now.filtered,
                first.filtered,
            ),
            (Count::Missed, reported.missed, now.missed, first.missed),
            (
                Count::QueueDisabled,
                reported.queue_disabled,
                now.queue_disabled(),
                first.queue_disabled(),
            ),
            (Count::Passed, reported.passed, all(now), all(first)),
        ] {
            let counted = now.saturating_sub(first);
            if reported != counted {
                return Err(Fault::Count {
                    count,
                    reported,
                    counted,
                });
            }
        }
        Ok(())
    }
}

//! What the wire brought, what the card said of it, what the stack got.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kdk_nic82599::Received;

use crate::account::{Account, WATCHED};
use crate::fault::{Count, Fault};

/// A frame on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its flow.
    pub flow: u16,
    /// Of its bytes: [`digest`].
    pub digest: u64,
    /// Its descriptor says that it is bad: the driver has to discard it.
    pub bad: bool,
}

/// FNV-1a (64 bits) of a frame's bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What has to stay in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The frames of each flow. Large receive offload sorts what it gets at
    /// once by flows.
    Flow,
    /// Those of each queue, too.
    Queue,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    offer: Offer,
    received: Received,
    arrived: bool,
}

impl Frame {
    /// The queue of a frame that may come to the stack.
    const fn queue(&self) -> Option<u16> {
        match self.received {
            Received::Delivered { queue } | Received::Held { queue } => Some(queue),
            _ => None,
        }
    }

    /// Written to memory, for certain, for this queue.
    fn is_due(&self, queue: u16) -> bool {
        self.received == Received::Delivered { queue } && !self.offer.bad
    }
}

/// A queue's frames since the interface was last started.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// In memory at once, good and bad ones.
    good: u64,
    bad: u64,
    /// Held back, bad ones.
    held_bad: u64,
    arrived: u64,
    /// The latest frame on the wire that arrived.
    last: Option<u32>,
}

/// How often the card said what.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    deaf: u64,
    errored: u64,
    control: u64,
    filtered: u64,
    missed: u64,
    lost: u64,
    passed: u64,
}

/// What the wire brought, what the card said of each frame, and what the stack
/// got: each good frame that the card has written to memory, once, unaltered,
/// in the order of the wire in each flow, and nothing else.
///
/// A stop of the interface may cost frames that are in memory, the last ones
/// of each queue: see [`close`](Self::close).
#[derive(Clone, Debug)]
pub struct Ledger {
    order: Order,
    frames: Vec<Frame>,
    /// The first one since the interface was last started.
    opened: usize,
    /// The card's counters then, and when the ledger was made.
    then: Account,
    first: Account,
    queues: [Tally; WATCHED],
    said: Said,
    /// The last frame that arrived, of each flow.
    flows: BTreeMap<u16, u32>,
    arrived: u64,
}

impl Ledger {
    /// An empty one of a card that counts so now.
    #[must_use]
    pub fn new(order: Order, account: &Account) -> Self {
        Self {
            order,
            frames: Vec::new(),
            opened: 0,
            then: *account,
            first: *account,
            queues: [Tally::default(); WATCHED],
            said: Said::default(),
            flows: BTreeMap::new(),
            arrived: 0,
        }
    }

    /// The next frame's number.
    #[must_use]
    pub fn next(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }

    /// Frames that arrived so far.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// The next frame came in from the wire, and the card said what became of
    /// it.
    ///
    /// # Errors
    /// [`Fault::Queue`].
    pub fn offer(&mut self, offer: Offer, received: Received) -> Result<(), Fault> {
        let said = &mut self.said;
        match received {
            Received::Deaf => said.deaf += 1,
            Received::Errored => said.errored += 1,
            Received::Control => said.control += 1,
            Received::Filtered => said.filtered += 1,
            Received::Missed => said.missed += 1,
            Received::Lost { .. } => said.lost += 1,
            Received::Dropped { .. } | Received::Delivered { .. } | Received::Held { .. } => {
                said.passed += 1;
            }
        }
        let frame = Frame {
            offer,
            received,
            arrived: false,
        };
        self.frames.push(frame);
        if let Some(queue) = frame.queue() {
            let tally = self.tally(queue)?;
            match (frame.is_due(queue), offer.bad, received) {
                (true, ..) => tally.good += 1,
                (false, true, Received::Held { .. }) => tally.held_bad += 1,
                (false, true, _) => tally.bad += 1,
                (false, false, _) => {}
            }
        }
        Ok(())
    }

    fn tally(&mut self, queue: u16) -> Result<&mut Tally, Fault> {
        let tally = self.queues.get_mut(usize::from(queue));
        tally.ok_or(Fault::Queue { queue })
    }

    /// The stack got a frame: with this number in it, if it has one.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn arrive(&mut self, number: Option<u32>, digest: u64) -> Result<(), Fault> {
        let (opened, order) = (self.opened, self.order);
        let number = number.ok_or(Fault::Unknown)?;
        let at = number as usize;
        let entry = self.frames.get_mut(at).ok_or(Fault::Unknown)?;
        let queue = entry.queue().ok_or(Fault::Discarded { frame: number })?;
        let flow = entry.offer.flow;
        if entry.offer.digest != digest {
            return Err(Fault::Altered { frame: number });
        }
        if entry.offer.bad {
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

    /// Whether the stack has to get more, by what the card counts now.
    #[must_use]
    pub fn is_due(&self, now: &Account) -> bool {
        self.written(now).any(|(_, tally, written)| {
            tally.arrived
                < tally
                    .good
                    .max(written.saturating_sub(tally.bad + tally.held_bad))
        })
    }

    /// Each queue's frames that were written to memory since the interface was
    /// last started.
    fn written<'a>(&'a self, now: &'a Account) -> impl Iterator<Item = (u16, &'a Tally, u64)> {
        let queues = self.queues.iter().zip(&now.queues).zip(&self.then.queues);
        (0..)
            .zip(queues)
            .map(|(queue, ((tally, now), then))| (queue, tally, now.delivered - then.delivered))
    }

    /// The driver has had the time that it needs: the stack has to have all
    /// that is in memory.
    ///
    /// # Errors
    /// What is wrong.
    pub fn settle(&self, now: &Account) -> Result<(), Fault> {
        self.count(now)?;
        self.lost()?;
        for (queue, tally, written) in self.written(now) {
            let bad = tally.bad;
            let least = written.saturating_sub(bad + tally.held_bad);
            let most = written.saturating_sub(bad);
            if !(least..=most).contains(&tally.arrived) {
                return Err(Fault::Held {
                    queue,
                    written,
                    arrived: tally.arrived,
                    bad,
                });
            }
        }
        Ok(())
    }

    /// The interface was stopped, and the stack has got all that it will get
    /// of what was before. Frames that the card had written to memory, and
    /// that the driver had not looked at, may be lost: the last ones of a
    /// queue, but none before one that arrived.
    ///
    /// # Errors
    /// What is wrong.
    pub fn close(&mut self, now: &Account) -> Result<(), Fault> {
        self.count(now)?;
        self.skipped()?;
        for (queue, tally, written) in self.written(now) {
            if tally.arrived > written.saturating_sub(tally.bad) {
                return Err(Fault::Held {
                    queue,
                    written,
                    arrived: tally.arrived,
                    bad: tally.bad,
                });
            }
        }
        self.opened = self.frames.len();
        self.then = *now;
        self.queues = [Tally::default(); WATCHED];
        Ok(())
    }

    /// Frames since the interface was last started that have to be with the
    /// stack and are not, with their queues.
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
                    flow: frame.offer.flow,
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

    /// What the card said of each frame is what it counts.
    fn count(&self, now: &Account) -> Result<(), Fault> {
        let (said, first) = (&self.said, &self.first);
        let all = |account: &Account| {
            account.delivered() + account.dropped() + account.flushed + account.held
        };
        for (count, said, now, first) in [
            (Count::Deaf, said.deaf, now.deaf, first.deaf),
            (Count::Errored, said.errored, now.errored, first.errored),
            (Count::Control, said.control, now.control, first.control),
            (Count::Filtered, said.filtered, now.filtered, first.filtered),
            (Count::Missed, said.missed, now.missed, first.missed),
            (Count::Lost, said.lost, now.lost(), first.lost()),
            (Count::Passed, said.passed, all(now), all(first)),
        ] {
            let counted = now.saturating_sub(first);
            if said != counted {
                return Err(Fault::Count {
                    count,
                    said,
                    counted,
                });
            }
        }
        Ok(())
    }
}

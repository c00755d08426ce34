//! Software NICs for user space. They exist until the descriptor that made
//! them is closed.

use super::slot::Slot;
use super::traffic::{Frames, Traffic};
use crate::kpi::errno::Errno;
use crate::kpi::nic::{Card, Setup, Wire};
use alloc::vec::Vec;
use kdk_harness::Text;
use kdk_nic82599::QueueCounters;

/// The longest answer, in bytes.
pub const ANSWER: usize = super::session::TEXT;

/// A command about NICs, which are numbered from 0.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Creates a NIC; the driver attaches.
    New,
    /// Connects two NICs back to back.
    Wire(usize, usize),
    /// Connects the cable, or disconnects it.
    Link(usize, bool),
    /// Treats a receive queue as if its ring had no descriptors, or stops to.
    Stall(usize, u16, bool),
    /// Sets interrupt causes, bits of EICR.
    Raise(usize, u32),
    /// Taps the interface: the stack receives nothing from it any more.
    Tap(usize),
    /// Injects frames from the wire.
    Inject(usize, Frames),
    /// Counts the flows and frames that were received.
    Flows(usize),
    /// Lists the frames of a flow that were received.
    Received(usize, u16),
    /// Reports the counters of the frames.
    Counts(usize),
    /// Removes a NIC; the driver detaches.
    Remove(usize),
}

impl Command {
    /// Parses the words after `card`. Returns `None` for an invalid command.
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let words: Vec<&str> = words.collect();
        let nth = |word: &str| word.parse().ok();
        match *words.as_slice() {
            ["new"] => Some(Self::New),
            ["wire", one, other] => Some(Self::Wire(nth(one)?, nth(other)?)),
            ["link", card, "up"] => Some(Self::Link(nth(card)?, true)),
            ["link", card, "down"] => Some(Self::Link(nth(card)?, false)),
            ["stall", card, queue] => Some(Self::Stall(nth(card)?, queue.parse().ok()?, true)),
            ["unstall", card, queue] => Some(Self::Stall(nth(card)?, queue.parse().ok()?, false)),
            ["raise", card, causes] => Some(Self::Raise(nth(card)?, hexadecimal(causes)?)),
            ["tap", card] => Some(Self::Tap(nth(card)?)),
            ["inject", card, ref frames @ ..] => {
                Some(Self::Inject(nth(card)?, Frames::parse(frames)?))
            }
            ["received", card] => Some(Self::Flows(nth(card)?)),
            ["received", card, flow] => Some(Self::Received(nth(card)?, flow.parse().ok()?)),
            ["counts", card] => Some(Self::Counts(nth(card)?)),
            ["remove", card] => Some(Self::Remove(nth(card)?)),
            _ => None,
        }
    }
}

fn hexadecimal(word: &str) -> Option<u32> {
    u32::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// A NIC and its traffic. The fields are dropped in this order.
struct Slotted {
    traffic: Traffic,
    card: Card,
}

/// The NICs of one descriptor.
pub struct Cards {
    /// Dropped before the NICs that they connect.
    wires: Vec<(usize, usize, Wire)>,
    cards: Vec<Option<Slotted>>,
    _slot: Slot,
}

impl Cards {
    /// Makes an empty set. While it exists no tests can run, since the leak
    /// check of a test would count the NICs' memory.
    ///
    /// # Errors
    /// Returns `EBUSY` if another descriptor runs tests or has NICs.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            wires: Vec::new(),
            cards: Vec::new(),
            _slot: Slot::take()?,
        })
    }

    /// Executes a command and returns the answer.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such NIC, no driver for it, or no tap,
    /// `EINVAL` for a wire from a NIC to itself, `EBUSY` for a second wire or
    /// tap, `ENOBUFS` if more was received than is kept, and the errors of the
    /// driver's attach and detach.
    pub fn execute(&mut self, command: Command) -> Result<Text<ANSWER>, Errno> {
        match command {
            Command::New => self.add(),
            Command::Wire(one, other) => self.wire(one, other),
            Command::Link(nth, up) => {
                self.card(nth)?.set_link(up);
                let state = if up { "up" } else { "down" };
                Ok(Text::of(format_args!("# card {nth} link {state}\n")))
            }
            Command::Stall(nth, queue, stalled) => {
                self.card(nth)?
                    .with(|nic, memory| nic.stall(queue, stalled, memory));
                let state = if stalled { "stalled" } else { "runs" };
                Ok(Text::of(format_args!(
                    "# card {nth} queue {queue} {state}\n"
                )))
            }
            Command::Raise(nth, causes) => {
                self.card(nth)?.with(|nic, _| nic.raise(causes));
                Ok(Text::of(format_args!("# card {nth} raised {causes:#x}\n")))
            }
            Command::Tap(nth) => {
                let Slotted { traffic, card } = self.slotted(nth)?;
                traffic.tap(card)?;
                Ok(Text::of(format_args!("# card {nth} tapped\n")))
            }
            Command::Inject(nth, frames) => {
                let Slotted { traffic, card } = self.slotted(nth)?;
                let injected = traffic.inject(card, &frames)?;
                Ok(Text::of(format_args!("# card {nth} {injected}\n")))
            }
            Command::Flows(nth) => self.slotted(nth)?.traffic.flows(nth),
            Command::Received(nth, flow) => self.slotted(nth)?.traffic.received(nth, flow),
            Command::Counts(nth) => Ok(counts(nth, self.card(nth)?)),
            Command::Remove(nth) => self.remove(nth),
        }
    }

    fn slotted(&mut self, nth: usize) -> Result<&mut Slotted, Errno> {
        let place = self.cards.get_mut(nth);
        place.and_then(Option::as_mut).ok_or(Errno::ENXIO)
    }

    fn card(&self, nth: usize) -> Result<&Card, Errno> {
        let place = self.cards.get(nth).and_then(Option::as_ref);
        place.map(|slotted| &slotted.card).ok_or(Errno::ENXIO)
    }

    fn add(&mut self) -> Result<Text<ANSWER>, Errno> {
        let nth = self.cards.len();
        let address = u8::try_from(nth).map_err(|_| Errno::EAGAIN)?;
        let card = Card::attach(&Setup::nth(address))?;
        let name = Text::<ANSWER>::of(format_args!("# card {nth} {}\n", card.interface().name()));
        let traffic = Traffic::default();
        self.cards.push(Some(Slotted { traffic, card }));
        Ok(name)
    }

    fn wire(&mut self, one: usize, other: usize) -> Result<Text<ANSWER>, Errno> {
        if one == other {
            return Err(Errno::EINVAL);
        }
        let used =
            |&(a, b, _): &(usize, usize, Wire)| [a, b].iter().any(|end| [one, other].contains(end));
        if self.wires.iter().any(used) {
            return Err(Errno::EBUSY);
        }
        let wire = Wire::between(self.card(one)?, self.card(other)?)?;
        self.wires.push((one, other, wire));
        Ok(Text::of(format_args!("# card {one} wire {other}\n")))
    }

    fn remove(&mut self, nth: usize) -> Result<Text<ANSWER>, Errno> {
        let place = self.cards.get_mut(nth);
        let Slotted { traffic, card } = place.and_then(Option::take).ok_or(Errno::ENXIO)?;
        drop(traffic);
        self.wires
            .retain(|(one, other, _)| *one != nth && *other != nth);
        let violations = card.detach()?.len();
        Ok(Text::of(format_args!(
            "# card {nth} removed violations={violations}\n"
        )))
    }
}

/// Reports the frames of all queues, and the TCP segments that came over the
/// wire. Lost frames passed the filters, and did not reach memory.
fn counts(nth: usize, card: &Card) -> Text<ANSWER> {
    let (offered, buffered, lost, queues) = card.with(|nic, _| {
        let counters = nic.counters();
        let queues = counters.all_queues();
        let lost = counters.missed + counters.flushed + queues.dropped + queues.queue_disabled;
        (counters.offered, nic.buffered_frames(), lost, queues)
    });
    let QueueCounters {
        delivered, sent, ..
    } = queues;
    let segments = card.segments();
    let violations = card.violations().len();
    Text::of(format_args!(
        "# card {nth} offered={offered} delivered={delivered} lost={lost} buffered={buffered} \
         sent={sent} in-order={} out-of-order={} retransmitted={} violations={violations}\n",
        segments.in_order, segments.out_of_order, segments.retransmitted
    ))
}

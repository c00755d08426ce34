//! Network cards of software for user space: they live as long as the
//! descriptor that made them.

use super::slot::Slot;
use super::traffic::{Frames, Traffic};
use crate::kpi::errno::Errno;
use crate::kpi::nic::{Card, Setup, Wire};
use alloc::vec::Vec;
use kdk_harness::Text;
use kdk_nic82599::QueueCounters;

/// Longest answer, bytes.
pub const ANSWER: usize = super::session::TEXT;

/// What can be done with cards; they are known by numbers from 0.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Puts one in; the driver attaches.
    New,
    /// Connects two back to back.
    Wire(usize, usize),
    /// Plugs the cable in, or pulls it out.
    Link(usize, bool),
    /// Treats a receive queue as if its ring had no descriptors, or no longer.
    Stall(usize, u16, bool),
    /// Has interrupt causes come, bits of EICR.
    Raise(usize, u32),
    /// Keeps what its interface receives from the stack.
    Tap(usize),
    /// Has frames come in from the wire.
    Inject(usize, Frames),
    /// Tells of which flows something was received.
    Flows(usize),
    /// Tells what was received of a flow.
    Received(usize, u16),
    /// Tells what became of its frames.
    Counts(usize),
    /// Takes one out; the driver detaches.
    Remove(usize),
}

impl Command {
    /// Reads what follows `card`; none for what is no command.
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

/// A card, after what has to go before it.
struct Slotted {
    traffic: Traffic,
    card: Card,
}

/// A descriptor's cards.
pub struct Cards {
    /// In the order they go: wires before their ends.
    wires: Vec<(usize, usize, Wire)>,
    cards: Vec<Option<Slotted>>,
    _slot: Slot,
}

impl Cards {
    /// None yet. Tests cannot run meanwhile, of which each looks for what it
    /// left behind.
    ///
    /// # Errors
    /// `EBUSY` when another descriptor runs tests or has cards.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            wires: Vec::new(),
            cards: Vec::new(),
            _slot: Slot::take()?,
        })
    }

    /// Does what is asked, and says what came of it.
    ///
    /// # Errors
    /// `ENXIO` when there is no such card, no driver for one, and no tap;
    /// `EINVAL` for a wire from a card to itself; `EBUSY` for a second wire or
    /// tap; `ENOBUFS` when more was received than is kept; what a driver says
    /// of attaching and detaching.
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

/// Frames of all queues, and TCP segments as the wire has brought them. Lost
/// are those that were for the card, which listened.
fn counts(nth: usize, card: &Card) -> Text<ANSWER> {
    let (offered, held, elsewhere, queues) = card.with(|nic, _| {
        let counters = nic.counters();
        let elsewhere = counters.missed + counters.flushed;
        let queues = counters.all_queues();
        (counters.offered, nic.buffered_frames(), elsewhere, queues)
    });
    let QueueCounters {
        delivered, sent, ..
    } = queues;
    let lost = elsewhere + queues.dropped + queues.queue_disabled;
    let segments = card.segments();
    let violations = card.violations().len();
    Text::of(format_args!(
        "# card {nth} offered={offered} delivered={delivered} lost={lost} held={held} \
         sent={sent} next={} out_of_order={} retransmitted={} violations={violations}\n",
        segments.in_order, segments.out_of_order, segments.retransmitted
    ))
}

//! Frames that user space injects into a NIC, and the frames that its interface
//! receives.

use super::cards::ANSWER;
use crate::kpi::errno::Errno;
use crate::kpi::interface::{Tap, Tapped};
use crate::kpi::nic::Card;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use kdk_harness::Text;
use kdk_nic_oracle::frame;
use kdk_nic82599::{FrameErrors, Received};

/// The most frames of one command. All of them fit into the tap.
const MAX_FRAMES: u16 = 1000;
/// The most frames that are kept for [`Traffic::received`].
const MAX_KEPT: usize = 1 << 16;
/// The number of flows that are tried to find one for a queue.
const MAX_FLOWS_TRIED: u16 = 1024;
/// The default length of a frame: the shortest of Ethernet, without frame check
/// sequence.
const LENGTH: u16 = 60;

/// The flow of injected frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowSelector {
    /// The flow with this number.
    Flow(u16),
    /// The first flow that RSS puts on this queue.
    OfQueue(u16),
}

/// The checksums of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksums {
    Right,
    WrongIp,
    WrongUdp,
    /// There is no UDP checksum.
    NoUdp,
}

/// Datagrams to inject.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    selector: FlowSelector,
    count: u16,
    length: u16,
    errors: FrameErrors,
    checksums: Checksums,
}

impl Frames {
    /// Parses `flow F` or `queue Q` and the options. Returns `None` for invalid
    /// words.
    pub fn parse(words: &[&str]) -> Option<Self> {
        let [kind, number, options @ ..] = words else {
            return None;
        };
        let number = number.parse().ok()?;
        let mut frames = Self {
            selector: match *kind {
                "flow" => FlowSelector::Flow(number),
                "queue" => FlowSelector::OfQueue(number),
                _ => return None,
            },
            count: 1,
            length: LENGTH,
            errors: FrameErrors::NONE,
            checksums: Checksums::Right,
        };
        for option in options {
            frames.set(option.split_once('=')?)?;
        }
        Some(frames)
    }

    fn set(&mut self, (key, value): (&str, &str)) -> Option<()> {
        match (key, value) {
            ("count", count) => {
                let count = count.parse().ok();
                self.count = count.filter(|count| (1..=MAX_FRAMES).contains(count))?;
            }
            ("length", length) => self.length = length.parse().ok()?,
            ("error", "crc") => self.errors.crc = true,
            ("error", "byte") => self.errors.illegal_byte = true,
            ("error", "length") => self.errors.length = true,
            ("error", "stored") => self.errors.descriptor = FrameErrors::RXE,
            ("checksum", "right") => self.checksums = Checksums::Right,
            ("checksum", "wrong-ip") => self.checksums = Checksums::WrongIp,
            ("checksum", "wrong-udp") => self.checksums = Checksums::WrongUdp,
            ("checksum", "none") => self.checksums = Checksums::NoUdp,
            _ => return None,
        }
        Some(())
    }

    fn make(&self, card: &Card, flow: u16, number: u32) -> Vec<u8> {
        let payload = frame::payload(number, self.length.into());
        let mut bytes = frame::udp(card.address(), flow, &payload);
        match self.checksums {
            Checksums::NoUdp => {}
            checksums => frame::set_udp_checksum(&mut bytes, checksums != Checksums::WrongUdp),
        }
        if self.checksums == Checksums::WrongIp {
            frame::corrupt_ip_checksum(&mut bytes);
        }
        bytes
    }
}

/// A frame that the interface received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrival {
    number: u32,
    /// Whether the driver reports that its checksums are valid.
    checked: bool,
}

/// The frames that were injected into a NIC, and those that its interface
/// received since it has a tap.
#[derive(Default)]
pub struct Traffic {
    tap: Option<Tap>,
    /// The next number of each flow.
    next: BTreeMap<u16, u32>,
    arrived: BTreeMap<u16, Vec<Arrival>>,
    /// Received frames that were not injected.
    foreign: u32,
}

impl Traffic {
    /// Taps the interface: received frames are kept here instead of going to
    /// the stack.
    ///
    /// # Errors
    /// Returns `EBUSY` if the interface has a tap.
    pub fn tap(&mut self, card: &Card) -> Result<(), Errno> {
        if self.tap.is_some() {
            return Err(Errno::EBUSY);
        }
        self.tap = Some(card.interface().tap()?);
        Ok(())
    }

    /// Injects frames and counts what the NIC did with them. The numbers of a
    /// flow's frames continue from one command to the next.
    ///
    /// # Errors
    /// Returns `ENXIO` if no flow is on the queue, and `ENOBUFS` while too many
    /// frames wait for [`received`](Self::received).
    pub fn inject(&mut self, card: &Card, frames: &Frames) -> Result<Injected, Errno> {
        if self.tap.is_some() {
            self.take()?;
        }
        let flow = match frames.selector {
            FlowSelector::Flow(flow) => flow,
            FlowSelector::OfQueue(queue) => flow_on(card, queue).ok_or(Errno::ENXIO)?,
        };
        let mut injected = Injected {
            flow,
            ..Injected::default()
        };
        let next = self.next.entry(flow).or_default();
        for _ in 0..frames.count {
            let bytes = frames.make(card, flow, *next);
            *next = next.wrapping_add(1);
            injected.count(card.receive(&bytes, frames.errors));
        }
        Ok(injected)
    }

    /// Reports the number of flows with received frames, and of the frames.
    ///
    /// # Errors
    /// Returns `ENXIO` without a tap, and `ENOBUFS` if the tap lost frames.
    pub fn flows(&mut self, nth: usize) -> Result<Text<ANSWER>, Errno> {
        self.take()?;
        let frames: usize = self.arrived.values().map(Vec::len).sum();
        let flows = self.arrived.values().filter(|flow| !flow.is_empty());
        let foreign = self.foreign;
        Ok(Text::of(format_args!(
            "# card {nth} flows={} frames={frames} foreign={foreign}\n",
            flows.count()
        )))
    }

    /// Removes the received frames of a flow, as many as fit into an answer, and
    /// reports their numbers in the order in which they arrived.
    ///
    /// # Errors
    /// Returns the errors of [`flows`](Self::flows).
    pub fn received(&mut self, nth: usize, flow: u16) -> Result<Text<ANSWER>, Errno> {
        self.take()?;
        let arrived = self.arrived.entry(flow).or_default();
        let mut line = Line::new(format_args!("# card {nth} flow {flow}"));
        let mut written = 0;
        let more = arrived
            .chunk_by(|one, next| {
                one.checked == next.checked && one.number.checked_add(1) == Some(next.number)
            })
            .any(|run| {
                let fits = line.add(run);
                written += if fits { run.len() } else { 0 };
                !fits
            });
        arrived.drain(..written);
        Ok(line.end(more))
    }

    /// Moves the frames of the tap to their flows.
    fn take(&mut self) -> Result<(), Errno> {
        let tap = self.tap.as_mut().ok_or(Errno::ENXIO)?;
        while let Some(tapped) = tap.take() {
            match of(&tapped) {
                Some((flow, arrival)) => self.arrived.entry(flow).or_default().push(arrival),
                None => self.foreign += 1,
            }
        }
        let kept: usize = self.arrived.values().map(Vec::len).sum();
        if tap.lost() != 0 || kept > MAX_KEPT {
            return Err(Errno::ENOBUFS);
        }
        Ok(())
    }
}

/// Returns the flow and the number of an injected frame.
fn of(tapped: &Tapped) -> Option<(u16, Arrival)> {
    let valid = tapped.valid();
    let arrival = Arrival {
        number: frame::number(&tapped.bytes)?,
        checked: valid.network && valid.transport,
    };
    Some((frame::flow(&tapped.bytes)?, arrival))
}

/// Finds the first flow whose frames the card puts on this queue.
fn flow_on(card: &Card, queue: u16) -> Option<u16> {
    let mut bytes = frame::udp(card.address(), 0, &frame::payload(0, 0));
    (0..MAX_FLOWS_TRIED).find(|&flow| {
        frame::set_flow(&mut bytes, flow);
        card.with(|nic, _| nic.queue_of(&bytes)) == queue
    })
}

/// Counts of what the NIC did with frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Injected {
    flow: u16,
    delivered: u32,
    buffered: u32,
    dropped: u32,
    errored: u32,
    other: u32,
}

impl Injected {
    const fn count(&mut self, received: Received) {
        let count = match received {
            Received::Delivered { .. } => &mut self.delivered,
            Received::Buffered { .. } => &mut self.buffered,
            Received::Dropped { .. } => &mut self.dropped,
            Received::Errored => &mut self.errored,
            Received::QueueDisabled { .. }
            | Received::Missed
            | Received::Filtered
            | Received::Control
            | Received::ReceiveDisabled => &mut self.other,
        };
        *count += 1;
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flow,
            delivered,
            buffered,
            dropped,
            errored,
            other,
        } = self;
        write!(
            out,
            "flow={flow} delivered={delivered} buffered={buffered} dropped={dropped} errored={errored} \
             other={other}"
        )
    }
}

/// One line of an answer. It keeps room for [`MORE`] and the end of the line.
struct Line(Text<ANSWER>);

/// The word at the end of a line that lacks some of the answer.
const MORE: &str = " ..";

impl Line {
    fn new(start: fmt::Arguments<'_>) -> Self {
        Self(Text::of(start))
    }

    /// Appends the numbers of a run of frames. Returns false if there is no
    /// room for them.
    fn add(&mut self, run: &[Arrival]) -> bool {
        let [first, ..] = run else {
            return true;
        };
        let mark = if first.checked { "" } else { "!" };
        let word: Text<32> = match run {
            [_, .., last] => Text::of(format_args!(" {}-{}{mark}", first.number, last.number)),
            _ => Text::of(format_args!(" {}{mark}", first.number)),
        };
        let used = self.0.as_str().len() + word.as_str().len();
        used + MORE.len() < ANSWER && self.0.write_str(word.as_str()).is_ok()
    }

    /// Ends the line, with [`MORE`] if `more` is set.
    fn end(mut self, more: bool) -> Text<ANSWER> {
        // There is room for both, so neither fails.
        let _ = self.0.write_str(if more { MORE } else { "" });
        let _ = self.0.write_str("\n");
        self.0
    }
}

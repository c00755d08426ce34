//! The cost of frames between NIC and stack, and the effect of a ring without
//! descriptors on the others, for `cargo xtask bench ixgbe`. These tests only
//! measure, and check that the load is as intended.

use super::{Card, LIMIT_MS, Setup, TYPES, frame, leave, running, until, until_state};
use crate::kpi::interface::{LinkState, Tap, ticks};
use crate::kpi::notes::note;
use alloc::vec;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult, kdk_test};
use kdk_nic82599::registers::{EIMC_EX, EIMS_EX};
use kdk_nic82599::{FrameErrors, Partner, Received};

/// The number of receive queues, and of CPUs.
const QUEUES: u16 = 4;
/// The queue whose ring is without descriptors.
const STALLED: u16 = QUEUES - 1;
/// The number of frames per queue and round: fewer than the descriptors of a ring.
const ROUND: u32 = 256;
/// The number of rounds.
const ROUNDS: u32 = 8;
/// The number of flows that are tried to find one for each queue.
const FLOWS: u16 = 512;
/// The length of the headers of a datagram.
const HEADERS: usize = 14 + 20 + 8;
/// The length of the frame check sequence, which is not passed to the model.
const FCS: usize = 4;
/// The interrupt causes of the receive queues, which have the first vectors.
const CAUSES: u32 = (1 << QUEUES) - 1;
/// Without pause frames, which would delay the load.
const PARTNER: Partner = Partner {
    autoneg: true,
    symmetric_pause: false,
    asymmetric_pause: false,
};

macro_rules! sizes {
    ($($name:literal: $size:literal),* $(,)?) => {
        $(kdk_test!(
            concat!("ixgbe/bench-", $name),
            || measure($size),
            limit_ms = 5 * LIMIT_MS,
            default = false,
            cpus = super::SEVERAL,
            leak_types = TYPES
        );)*
    };
}

// Bytes of a frame with its check sequence.
sizes! {
    "64": 64,
    "128": 128,
    "256": 256,
    "512": 512,
    "1024": 1024,
    "1518": 1518,
}

/// Measures a load twice: first all rings have descriptors, then one has none.
fn measure(size: usize) -> TestResult {
    let card = running(&Setup::nth(0))?;
    if card.usage().messages != u32::from(QUEUES) + 1 {
        return Err(Stop::Skip("four queues are needed: try `--cpus 4`"));
    }
    card.with(|nic, _| nic.set_partner(PARTNER));
    negotiate(&card)?;
    let mut tap = card.interface().tap()?;
    let flows = flows(&card, &mut tap)?;
    for stalled in [false, true] {
        card.with(|nic, memory| nic.stall(STALLED, stalled, memory));
        let mut run = Run::new();
        for _ in 0..ROUNDS {
            run.round(&card, &mut tap, &flows, size)?;
        }
        let Run {
            offered,
            got,
            astray,
            offering,
            receiving,
            ..
        } = run;
        let own = got[usize::from(STALLED)];
        let others = got.iter().sum::<u32>() - own;
        // Frames for the other queues.
        let offered = offered - offered / u32::from(QUEUES);
        note(
            "run",
            &format_args!(
                "size={size} stalled={} offered={offered} others={others} own={own} astray={astray} \
                 offering={offering} receiving={receiving}",
                u8::from(stalled)
            ),
        );
    }
    card.with(|nic, memory| nic.stall(STALLED, false, memory));
    until("frames stay in the packet buffer", || {
        card.with(|nic, _| nic.buffered_frames() == 0).then_some(())
    })?;
    drop(tap);
    leave(card)
}

/// Negotiates the link again.
fn negotiate(card: &Card) -> TestResult {
    for (up, state) in [(false, LinkState::Down), (true, LinkState::Up)] {
        card.set_link(up);
        until_state(card.interface(), "the link does not follow", |seen| {
            seen.link == state
        })?;
    }
    Ok(())
}

/// Finds a flow for each queue.
fn flows(card: &Card, tap: &mut Tap) -> Result<[u16; QUEUES as usize], Stop> {
    let mut found = [None; QUEUES as usize];
    for flow in 0..FLOWS {
        let frame = frame::udp(card.address(), flow, b"which queue is it?");
        let Received::Delivered { queue } = card.receive(&frame, FrameErrors::NONE) else {
            return Err(Stop::Fail("a frame for the card is not delivered"));
        };
        until("a frame does not reach the stack", || tap.take())?;
        if let Some(place) = found.get_mut(usize::from(queue)) {
            *place = Some(flow);
        }
        if found.iter().all(Option::is_some) {
            return Ok(found.map(|flow| flow.unwrap_or(0)));
        }
    }
    Err(Stop::Fail("no flow falls on one of the queues"))
}

/// The measurements of one load.
struct Run {
    /// Frames injected, for all queues.
    offered: u32,
    /// Frames received by the stack, by queue.
    got: [u32; QUEUES as usize],
    /// The next sequence number, by queue.
    next: [u32; QUEUES as usize],
    /// Frames received by the stack out of order.
    astray: u32,
    /// Ticks of the injection, which is work of the model.
    offering: u64,
    /// Ticks from the interrupt to the last frame that the stack received.
    receiving: u64,
}

impl Run {
    const fn new() -> Self {
        Self {
            offered: 0,
            got: [0; QUEUES as usize],
            next: [0; QUEUES as usize],
            astray: 0,
            offering: 0,
            receiving: 0,
        }
    }

    /// Injects frames for all queues in turn while their interrupts are masked,
    /// unmasks them, and waits until the stack has received the frames.
    fn round(
        &mut self,
        card: &Card,
        tap: &mut Tap,
        flows: &[u16; QUEUES as usize],
        size: usize,
    ) -> TestResult {
        let mut frames: Vec<Vec<u8>> = flows
            .iter()
            .map(|flow| {
                let payload = vec![0; size - FCS - HEADERS];
                frame::udp(card.address(), *flow, &payload)
            })
            .collect();
        let before = (delivered(card), tap.arrived().0);
        card.with(|nic, memory| nic.write(EIMC_EX[0], CAUSES, memory));
        let start = ticks();
        for nth in 0..ROUND {
            for (queue, frame) in frames.iter_mut().enumerate() {
                let sequence = self.offered / u32::from(QUEUES);
                mark(frame, queue, sequence);
                let received = card.receive(frame, FrameErrors::NONE);
                let fit = matches!(
                    received,
                    Received::Delivered { .. }
                        | Received::Buffered { .. }
                        | Received::Dropped { .. }
                        | Received::Missed
                );
                assert!(fit, "frame {nth} of a round: {received:?}");
            }
            self.offered += u32::from(QUEUES);
        }
        let offered = ticks();
        self.offering += offered - start;
        let coming = delivered(card) - before.0;
        card.with(|nic, memory| nic.write(EIMS_EX[0], CAUSES, memory));
        if coming > 0 {
            let last = until("frames do not reach the stack", || {
                let (arrived, last) = tap.arrived();
                (arrived - before.1 == coming).then_some(last)
            })?;
            self.receiving += last.saturating_sub(offered);
        }
        while let Some(tapped) = tap.take() {
            self.count(&tapped.bytes);
        }
        Ok(())
    }

    /// Counts a frame that the stack received.
    fn count(&mut self, frame: &[u8]) {
        let Some((queue, sequence)) = marks(frame) else {
            self.astray += 1;
            return;
        };
        let (Some(got), Some(next)) = (self.got.get_mut(queue), self.next.get_mut(queue)) else {
            self.astray += 1;
            return;
        };
        *got += 1;
        self.astray += u32::from(sequence != *next);
        *next = sequence + 1;
    }
}

/// Returns the number of frames that the NIC has written to memory.
fn delivered(card: &Card) -> u64 {
    card.with(|nic, _| nic.counters().all_queues().delivered)
}

/// Writes queue and sequence number into a frame's payload.
fn mark(frame: &mut [u8], queue: usize, sequence: u32) {
    let marks = [queue.to_le_bytes()[0]]
        .into_iter()
        .chain(sequence.to_be_bytes());
    for (to, from) in frame.iter_mut().skip(HEADERS).zip(marks) {
        *to = from;
    }
}

/// Reads queue and sequence number of a frame.
fn marks(frame: &[u8]) -> Option<(usize, u32)> {
    let payload = frame.get(HEADERS..)?;
    let sequence = payload.get(1..)?.first_chunk()?;
    Some((
        usize::from(*payload.first()?),
        u32::from_be_bytes(*sequence),
    ))
}

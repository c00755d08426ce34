//! Frames with an error that the NIC stores. The driver drops and counts them,
//! without other effects.

use super::batch::receive_batch;
use super::quiesce::{resets, task_done};
use super::tap::{expect, next, nothing_more};
use super::{Card, LinkState, Setup, frame, leave, up};
use crate::kpi::cpus::cpus;
use crate::kpi::interface::{Checksums, Tap};
use crate::kpi::sysctl;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::registers::{FCTRL, FCTRL_SBP, rdh, rdlen};
use kdk_nic82599::{Direction, FrameErrors, Received};

/// The MTU of jumbo frames, and the length of such a frame with its header. The
/// driver uses buffers of 4096 bytes, so a frame has three.
pub const JUMBO: u32 = 9000;
pub const JUMBO_FRAME: usize = 9014;
const JUMBO_BUFFERS: u32 = 3;

const QUEUE: u16 = 0;

/// Attaches a NIC without LRO, with this MTU.
pub fn plain(mtu: u32) -> Result<Card, Stop> {
    let card = Card::attach(&Setup::nth(0))?;
    card.interface().set_lro(false)?;
    card.interface().set_mtu(mtu)?;
    up(card)
}

const fn wrong(descriptor: u32) -> FrameErrors {
    FrameErrors {
        descriptor,
        ..FrameErrors::NONE
    }
}

const BAD: FrameErrors = wrong(FrameErrors::RXE);
const GOOD: FrameErrors = FrameErrors::NONE;

/// Makes a frame for queue 0: RSS does not hash it.
fn raw(card: &Card, length: usize, seed: u8) -> Vec<u8> {
    frame::raw(card.address(), length, seed)
}

/// Asserts that the NIC was not reset, and that the link is up.
fn undisturbed(card: &Card, before: u64) -> TestResult {
    task_done(card)?;
    assert_eq!(resets(card), before, "resets");
    let state = card.interface().state()?;
    assert_eq!(state.link, LinkState::Up, "{state:?}");
    Ok(())
}

/// Reads a counter of the driver's.
fn of_queue(counter: &str) -> Result<u64, Stop> {
    Ok(sysctl::read(&format!("dev.ix.0.queue{QUEUE}.{counter}"))?)
}

/// A frame after a bad one is received.
pub fn alone() -> TestResult {
    let card = plain(1500)?;
    let mut tap = card.interface().tap()?;
    let before = resets(&card);
    let packets = of_queue("rx_packets")?;
    let [bad, good] = [1, 2].map(|seed| raw(&card, 600, seed));
    receive_batch(&card, &[QUEUE], &[(&bad, BAD)])?;
    receive_batch(&card, &[QUEUE], &[(&good, GOOD)])?;
    expect(&mut tap, &good)?;
    nothing_more(&card, &[QUEUE], &mut tap)?;
    undisturbed(&card, before)?;
    assert_eq!(of_queue("rx_discarded")?, 1, "frames that were discarded");
    assert_eq!(of_queue("rx_packets")? - packets, 1, "frames that were not");
    drop(tap);
    leave(card)
}

/// Frames before and after a bad one in the ring are received.
pub fn between() -> TestResult {
    let card = plain(1500)?;
    let mut tap = card.interface().tap()?;
    let before = resets(&card);
    let [first, bad, last] = [1, 2, 3].map(|seed| raw(&card, 600, seed));
    receive_batch(
        &card,
        &[QUEUE],
        &[(&first, GOOD), (&bad, BAD), (&last, GOOD)],
    )?;
    expect(&mut tap, &first)?;
    expect(&mut tap, &last)?;
    nothing_more(&card, &[QUEUE], &mut tap)?;
    undisturbed(&card, before)?;
    drop(tap);
    leave(card)
}

/// All buffers of a bad frame with several are skipped.
pub fn chain() -> TestResult {
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let before = resets(&card);
    let head = || card.with(|nic, _| nic.peek(rdh(QUEUE)));
    let first_descriptor = head();
    let [first, bad, second] = [1, 2, 3].map(|seed| raw(&card, JUMBO_FRAME, seed));
    let short = raw(&card, 100, 4);
    receive_batch(
        &card,
        &[QUEUE],
        &[(&first, GOOD), (&bad, BAD), (&second, GOOD), (&short, GOOD)],
    )?;
    for frame in [&first, &second, &short] {
        expect(&mut tap, frame)?;
    }
    nothing_more(&card, &[QUEUE], &mut tap)?;
    assert_eq!(
        head() - first_descriptor,
        3 * JUMBO_BUFFERS + 1,
        "descriptors that these frames have"
    );
    refilled(&card, QUEUE);
    undisturbed(&card, before)?;
    drop(tap);
    leave(card)
}

/// The size of a descriptor.
const DESCRIPTOR: u32 = 16;

/// Asserts that the NIC owns all descriptors of a queue but one, which
/// distinguishes a full ring from an empty one. The driver fills the ring with
/// the first frame.
#[track_caller]
fn refilled(card: &Card, queue: u16) {
    let (owned, length) = card.with(|nic, _| {
        let owned = nic.owned(Direction::Receive, queue);
        (owned, nic.peek(rdlen(queue)))
    });
    assert_eq!(
        owned,
        length / DESCRIPTOR - 1,
        "descriptors of queue {queue}"
    );
}

/// The number of flows for each queue, and of those that are tried to find them.
const FLOWS: usize = 4;
const TRIED: u16 = 512;
/// The number of frames of a batch, and the distance of good ones.
const BATCH: usize = 500;
const GOOD_EVERY: usize = 7;

/// No number of bad frames leaks a descriptor or a buffer.
pub fn burst() -> TestResult {
    let card = plain(1500)?;
    let queues: Vec<u16> = (0..16).take(cpus().count_ones() as usize).collect();
    let mut tap = card.interface().tap()?;
    let before = resets(&card);
    let rings = queues
        .iter()
        .map(|&queue| card.with(|nic, _| nic.peek(rdlen(queue))) / DESCRIPTOR);
    let numbers: Vec<usize> = (0..3 * rings.sum::<u32>() as usize).collect();
    let flows = flows(&card, &queues, &mut tap)?;
    for numbers in numbers.chunks(BATCH) {
        let numbered = |&number: &usize| {
            let errors = if number % GOOD_EVERY == 0 { GOOD } else { BAD };
            (datagram(&card, &flows, number), errors)
        };
        receive_batch(
            &card,
            &queues,
            &numbers.iter().map(numbered).collect::<Vec<_>>(),
        )?;
        let good = numbers.iter().filter(|&number| number % GOOD_EVERY == 0);
        in_order(&card, &flows, good, &mut tap)?;
    }
    nothing_more(&card, &queues, &mut tap)?;
    for &queue in &queues {
        refilled(&card, queue);
    }
    undisturbed(&card, before)?;
    drop(tap);
    leave(card)
}

/// Finds flows for each queue, in the order of the queues. The rings are full
/// afterwards.
fn flows(card: &Card, queues: &[u16], tap: &mut Tap) -> Result<Vec<u16>, Stop> {
    let mut found: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    for nth in 0..TRIED {
        // The hash is linear, so that neighbours might share a queue.
        let flow = nth.wrapping_mul(0x9e37);
        let frame = frame::udp(card.address(), flow, &[0; 64]);
        match card.receive(&frame, GOOD) {
            Received::Delivered { queue } => found.entry(queue).or_default().push(flow),
            other => panic!("flow {flow} was {other:?}"),
        }
        next(tap)?;
        let full = |queue| found.get(queue).is_some_and(|flows| flows.len() >= FLOWS);
        if queues.iter().all(full) {
            let flows = found
                .into_values()
                .flat_map(|flows| flows.into_iter().take(FLOWS));
            return Ok(flows.collect());
        }
    }
    Err(Stop::Fail("too few flows fall on one of the queues"))
}

fn flow_of(flows: &[u16], number: usize) -> u16 {
    flows[number % flows.len()]
}

fn datagram(card: &Card, flows: &[u16], number: usize) -> Vec<u8> {
    let payload = u64::try_from(number).unwrap_or_default().to_be_bytes();
    frame::udp(card.address(), flow_of(flows, number), &payload.repeat(8))
}

/// Asserts that the stack receives these datagrams, those of a flow in order.
fn in_order<'a>(
    card: &Card,
    flows: &[u16],
    numbers: impl Iterator<Item = &'a usize>,
    tap: &mut Tap,
) -> TestResult {
    let mut due: BTreeMap<u16, VecDeque<usize>> = BTreeMap::new();
    let mut count = 0;
    for &number in numbers {
        due.entry(flow_of(flows, number))
            .or_default()
            .push_back(number);
        count += 1;
    }
    for _ in 0..count {
        let tapped = next(tap)?;
        let number = tapped
            .bytes
            .get(frame::UDP_PAYLOAD..)
            .and_then(<[u8]>::first_chunk);
        let number = number.map_or(usize::MAX, |bytes| {
            usize::try_from(u64::from_be_bytes(*bytes)).unwrap_or(usize::MAX)
        });
        let wanted = due
            .get_mut(&flow_of(flows, number))
            .and_then(VecDeque::pop_front);
        assert_eq!(Some(number), wanted, "the next of its flow");
        assert_eq!(
            tapped.bytes,
            datagram(card, flows, number),
            "datagram {number}"
        );
    }
    Ok(())
}

/// Every receive error makes a frame a bad one. Checksum errors do not.
pub fn kinds() -> TestResult {
    let card = plain(1500)?;
    let mut tap = card.interface().tap()?;
    let before = resets(&card);
    let segment = frame::tcp(card.address(), 1, 1000, &[0x5a; 600]);
    // All queues, since the queue of the flow is unknown.
    let queues: Vec<u16> = (0..16).take(cpus().count_ones() as usize).collect();
    for bit in [
        FrameErrors::CE,
        FrameErrors::LE,
        FrameErrors::PE,
        FrameErrors::OSE,
        FrameErrors::RXE,
    ] {
        receive_batch(&card, &queues, &[(&segment, wrong(bit))])?;
        nothing_more(&card, &queues, &mut tap)?;
    }
    const NEITHER: Checksums = Checksums {
        network: false,
        transport: false,
    };
    const BOTH: Checksums = Checksums {
        network: true,
        transport: true,
    };
    for (bit, checked) in [
        (0, BOTH),
        (FrameErrors::IPE, NEITHER),
        (FrameErrors::L4E, NEITHER),
    ] {
        receive_batch(&card, &queues, &[(&segment, wrong(bit))])?;
        let tapped = next(&mut tap)?;
        assert_eq!(tapped.bytes, segment, "with the error {bit:#x}");
        assert_eq!(tapped.valid(), checked, "with the error {bit:#x}");
    }
    nothing_more(&card, &queues, &mut tap)?;
    undisturbed(&card, before)?;
    drop(tap);
    leave(card)
}

/// Lengths of frames in one, two and three buffers of 4096 bytes.
const LENGTHS: [usize; 8] = [600, 4096, 4097, 5000, 8192, 8193, JUMBO_FRAME, 100];

/// A bad frame counts as one input error, in however many buffers it is, and not as
/// a packet.
pub fn counted() -> TestResult {
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let before = card.interface().iflib_counters()?;
    let frames: Vec<_> = (0..)
        .zip(LENGTHS.repeat(2))
        .map(|(nth, length)| {
            let errors = if nth % 3 == 1 { GOOD } else { BAD };
            (raw(&card, length, nth), errors)
        })
        .collect();
    receive_batch(&card, &[QUEUE], &frames)?;
    let (mut packets, mut bytes) = (0, 0);
    let good = frames.iter().filter(|(_, errors)| *errors == GOOD);
    for (frame, _) in good {
        expect(&mut tap, frame)?;
        packets += 1;
        bytes += frame.len() as u64;
    }
    nothing_more(&card, &[QUEUE], &mut tap)?;
    let errors = frames.len() as u64 - packets;
    let after = card.interface().iflib_counters()?;
    assert_eq!(
        (
            after.errors - before.errors,
            after.packets - before.packets,
            after.bytes - before.bytes
        ),
        (errors, packets, bytes),
        "errors, packets and bytes"
    );
    assert_eq!(
        of_queue("rx_discarded")?,
        errors,
        "frames that the driver has discarded"
    );
    drop(tap);
    leave(card)
}

/// Frames with a wrong frame check sequence that the NIC stores (FCTRL.SBP) are
/// dropped, and the driver reports each as one input error.
pub fn reported() -> TestResult {
    const WRONG: FrameErrors = FrameErrors {
        crc: true,
        ..FrameErrors::NONE
    };
    let reported = || sysctl::read("dev.ix.0.mac_stats.rx_errs");
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let (before, resets_before) = (reported()?, resets(&card));
    card.with(|nic, memory| nic.write(FCTRL, nic.peek(FCTRL) | FCTRL_SBP, memory));
    let frames: Vec<_> = (0..)
        .zip(LENGTHS)
        .map(|(nth, length)| (raw(&card, length, nth), WRONG))
        .collect();
    receive_batch(&card, &[QUEUE], &frames)?;
    nothing_more(&card, &[QUEUE], &mut tap)?;
    undisturbed(&card, resets_before)?;
    let frames = frames.len() as u64;
    assert_eq!(
        of_queue("rx_discarded")?,
        frames,
        "frames that the driver has discarded"
    );
    assert_eq!(reported()? - before, frames, "reported input errors");
    drop(tap);
    leave(card)
}

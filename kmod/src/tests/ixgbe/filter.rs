//! Packet filters (pfil(9)) on the link-layer head, which iflib(9) calls for each
//! received frame.

use super::bad_frame::{JUMBO, JUMBO_FRAME, plain};
use super::quiesce::quiesce;
use super::tap::{expect, next, nothing_more};
use super::{Card, batch, frame, leave};
use crate::kpi::filter::{Filter, FilteredFrame, Rule};
use crate::kpi::interface::Tapped;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use kdk_harness::TestResult;

/// The size of the driver's buffers for jumbo frames.
pub const BUFFER: usize = 4096;
/// Lengths of frames in two and in three buffers.
const LENGTHS: [usize; 5] = [BUFFER + 1, 5000, 2 * BUFFER, 2 * BUFFER + 1, JUMBO_FRAME];

fn frames(card: &Card, count: usize, length: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|nth| frame::raw(card.address(), length, nth.to_le_bytes()[0]))
        .collect()
}

/// Returns the calls of the filter, once the driver is idle.
fn shown(card: &Card, filter: &mut Filter) -> Result<Vec<FilteredFrame>, kdk_harness::Stop> {
    quiesce(card, &[0])?;
    assert_eq!(filter.lost(), 0, "calls that were not recorded");
    Ok(core::iter::from_fn(|| filter.next_call()).collect())
}

/// Asserts that the filter was called once, for the frame as an mbuf chain.
fn as_a_chain(shown: &[FilteredFrame], frame: &[u8]) {
    let calls: Vec<_> = shown
        .iter()
        .map(|call| (call.in_ring, call.length, call.chain))
        .collect();
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    assert_eq!(
        calls,
        [(false, length, length)],
        "calls: in the ring, bytes"
    );
    assert!(shown[0].bytes == frame, "not the frame that came in");
}

/// All buffers of a dropped frame are freed.
pub fn chain_drop() -> TestResult {
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let mut filter = Filter::on(card.interface(), Rule::Drop)?;
    let frames: Vec<_> = LENGTHS
        .into_iter()
        .flat_map(|length| frames(&card, 20, length))
        .collect();
    for some in frames.chunks(10) {
        batch::receive_good(&card, some)?;
        nothing_more(&card, &[0], &mut tap)?;
        assert_eq!(shown(&card, &mut filter)?.len(), some.len(), "calls");
    }
    drop(filter);
    batch::receive_good(&card, &frames[..1])?;
    expect(&mut tap, &frames[0])?;
    nothing_more(&card, &[0], &mut tap)?;
    drop(tap);
    leave(card)
}

/// The filter is called once for a complete frame.
pub fn chain_once() -> TestResult {
    passes_as_a_chain(Rule::Pass, |_| {})
}

/// The filter is not called for a later buffer of a frame.
pub fn chain_later() -> TestResult {
    const DROPPED: u8 = 0xff;
    passes_as_a_chain(Rule::DropFirst(DROPPED), |frame| frame[BUFFER] = DROPPED)
}

/// Asserts that a frame of several buffers, after `change`, reaches the filter as
/// a chain and passes.
fn passes_as_a_chain(rule: Rule, change: impl Fn(&mut [u8])) -> TestResult {
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let mut filter = Filter::on(card.interface(), rule)?;
    for length in LENGTHS {
        let mut frames = frames(&card, 1, length);
        change(&mut frames[0]);
        batch::receive_good(&card, &frames)?;
        as_a_chain(&shown(&card, &mut filter)?, &frames[0]);
        expect(&mut tap, &frames[0])?;
        nothing_more(&card, &[0], &mut tap)?;
    }
    drop(filter);
    drop(tap);
    leave(card)
}

/// A filter that consumes a frame gets all of it.
pub fn chain_consume() -> TestResult {
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let mut filter = Filter::on(card.interface(), Rule::Consume)?;
    let frames: Vec<_> = LENGTHS
        .into_iter()
        .flat_map(|length| frames(&card, 4, length))
        .collect();
    for frame in &frames {
        batch::receive_good(&card, core::slice::from_ref(frame))?;
        as_a_chain(&shown(&card, &mut filter)?, frame);
        let kept: Vec<_> = core::iter::from_fn(|| filter.next_consumed()).collect();
        as_a_chain(&kept, frame);
    }
    nothing_more(&card, &[0], &mut tap)?;
    drop(filter);
    drop(tap);
    leave(card)
}

/// The filter is called for a frame of one buffer in the ring, with its length.
/// The buffer is reused.
pub fn one_buffer() -> TestResult {
    // The shortest, the longest, and lengths around the copy limit.
    const LENGTHS: [usize; 4] = [60, 128, 129, 1514];
    let card = plain(1500)?;
    let mut tap = card.interface().tap()?;
    for rule in [Rule::Pass, Rule::Drop, Rule::Consume] {
        let mut filter = Filter::on(card.interface(), rule)?;
        let frames = LENGTHS.map(|length| frame::raw(card.address(), length, 1));
        batch::receive_good(&card, &frames)?;
        let shown = shown(&card, &mut filter)?;
        let expected = frames.iter().map(|frame| {
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            FilteredFrame {
                in_ring: true,
                length,
                chain: length,
                bytes: frame.clone(),
            }
        });
        assert!(shown.into_iter().eq(expected), "{rule:?}: not these frames");
        for frame in frames.iter().filter(|_| rule == Rule::Pass) {
            expect(&mut tap, frame)?;
        }
        nothing_more(&card, &[0], &mut tap)?;
        assert_eq!(filter.next_consumed(), None, "{rule:?}");
    }
    drop(tap);
    leave(card)
}

/// A filter replaces a frame of several buffers by a copy.
pub fn chain_replace() -> TestResult {
    const AT: u32 = 5000;
    const TRIM: u32 = 10;
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let rule = Rule::Replace { at: AT, trim: TRIM };
    let mut filter = Filter::on(card.interface(), rule)?;
    for frame in &frames(&card, 20, JUMBO_FRAME) {
        batch::receive_good(&card, core::slice::from_ref(frame))?;
        as_a_chain(&shown(&card, &mut filter)?, frame);
        let mut expected = frame[..JUMBO_FRAME - TRIM as usize].to_vec();
        expected[AT as usize] ^= 0xff;
        expect(&mut tap, &expected)?;
    }
    nothing_more(&card, &[0], &mut tap)?;
    drop(filter);
    drop(tap);
    leave(card)
}

/// Makes datagrams with a checksum, for queue 0.
fn datagrams(card: &Card, count: usize, length: usize) -> Vec<Vec<u8>> {
    let datagram = |number: u16| {
        let payload = frame::payload(number.into(), length);
        let mut frame = frame::udp(card.address(), number, &payload);
        frame::set_udp_checksum(&mut frame, true);
        frame
    };
    (0..u16::MAX)
        .map(datagram)
        .filter(|frame| card.with(|nic, _| nic.queue_of(frame)) == 0)
        .take(count)
        .collect()
}

/// Returns what the NIC reports about a frame: the hash and its type, valid
/// checksums, and the VLAN tag.
fn reported(tapped: &Tapped) -> (u32, u32, u32, Option<u16>) {
    (tapped.flow, tapped.hash_type, tapped.checksums, tapped.vlan)
}

/// Asserts that the stack receives the replacements of the filter, with all that
/// the NIC reports about the frames.
fn replaced(length: usize, at: u32, trim: u32) -> TestResult {
    let card = plain(1500)?;
    let mut tap = card.interface().tap()?;
    let frames = datagrams(&card, 300, length);
    let mut unfiltered = VecDeque::new();
    for some in frames.chunks(50) {
        batch::receive_good(&card, some)?;
        for frame in some {
            let tapped = next(&mut tap)?;
            assert!(tapped.bytes == *frame, "not the frame that came in");
            assert_ne!(tapped.flow, 0, "no hash");
            let valid = tapped.valid();
            assert!(valid.network && valid.transport, "{valid:?}");
            unfiltered.push_back(reported(&tapped));
        }
    }
    let mut filter = Filter::on(card.interface(), Rule::Replace { at, trim })?;
    for some in frames.chunks(50) {
        batch::receive_good(&card, some)?;
        assert_eq!(shown(&card, &mut filter)?.len(), some.len(), "calls");
        for frame in some {
            let mut bytes = frame[..length - trim as usize].to_vec();
            bytes[at as usize] ^= 0xff;
            let tapped = next(&mut tap)?;
            assert!(tapped.bytes == bytes, "not the replacement");
            assert_eq!(Some(reported(&tapped)), unfiltered.pop_front());
        }
    }
    nothing_more(&card, &[0], &mut tap)?;
    drop(filter);
    drop(tap);
    leave(card)
}

/// A filter replaces frames whose buffer the driver passes on.
pub fn realloc() -> TestResult {
    replaced(1000, 100, 10)
}

/// A filter replaces frames that the driver copies.
pub fn realloc_small() -> TestResult {
    replaced(100, 50, 10)
}

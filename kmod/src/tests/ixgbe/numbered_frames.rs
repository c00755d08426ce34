//! Frames with numbers, on a NIC that hands them on as they are.

use super::batch::receive_batch;
use super::tap::{expect, next, nothing_more};
use super::{Card, Setup, frame, up};
use crate::kpi::interface::Tap;
use alloc::vec::Vec;
use core::ops::Range;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::{FrameErrors, Received};

/// Where the number is in a frame: behind its header.
pub const AT: usize = 14;
/// The queue of frames that RSS does not hash.
pub const QUEUE: u16 = 0;
/// Bytes of a frame that is not small enough to be copied.
pub const LENGTH: usize = 1000;

/// A NIC that joins nothing of what it receives, with a link.
pub fn plain(setup: &Setup) -> Result<Card, Stop> {
    let card = Card::attach(setup)?;
    card.interface().set_lro(false)?;
    up(card)
}

/// A frame for [`QUEUE`], of so many bytes.
pub fn numbered(card: &Card, number: u32, length: usize) -> Vec<u8> {
    let mut frame = frame::raw(card.address(), length, number.to_le_bytes()[0]);
    frame[AT..AT + 4].copy_from_slice(&number.to_be_bytes());
    frame
}

/// The number of a frame that was received.
pub fn number(frame: &[u8]) -> Option<u32> {
    let bytes = frame.get(AT..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// These frames come in all at once, before the driver looks.
pub fn burst(card: &Card, numbers: Range<u32>) -> TestResult {
    let frames = numbers.map(|nth| (numbered(card, nth, LENGTH), FrameErrors::NONE));
    receive_batch(card, &[QUEUE], &frames.collect::<Vec<_>>())
}

/// This frame comes in, and the driver is told.
pub fn one(card: &Card, number: u32) {
    let received = card.receive(&numbered(card, number, LENGTH), FrameErrors::NONE);
    let queue = QUEUE;
    assert_eq!(received, Received::Delivered { queue }, "frame {number}");
}

/// The stack gets these frames and no others, in order.
pub fn all(card: &Card, tap: &mut Tap, numbers: Range<u32>) -> TestResult {
    for nth in numbers {
        expect(tap, &numbered(card, nth, LENGTH))?;
    }
    nothing_more(card, &[QUEUE], tap)
}

/// Numbers of all frames until this one, which are whole.
pub fn until_number(card: &Card, tap: &mut Tap, last: u32) -> Result<Vec<u32>, Stop> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let tapped = next(tap)?;
        let nth = number(&tapped.bytes).unwrap_or(u32::MAX);
        assert_eq!(tapped.bytes, numbered(card, nth, LENGTH), "frame {nth}");
        seen.push(nth);
    }
    Ok(seen)
}

/// More frames than all of the ring's descriptors, so many times, are received
/// byte for byte.
pub fn rings(card: &Card, tap: &mut Tap, times: u32) -> TestResult {
    let descriptors = card.with(|nic, _| nic.owned(kdk_nic82599::Direction::Receive, QUEUE));
    let total = times * (descriptors + 1);
    for first in (0..total).step_by(64) {
        burst(card, first..first + 64)?;
        all(card, tap, first..first + 64)?;
    }
    Ok(())
}

//! Numbered frames, on a NIC without LRO.

use super::batch::receive_batch;
use super::tap::{expect, nothing_more};
use super::{Card, Setup, frame, up};
use crate::kpi::interface::Tap;
use alloc::vec::Vec;
use core::ops::Range;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::{FrameErrors, Received};

/// The offset of the number in a frame, after its header.
pub const AT: usize = 14;
/// The queue of frames that RSS does not hash.
pub const QUEUE: u16 = 0;
/// The length of a frame that drivers do not copy.
pub const LENGTH: usize = 1000;

/// Attaches a NIC without LRO, and waits for its link.
pub fn plain(setup: &Setup) -> Result<Card, Stop> {
    let card = Card::attach(setup)?;
    card.interface().set_lro(false)?;
    up(card)
}

/// Makes a frame for [`QUEUE`] of `length` bytes.
pub fn numbered(card: &Card, number: u32, length: usize) -> Vec<u8> {
    let mut frame = frame::raw(card.address(), length, number.to_le_bytes()[0]);
    frame[AT..AT + 4].copy_from_slice(&number.to_be_bytes());
    frame
}

/// Injects these frames at once, before the driver sees any.
pub fn burst(card: &Card, numbers: Range<u32>) -> TestResult {
    let frames = numbers.map(|nth| (numbered(card, nth, LENGTH), FrameErrors::NONE));
    receive_batch(card, &[QUEUE], &frames.collect::<Vec<_>>())
}

/// Injects this frame.
pub fn one(card: &Card, number: u32) {
    let received = card.receive(&numbered(card, number, LENGTH), FrameErrors::NONE);
    let queue = QUEUE;
    assert_eq!(received, Received::Delivered { queue }, "frame {number}");
}

/// Asserts that the stack receives these frames and no others, in order.
pub fn all(card: &Card, tap: &mut Tap, numbers: Range<u32>) -> TestResult {
    for nth in numbers {
        expect(tap, &numbered(card, nth, LENGTH))?;
    }
    nothing_more(card, &[QUEUE], tap)
}

/// Asserts that `times` times as many frames as the ring has descriptors are
/// received intact.
pub fn rings(card: &Card, tap: &mut Tap, times: u32) -> TestResult {
    let descriptors = card.with(|nic, _| nic.owned(kdk_nic82599::Direction::Receive, QUEUE));
    let total = times * (descriptors + 1);
    for first in (0..total).step_by(64) {
        burst(card, first..first + 64)?;
        all(card, tap, first..first + 64)?;
    }
    Ok(())
}

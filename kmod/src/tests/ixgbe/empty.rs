//! Buffers in which the NIC stores nothing of a frame.

use super::bad_frame::{JUMBO, JUMBO_FRAME, plain};
use super::batch::receive_good;
use super::filter::BUFFER;
use super::tap::{expect, nothing_more};
use super::{frame, leave};
use crate::kpi::filter::{Filter, Rule};
use kdk_harness::TestResult;
use kdk_nic82599::EmptyBuffer;
use kdk_nic82599::registers::rdlen;

const QUEUE: u16 = 0;

/// A frame with an empty buffer is received, with and without a filter. The
/// buffer is returned to the ring.
pub fn buffer() -> TestResult {
    /// Frames in one to four buffers, without the empty one.
    const LENGTHS: [usize; 4] = [60, 1000, BUFFER, JUMBO_FRAME];
    let card = plain(JUMBO)?;
    let mut tap = card.interface().tap()?;
    let ring = card.with(|nic, _| nic.peek(rdlen(QUEUE))) / 16;
    for filtered in [false, true] {
        let filter = match filtered {
            true => Some(Filter::on(card.interface(), Rule::Pass)?),
            false => None,
        };
        for nth in 0..ring {
            let length = LENGTHS[nth as usize % LENGTHS.len()];
            let frame = frame::raw(card.address(), length, nth.to_le_bytes()[0]);
            let place = match nth % 3 {
                0 => EmptyBuffer::First,
                _ => EmptyBuffer::Last,
            };
            card.with(|nic, _| nic.empty_next(place));
            receive_good(&card, core::slice::from_ref(&frame))?;
            expect(&mut tap, &frame)?;
        }
        nothing_more(&card, &[QUEUE], &mut tap)?;
        drop(filter);
    }
    drop(tap);
    leave(card)
}

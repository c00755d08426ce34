//! Frames in several buffers. The driver's buffers have room for the longest
//! frame of the MTU, so the test sets registers of the NIC for longer ones.

use super::numbered_frames::{QUEUE, numbered, plain, rings};
use super::tap::{expect, nothing_more};
use super::{Card, Setup, leave_initialised};
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::registers::{HLREG0, HLREG0_JUMBOEN, MAXFRS};
use kdk_nic82599::{FrameErrors, Received};

/// The MTU for which the driver of 2014 uses all 2048 bytes of its buffers. For a
/// smaller one it leaves the first two bytes unused.
#[cfg(not(iflib))]
const MTU: u32 = 2030;
/// The longest frame, with frame check sequence.
const LONGEST: u32 = 9018;
/// The length of a frame in three buffers.
pub const LONG: usize = 5000;
/// Few descriptors, so that frames soon use all of a ring.
const DESCRIPTORS: u32 = 256;

fn card() -> Result<Card, Stop> {
    let card = plain(&Setup {
        descriptors: Some(DESCRIPTORS),
        ..Setup::nth(0)
    })?;
    take_long(&card)?;
    Ok(card)
}

/// Enables long frames until the next initialization.
pub fn take_long(card: &Card) -> TestResult {
    #[cfg(not(iflib))]
    card.interface().set_mtu(MTU)?;
    card.with(|nic, memory| {
        let hlreg0 = nic.peek(HLREG0) | HLREG0_JUMBOEN;
        nic.write(HLREG0, hlreg0, memory);
        nic.write(MAXFRS, LONGEST << 16, memory);
    });
    Ok(())
}

pub fn receive(card: &Card, frame: &[u8], errors: FrameErrors) {
    let queue = QUEUE;
    assert_eq!(card.receive(frame, errors), Received::Delivered { queue });
}

/// A frame with an error in its last descriptor is dropped completely, and no
/// other frame.
pub fn discard() -> TestResult {
    let card = card()?;
    let mut tap = card.interface().tap()?;
    let error = FrameErrors {
        descriptor: FrameErrors::RXE,
        ..FrameErrors::NONE
    };
    for number in 0..4 {
        receive(&card, &numbered(&card, number, LONG), error);
        nothing_more(&card, &[QUEUE], &mut tap)?;
    }
    rings(&card, &mut tap, 3)?;
    drop(tap);
    leave_initialised(card)
}

/// Good frames in three buffers reach the stack complete.
pub fn three_buffers() -> TestResult {
    let card = card()?;
    let mut tap = card.interface().tap()?;
    for number in 0..100 {
        let frame = numbered(&card, number, LONG);
        receive(&card, &frame, FrameErrors::NONE);
        expect(&mut tap, &frame)?;
    }
    nothing_more(&card, &[QUEUE], &mut tap)?;
    drop(tap);
    leave_initialised(card)
}

/// An initialization after the first of three buffers drops that frame.
pub fn reset_between() -> TestResult {
    let card = card()?;
    let mut tap = card.interface().tap()?;
    for mtu in [1400, 1500] {
        card.with(|nic, _| nic.truncate_next(1));
        receive(&card, &numbered(&card, 0, LONG), FrameErrors::NONE);
        nothing_more(&card, &[QUEUE], &mut tap)?;
        card.interface().set_mtu(mtu)?;
        rings(&card, &mut tap, 2)?;
        take_long(&card)?;
    }
    drop(tap);
    leave_initialised(card)
}

//! Frames that need several buffers, which this driver's do not: its buffers
//! hold the longest frame that the MTU allows. Here the NIC is told, behind
//! its back, to take longer ones.

use super::numbered_frames::{QUEUE, numbered, plain, rings};
use super::tap::{expect, nothing_more};
use super::{Card, Setup, leave_initialised};
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::registers::{HLREG0, HLREG0_JUMBOEN, MAXFRS};
use kdk_nic82599::{FrameErrors, Received};

/// With it the driver takes buffers of 2048 bytes, and uses all of each: with
/// less it leaves the first two bytes free.
const MTU: u32 = 2030;
/// Longest frame that the NIC takes then, with its checksum.
const LONGEST: u32 = 9018;
/// Bytes of a frame for three buffers.
const LONG: usize = 5000;
/// Few descriptors, so that a ring is soon used up.
const DESCRIPTORS: u32 = 256;

fn card() -> Result<Card, Stop> {
    let card = plain(&Setup {
        descriptors: Some(DESCRIPTORS),
        ..Setup::nth(0)
    })?;
    take_long(&card)?;
    Ok(card)
}

/// Until the next initialisation.
fn take_long(card: &Card) -> TestResult {
    card.interface().set_mtu(MTU)?;
    card.with(|nic, memory| {
        let hlreg0 = nic.peek(HLREG0) | HLREG0_JUMBOEN;
        nic.write(HLREG0, hlreg0, memory);
        nic.write(MAXFRS, LONGEST << 16, memory);
    });
    Ok(())
}

fn receive(card: &Card, frame: &[u8], errors: FrameErrors) {
    let queue = QUEUE;
    assert_eq!(card.receive(frame, errors), Received::Delivered { queue });
}

/// One with an error in its last descriptor is dropped, all of it, and nothing
/// else.
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

/// Good ones reach the stack whole.
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

/// The interface is initialised when the first of three buffers was received:
/// nothing is left of that frame.
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

//! A NIC with limited DMA: most received frames go through bounce pages, see
//! bus_dma(9).

use super::chain::{LONG, receive, take_long};
use super::numbered_frames::{QUEUE, all, burst, numbered, plain};
use super::tap::{expect, nothing_more};
use super::{Card, Setup, leave, leave_initialised, queues};
use crate::kpi::sysctl;
use alloc::format;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::{Direction, FrameErrors, Received};

/// A NIC with few descriptors, since each has bounce pages.
const SETUP: Setup = Setup {
    descriptors: Some(64),
    bounced: true,
    ..Setup::nth(0)
};
/// The most zones of bounce pages.
const ZONES: u32 = 8;

/// Adds up a counter of all zones of bounce pages.
fn count(name: &str) -> Result<u64, Stop> {
    let zone = |zone| sysctl::read(&format!("hw.busdma.zone{zone}.{name}")).ok();
    let counts: Vec<u64> = (0..ZONES).map_while(zone).collect();
    if counts.is_empty() {
        return Err(Stop::Fail("no zone of bounce pages"));
    }
    Ok(counts.iter().sum())
}

/// Counts the bounce pages in use.
fn active() -> Result<u64, Stop> {
    count("active_bpages")
}

/// Counts the copies to and from bounce pages.
#[cfg(not(iflib))]
pub fn bounced() -> Result<u64, Stop> {
    count("total_bounced")
}

/// Frames that the driver copies and frames that it passes on are received.
pub fn packets() -> TestResult {
    let card = plain(&SETUP)?;
    assert!(active()? > 0, "nothing is bounced");
    let mut tap = card.interface().tap()?;
    let lengths = [60, 160, 161, 1000, 1514].repeat(40);
    for (number, length) in (0..).zip(lengths) {
        let frame = numbered(&card, number, length);
        let queue = QUEUE;
        let received = card.receive(&frame, FrameErrors::NONE);
        assert_eq!(received, Received::Delivered { queue });
        expect(&mut tap, &frame)?;
    }
    nothing_more(&card, &[QUEUE], &mut tap)?;
    drop(tap);
    leave(card)
}

/// All bounce pages are freed after any number of frames.
pub fn given_back() -> TestResult {
    let card = plain(&SETUP)?;
    let mut tap = card.interface().tap()?;
    for first in (0..4000).step_by(50) {
        burst(&card, first..first + 50)?;
        all(&card, &mut tap, first..first + 50)?;
    }
    drop(tap);
    leave(card)?;
    assert_eq!(active()?, 0, "bounce pages in use without a card");
    Ok(())
}

/// Returns the number of receive buffers of the NIC. Each is in one page.
fn buffers(card: &Card) -> u64 {
    let owned = |queue| card.with(|nic, _| u64::from(nic.owned(Direction::Receive, queue)));
    (0..).take(queues() as usize).map(owned).sum()
}

/// Frames of several buffers, good and bad ones, are received or dropped
/// complete, and give the bounce pages of all their buffers back.
pub fn chains() -> TestResult {
    let card = plain(&SETUP)?;
    take_long(&card)?;
    let mut tap = card.interface().tap()?;
    let bad = FrameErrors {
        descriptor: FrameErrors::RXE,
        ..FrameErrors::NONE
    };
    for number in 0..200 {
        let frame = numbered(&card, number, LONG);
        if number % 4 == 3 {
            receive(&card, &frame, bad);
        } else {
            receive(&card, &frame, FrameErrors::NONE);
            expect(&mut tap, &frame)?;
        }
    }
    nothing_more(&card, &[QUEUE], &mut tap)?;
    let (active, buffers) = (active()?, buffers(&card));
    assert!(
        active <= buffers,
        "{active} bounce pages are in use for {buffers} buffers"
    );
    drop(tap);
    leave_initialised(card)?;
    assert_eq!(self::active()?, 0, "bounce pages in use without a card");
    Ok(())
}

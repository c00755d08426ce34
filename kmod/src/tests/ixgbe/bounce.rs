//! A NIC with limited DMA: most received frames go through bounce pages, see
//! bus_dma(9).

use super::numbered_frames::{QUEUE, all, burst, numbered, plain};
use super::tap::{expect, nothing_more};
use super::{Setup, leave};
use crate::kpi::sysctl;
use alloc::format;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::{FrameErrors, Received};

/// A NIC with few descriptors, since each has bounce pages.
const SETUP: Setup = Setup {
    queues: Some(1),
    descriptors: Some(64),
    bounced: true,
    ..Setup::nth(0)
};
/// The most zones of bounce pages.
const ZONES: u32 = 8;

/// Counts the bounce pages in use.
fn active() -> Result<u64, Stop> {
    let zone = |zone| sysctl::read(&format!("hw.busdma.zone{zone}.active_bpages")).ok();
    let pages: Vec<u64> = (0..ZONES).map_while(zone).collect();
    if pages.is_empty() {
        return Err(Stop::Fail("no zone of bounce pages"));
    }
    Ok(pages.iter().sum())
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

//! A NIC that cannot use the memory of most buffers where it is: what it
//! receives goes through bounce pages, see bus_dma(9).

use super::numbered_frames::{QUEUE, all, burst, numbered, plain};
use super::tap::{expect, nothing_more};
use super::{Setup, leave};
use crate::kpi::sysctl;
use alloc::format;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::{FrameErrors, Received};

/// Few descriptors: each has bounce pages.
const SETUP: Setup = Setup {
    queues: Some(1),
    descriptors: Some(64),
    bounced: true,
    ..Setup::nth(0)
};
/// Zones of bounce pages that a machine may have.
const ZONES: u32 = 8;

/// Bounce pages in use.
fn active() -> Result<u64, Stop> {
    let zone = |zone| sysctl::read(&format!("hw.busdma.zone{zone}.active_bpages")).ok();
    let pages: Vec<u64> = (0..ZONES).map_while(zone).collect();
    if pages.is_empty() {
        return Err(Stop::Fail("no zone of bounce pages"));
    }
    Ok(pages.iter().sum())
}

/// Those that the driver copies, and those that it hands on.
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

/// However many are received, each gives its bounce pages back.
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

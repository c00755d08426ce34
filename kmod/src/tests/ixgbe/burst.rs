//! A burst of more frames than the driver processes at a time (256), and nothing
//! after it. All of them reach the stack.

use super::flows::{all_arrived, of_each_queue};
use super::numbered_frames::{QUEUE, all, burst, one, plain};
use super::quiesce::{bits, quiesce};
use super::{Setup, leave, until};
use kdk_harness::TestResult;
use kdk_nic82599::Received;
use kdk_nic82599::registers::{EICR_LSC, EIMC_EX, EIMS_EX};

/// More than twice as many as the driver processes at a time.
const FRAMES: u32 = 600;
/// A NIC without MSI-X, which has one interrupt for all causes.
const LEGACY: Setup = Setup {
    msix: false,
    ..Setup::nth(0)
};

fn received(setup: &Setup) -> TestResult {
    let card = plain(setup)?;
    let mut tap = card.interface().tap()?;
    for _ in 0..2 {
        burst(&card, 0..FRAMES)?;
        all(&card, &mut tap, 0..FRAMES)?;
    }
    drop(tap);
    leave(card)
}

/// The interrupt of the first queue handles all frames.
pub fn msix() -> TestResult {
    received(&Setup::nth(0))
}

/// The MSI interrupt handles all frames.
pub fn legacy() -> TestResult {
    received(&LEGACY)
}

/// The interrupt of another queue handles all frames.
pub fn second_queue() -> TestResult {
    let queues = 2;
    let card = plain(&Setup {
        queues: Some(queues),
        ..Setup::nth(0)
    })?;
    let mut tap = card.interface().tap()?;
    let mut flows = of_each_queue(&card, &mut tap, queues as usize)?;
    let flow = &mut flows[1..];
    let queue = 1;
    quiesce(&card, &[queue])?;
    card.with(|nic, memory| nic.write(EIMC_EX[0], bits(&[queue]), memory));
    for _ in 0..FRAMES {
        assert_eq!(flow[0].send(&card), Received::Delivered { queue });
    }
    card.with(|nic, memory| nic.write(EIMS_EX[0], bits(&[queue]), memory));
    all_arrived(flow, &mut tap)?;
    drop(tap);
    leave(card)
}

/// The one interrupt is enabled for frames after a link status change.
pub fn after_link() -> TestResult {
    let card = plain(&LEGACY)?;
    let mut tap = card.interface().tap()?;
    for number in 0..3 {
        quiesce(&card, &[QUEUE])?;
        card.with(|nic, _| nic.raise(EICR_LSC));
        until("the interrupt is not handled", || {
            card.is_idle(0).then_some(())
        })?;
        one(&card, number);
        all(&card, &mut tap, number..number + 1)?;
    }
    drop(tap);
    leave(card)
}

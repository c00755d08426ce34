//! Waiting until the driver is idle.

#[cfg(iflib)]
use super::until_state;
use super::{Card, until};
#[cfg(iflib)]
use crate::kpi::iflib;
#[cfg(iflib)]
use crate::kpi::interface::LinkState;
use kdk_harness::TestResult;
#[cfg(iflib)]
use kdk_nic82599::registers::{EICR_LSC, EICR_OTHER, EIMS};
use kdk_nic82599::registers::{EICS_EX, EIMS_EX};

/// Returns the interrupt causes of queues below 32. Each has the vector of its
/// number.
pub fn bits(queues: &[u16]) -> u32 {
    queues.iter().fold(0, |bits, queue| bits | 1 << queue)
}

/// Waits until the driver is idle for these queues: their interrupts are
/// unmasked, none is pending, and their tasks have run. Frames that the driver
/// has missed stay in the ring.
pub fn quiesce(card: &Card, queues: &[u16]) -> TestResult {
    unmasked(card, queues)?;
    // iflib(9) unmasks them earlier, for the transmit queue.
    #[cfg(iflib)]
    iflib::drain();
    unmasked(card, queues)
}

fn unmasked(card: &Card, queues: &[u16]) -> TestResult {
    until("the driver does not become idle", || {
        is_unmasked(card, queues).then_some(())
    })
}

fn is_unmasked(card: &Card, queues: &[u16]) -> bool {
    let bits = bits(queues);
    let rests = card.is_quiescent(|nic| {
        // These reads have no side effects.
        nic.read(EIMS_EX[0]) & bits == bits && nic.read(EICS_EX[0]) & bits == 0
    });
    rests && queues.iter().all(|&queue| card.is_idle(queue.into()))
}

/// Returns whether the driver is idle for these queues, as [`quiesce`] waits for.
pub fn is_idle(card: &Card, queues: &[u16]) -> bool {
    if !is_unmasked(card, queues) {
        return false;
    }
    #[cfg(iflib)]
    iflib::drain();
    is_unmasked(card, queues)
}

/// Waits until the driver's admin task has run, which resets the NIC. A link
/// status change makes the task unmask its interrupt at its end.
#[cfg(iflib)]
pub fn task_done(card: &Card) -> TestResult {
    card.with(|nic, _| nic.raise(EICR_LSC));
    until("the driver does not look at the link", || {
        let unmasked = card.is_quiescent(|nic| nic.read(EIMS) & EICR_OTHER != 0);
        unmasked.then_some(())
    })?;
    // This waits for a reset in progress.
    card.interface().state()?;
    Ok(())
}

/// Returns the number of resets by the driver. One initialization may do several.
#[cfg(iflib)]
pub fn resets(card: &Card) -> u64 {
    card.with(|nic, _| nic.counters().resets)
}

/// Waits for a reset after the first `before`, until the interface runs and has a
/// link.
#[cfg(iflib)]
pub fn until_reset(card: &Card, before: u64) -> TestResult {
    until("the driver does not reset the card", || {
        (resets(card) != before).then_some(())
    })?;
    // This waits for the reset to complete.
    until_state(
        card.interface(),
        "the link does not come back after a reset",
        |state| state.running && state.link == LinkState::Up,
    )?;
    Ok(())
}

//! When the driver has done all that it does by itself.

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

/// The bits of queues' interrupts: the driver gives each queue, of the first
/// 32, the vector of its number.
pub fn bits(queues: &[u16]) -> u32 {
    queues.iter().fold(0, |bits, queue| bits | 1 << queue)
}

/// Waits until the driver has left these queues to the NIC: their interrupts
/// are unmasked, none is due, and all that was queued for them has been done.
/// (What was overlooked in a ring stays there.)
pub fn quiesce(card: &Card, queues: &[u16]) -> TestResult {
    unmasked(card, queues)?;
    // Unmasked they are earlier: iflib(9) does it for the transmit queue, too.
    #[cfg(iflib)]
    iflib::drain();
    unmasked(card, queues)
}

fn unmasked(card: &Card, queues: &[u16]) -> TestResult {
    let bits = bits(queues);
    until("the driver does not come to rest", || {
        let rests = card.is_quiescent(|nic| {
            // Neither read has a side effect.
            nic.read(EIMS_EX[0]) & bits == bits && nic.read(EICS_EX[0]) & bits == 0
        });
        let idle = queues.iter().all(|&queue| card.is_idle(queue.into()));
        (rests && idle).then_some(())
    })
}

/// Waits until the driver's task for all but the queues has done what it was
/// asked for, such as a reset: it is asked to look at the link, too, which
/// comes last and has it unmask its interrupt.
#[cfg(iflib)]
pub fn task_done(card: &Card) -> TestResult {
    card.with(|nic, _| nic.raise(EICR_LSC));
    until("the driver does not look at the link", || {
        let unmasked = card.is_quiescent(|nic| nic.read(EIMS) & EICR_OTHER != 0);
        unmasked.then_some(())
    })?;
    // The interface is not asked before the driver is done with a reset.
    card.interface().state()?;
    Ok(())
}

/// How often the NIC was reset by its driver. One initialisation may be
/// several.
#[cfg(iflib)]
pub fn resets(card: &Card) -> u64 {
    card.with(|nic, _| nic.counters().resets)
}

/// Waits for a reset that is to come, when there were `before`, and for its
/// end: the interface runs and has a link.
#[cfg(iflib)]
pub fn until_reset(card: &Card, before: u64) -> TestResult {
    until("the driver does not reset the card", || {
        (resets(card) != before).then_some(())
    })?;
    // The interface is not asked before the driver is done with the reset.
    until_state(
        card.interface(),
        "the link does not come back after a reset",
        |state| state.running && state.link == LinkState::Up,
    )?;
    Ok(())
}

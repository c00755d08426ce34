//! Starts of the interface during receive traffic.

use super::leave_initialised;
use super::numbered_frames::{LENGTH, QUEUE, all, numbered, one};
use super::{Card, LinkState, Setup, leave, until_state};
use alloc::vec::Vec;
use kdk_harness::TestResult;
use kdk_nic82599::Received;

/// Receives a frame when the interrupt of the queue is unmasked and the ring has
/// buffers, for the first time. The driver of 2014 unmasks the interrupt last.
#[cfg(not(iflib))]
fn receive_early(card: &Card, frame: Vec<u8>) {
    use kdk_nic82599::registers::EIMS_EX;
    card.receive_before_write(EIMS_EX[0], 1 << QUEUE, frame);
}

/// The same with iflib(9), which fills the ring last. It posts 128 buffers.
#[cfg(iflib)]
fn receive_early(card: &Card, frame: Vec<u8>) {
    use kdk_nic82599::registers::rdt;
    card.receive_after_write(rdt(QUEUE), 128, frame);
}

/// A frame that is received before the interface is marked as running reaches the
/// stack, although the driver ignores its interrupt.
pub fn packet_during_init() -> TestResult {
    let card = Card::attach(&Setup::nth(0))?;
    card.interface().set_lro(false)?;
    let mut tap = card.interface().tap()?;
    receive_early(&card, numbered(&card, 0, LENGTH));
    card.interface().set_up(true)?;
    let queue = QUEUE;
    assert_eq!(
        card.received_at_write(),
        Some(Received::Delivered { queue })
    );
    all(&card, &mut tap, 0..1)?;
    until_state(card.interface(), "the link does not come up", |state| {
        state.running && state.link == LinkState::Up
    })?;
    for number in 1..11 {
        one(&card, number);
        all(&card, &mut tap, number..number + 1)?;
    }
    drop(tap);
    leave(card)
}

/// Repeated initializations with the default settings leak no memory.
pub fn again_and_again() -> TestResult {
    let card = super::running(&Setup::nth(0))?;
    for mtu in [1400, 1500].repeat(4) {
        card.interface().set_mtu(mtu)?;
    }
    leave_initialised(card)
}

//! Starts of the interface during receive traffic.

use super::numbered_frames::{LENGTH, QUEUE, all, numbered, one};
use super::{Card, LinkState, Setup, leave, leave_initialised, until_state};
use kdk_harness::TestResult;
use kdk_nic82599::Received;
use kdk_nic82599::registers::EIMS_EX;

/// A frame that is received right before the driver first unmasks the interrupt of
/// the queue reaches the stack.
pub fn packet_during_init() -> TestResult {
    let card = Card::attach(&Setup::nth(0))?;
    card.interface().set_lro(false)?;
    let mut tap = card.interface().tap()?;
    card.receive_before_write(EIMS_EX[0], 1 << QUEUE, numbered(&card, 0, LENGTH));
    card.interface().set_up(true)?;
    let queue = QUEUE;
    assert_eq!(
        card.received_before_write(),
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

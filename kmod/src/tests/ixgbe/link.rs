//! The cable is pulled and plugged in.

use super::{Setup, leave, running, until_state};
use crate::kpi::interface::LinkState;
use kdk_harness::TestResult;

/// The interface follows, every time.
pub fn down_and_up() -> TestResult {
    let card = running(&Setup::nth(0))?;
    for _ in 0..5 {
        card.set_link(false);
        until_state(card.interface(), "the link does not go down", |state| {
            state.link == LinkState::Down
        })?;
        card.set_link(true);
        until_state(card.interface(), "the link does not come back", |state| {
            state.link == LinkState::Up && state.baudrate == 10_000_000_000
        })?;
    }
    leave(card)
}

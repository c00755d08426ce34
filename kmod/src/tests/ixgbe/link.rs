//! Link status changes.

use super::{Setup, handled, leave, running, until, until_state};
use crate::kpi::interface::LinkState;
use kdk_harness::TestResult;

/// The NIC interrupts, and the state of the interface follows. The driver also
/// polls its link twice a second.
pub fn down_and_up() -> TestResult {
    let card = running(&Setup::nth(0))?;
    for _ in 0..5 {
        for (up, link) in [(false, LinkState::Down), (true, LinkState::Up)] {
            // The interrupt of the last change may be pending.
            handled(&card)?;
            let before = card.usage().fired;
            card.set_link(up);
            until("the card does not interrupt", || {
                (card.usage().fired > before).then_some(())
            })?;
            until_state(
                card.interface(),
                "the link's state does not change",
                |state| state.link == link,
            )?;
        }
    }
    assert_eq!(card.interface().state()?.baudrate, 10_000_000_000);
    leave(card)
}

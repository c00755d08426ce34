//! The receive path.

use super::flows::of_each_queue;
use super::{Setup, leave, queues, running};
use kdk_harness::TestResult;

/// A frame on each queue reaches the stack intact.
pub fn each_queue() -> TestResult {
    let queues = queues() as usize;
    let card = running(&Setup::nth(0))?;
    let mut tap = card.interface().tap()?;
    for flow in &mut of_each_queue(&card, &mut tap, queues)? {
        flow.send(&card);
        flow.arrived(&mut tap)?;
    }
    drop(tap);
    leave(card)
}

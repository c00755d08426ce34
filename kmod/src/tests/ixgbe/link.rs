//! Link status changes.

use super::{Setup, handled, leave, running, until, until_state};
use crate::kpi::interface::LinkState;
use crate::kpi::kthread::{End, Thread};
use crate::kpi::link_task::{self, LinkTask};
use core::time::Duration;
use kdk_harness::{Stop, TestResult};

/// The NIC interrupts, and the state of the interface follows. The driver also
/// polls its link twice a second. It does not reset the NIC.
pub fn down_and_up() -> TestResult {
    let card = running(&Setup::nth(0))?;
    let resets = || card.with(|nic, _| nic.counters().resets);
    let before = resets();
    for _ in 0..5 {
        for (up, link) in [(false, LinkState::Down), (true, LinkState::Up)] {
            // The interrupt of the last change may be pending.
            handled(&card)?;
            let fired = card.usage().fired;
            card.set_link(up);
            until("the card does not interrupt", || {
                (card.usage().fired > fired).then_some(())
            })?;
            until_state(
                card.interface(),
                "the link's state does not change",
                |state| state.link == link,
            )?;
        }
    }
    // The driver's task would reset the NIC.
    #[cfg(iflib)]
    super::quiesce::task_done(&card)?;
    assert_eq!(resets(), before, "resets after link changes");
    assert_eq!(card.interface().state()?.baudrate, 10_000_000_000);
    leave(card)
}

/// A detach reports that the link is down. The interface is not freed before the
/// task that reports this has run.
pub fn task_at_detach() -> TestResult {
    let card = running(&Setup::nth(0))?;
    // The driver sets the state, then queues the task, and owns its lock at
    // both. This waits for the lock, so that the task of the link that came up
    // is queued. It runs before its queue is blocked.
    card.interface().state()?;
    let task = LinkTask::of(card.interface())?;
    let blocked = link_task::Blocked::new()?;
    let mut detach = Thread::spawn(c"kdk detach", move || {
        assert!(leave(card).is_ok(), "the detach fails");
    })?;
    let over = loop {
        match detach.join(Duration::from_millis(1)) {
            Ok(end) => break Ok(end),
            Err(thread) if thread.drains(task) => break Err(thread),
            Err(thread) => detach = thread,
        }
    };
    // An interface that is free after this must have no task in the queue.
    link_task::wait_until_freed();
    drop(blocked);
    match over.unwrap_or_else(Thread::wait) {
        End::Returned(_) => Ok(()),
        End::Panicked(_) => Err(Stop::Fail("the detach fails")),
    }
}

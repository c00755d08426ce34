//! A second process for a test.

use kdk_sys::process::{Ending, Fork, Pid, exit, fork, fork_with_one_table, kill, wait};
use kdk_sys::signal::Signal;
use kdk_sys::suite::must;

/// A process that does a part of the test. When that part panics, the test is
/// told so just as if it had itself.
#[derive(Debug)]
pub struct Child(Option<Pid>);

impl Child {
    /// Runs `body` in a process of its own, which has all descriptors of this
    /// one.
    #[track_caller]
    pub fn run(body: impl FnOnce()) -> Self {
        Self::of(must("fork", fork()), body)
    }

    /// Runs `body` in a process that has one table of descriptors with this
    /// one, and so its kqueues too, which [`run`](Self::run) leaves behind.
    /// It must not close any.
    #[track_caller]
    pub fn with_one_table(body: impl FnOnce()) -> Self {
        Self::of(must("rfork", fork_with_one_table()), body)
    }

    fn of(which: Fork, body: impl FnOnce()) -> Self {
        match which {
            Fork::Parent(pid) => Self(Some(pid)),
            Fork::Child => {
                body();
                exit(0)
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.0.unwrap_or(Pid(0))
    }

    /// It has ended, and somebody has waited for it.
    pub fn has_ended(mut self) {
        self.0 = None;
    }

    /// Waits for it; it has to have done its part.
    #[track_caller]
    pub fn join(mut self) {
        let Some(pid) = self.0.take() else { return };
        let ending = must("wait for the test's second process", wait(pid));
        assert_eq!(ending, Ending::Exited(0), "the test's second process");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = wait(pid);
        }
    }
}

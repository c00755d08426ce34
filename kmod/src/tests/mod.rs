//! The tests, a file a subsystem. What only runs when it is named
//! (`default=no`) are the faults that the runner is tested with, and what
//! measures.

mod allocation;
mod callout;
mod fault;
#[cfg(flowtable)]
mod flowtable;
mod harness;
#[cfg(ixgbe)]
mod ixgbe;
mod kthread;
mod mbuf;
mod mutex;
mod sendfile;
mod taskqueue;
mod waiting;

use crate::kpi::errno::Errno;
#[cfg(any(flowtable, ixgbe))]
use crate::kpi::kthread::{End, Thread};
#[cfg(any(flowtable, ixgbe))]
use alloc::vec::Vec;
#[cfg(any(flowtable, ixgbe))]
use core::time::Duration;
use kdk_harness::Stop;

/// A helper could not be had from the kernel.
fn refused(_: Errno) -> Stop {
    Stop::Fail("the kernel or the module's tables refused a resource")
}

#[cfg(any(flowtable, ixgbe))]
impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        refused(errno)
    }
}

/// Waits for threads, each up to `limit`.
#[cfg(any(flowtable, ixgbe))]
fn join_all(threads: Vec<Thread>, limit: Duration) -> kdk_harness::TestResult {
    for thread in threads {
        match thread.join(limit) {
            Ok(End::Returned(_)) => {}
            Ok(End::Panicked(_)) => return Err(Stop::Fail("a thread panicked")),
            Err(_) => return Err(Stop::Fail("a thread does not end")),
        }
    }
    Ok(())
}

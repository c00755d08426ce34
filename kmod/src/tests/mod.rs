//! The in-kernel tests, one module per subsystem. Faults, which test the
//! runner, and benchmarks run only when they are named (`default=no`).

mod allocation;
mod callout;
mod debugger;
mod fault;
#[cfg(flowtable)]
mod flowtable;
mod harness;
#[cfg(ixgbe)]
mod ixgbe;
mod kqueue;
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
use core::time::Duration;
use kdk_harness::Stop;

/// Converts the error of a resource that a test needs.
fn resource_error(_: Errno) -> Stop {
    Stop::Fail("cannot allocate a resource: the kernel or a table of the module refused it")
}

#[cfg(any(flowtable, ixgbe, kqueue_copy))]
impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        resource_error(errno)
    }
}

/// A wait without a limit of its own: the runner ends a test at the test's limit,
/// however fast the host is.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

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

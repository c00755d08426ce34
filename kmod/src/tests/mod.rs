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

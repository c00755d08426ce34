//! The tasks that report link changes. Each interface has one, and the kernel's
//! `taskqueue_swi` runs them.

use super::bindings;
use super::errno::Errno;
use super::interface::Interface;
use super::resource::{Registration, Stop};
use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};

/// The identity of the task of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTask(usize);

impl LinkTask {
    /// Returns the task of an interface.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface.
    pub fn of(interface: &Interface) -> Result<Self, Errno> {
        // SAFETY: the name is a C string.
        let task = unsafe { bindings::kdk_interface_link_task(interface.raw_name()) };
        if task.is_null() {
            return Err(Errno::ENXIO);
        }
        Ok(Self(task.addr()))
    }

    /// Returns the address on which taskqueue_drain(9) of the task sleeps.
    pub(super) const fn channel(self) -> *const c_void {
        core::ptr::without_provenance(self.0)
    }
}

struct Queue {
    unblocked: AtomicBool,
}

// SAFETY: unblocking a queue once calls nothing of the test.
unsafe impl Stop for Queue {
    const WHAT: &'static str = "blocked task queue";

    fn stop(&self) {
        if !self.unblocked.swap(true, Ordering::SeqCst) {
            // SAFETY: the queue exists as long as the kernel.
            unsafe { bindings::kdk_link_tasks_unblock() }
        }
    }
}

/// The queue of these tasks is blocked until this is dropped.
pub struct Blocked {
    registration: Option<Registration>,
    queue: Box<Queue>,
}

impl Blocked {
    /// Waits until all queued tasks have run, and blocks the queue. A task of an
    /// interface that is queued from now on does not run.
    ///
    /// # Errors
    /// Returns `EAGAIN` if the test has too many resources already.
    pub fn new() -> Result<Self, Errno> {
        let queue = Box::new(Queue {
            unblocked: AtomicBool::new(false),
        });
        // SAFETY: a box's content does not move, and `drop` removes the
        // registration first.
        let registration = Some(unsafe { Registration::new(&raw const *queue) }?);
        // SAFETY: this thread can sleep, and `stop` unblocks the queue.
        unsafe { bindings::kdk_link_tasks_block() }
        Ok(Self {
            registration,
            queue,
        })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.queue.stop();
        self.registration = None;
    }
}

/// Waits until the memory of all detached interfaces is free. Sleeps.
pub fn wait_until_freed() {
    // SAFETY: may be called by any thread that can sleep.
    unsafe { bindings::kdk_interfaces_freed() }
}

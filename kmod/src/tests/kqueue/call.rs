//! Calls in other threads.

use crate::kpi::descriptor::Descriptor;
use crate::kpi::kqueue::{Kept, Subject};
use crate::kpi::kthread::{End, Thread};
use crate::kpi::{Locked, time};
use crate::tests::FOREVER;
use alloc::sync::Arc;
use core::ffi::CStr;
use kdk_harness::Stop;

/// The message of a thread that waits for a knote to leave flux.
pub const WAITS_FOR_FLUX: &CStr = c"kqflxwt";

/// The message of a thread that does so to clear the list of knotes.
pub const WAITS_TO_CLEAR: &CStr = c"kqkclr";

/// A call that another thread makes.
pub struct Call<T> {
    thread: Thread,
    result: Arc<Locked<Option<T>>>,
}

impl<T: Send + 'static> Call<T> {
    /// Starts a call.
    pub fn start(name: &CStr, call: impl FnOnce() -> T + Send + 'static) -> Result<Self, Stop> {
        let result = Arc::new(Locked::new(None));
        let theirs = Arc::clone(&result);
        let thread = Thread::spawn(name, move || {
            let value = call();
            theirs.with(|slot| *slot = Some(value));
        })?;
        Ok(Self { thread, result })
    }

    /// Returns whether the call has returned.
    pub fn has_returned(&self) -> bool {
        self.result.with(|slot| slot.is_some())
    }

    /// Waits for the result.
    pub fn wait(self) -> Result<T, Stop> {
        match self.thread.join(FOREVER) {
            Ok(End::Returned(_)) => self
                .result
                .with(Option::take)
                .ok_or(Stop::Fail("a thread has no result")),
            Ok(End::Panicked(_)) => Err(Stop::Fail("a thread panicked")),
            Err(_) => Err(Stop::Fail("a thread does not end")),
        }
    }

    /// Waits until the thread sleeps with this message.
    pub fn wait_until_asleep(&self, message: &CStr) {
        while !self.thread.sleeps_in(message) {
            time::yield_now();
        }
    }

    /// Waits until the call returns, or until its thread sleeps with this
    /// message, which no other thread will end: returns whether it returned.
    pub fn returns(&self, message: &CStr) -> bool {
        loop {
            if self.has_returned() {
                return true;
            }
            if self.thread.sleeps_in(message) {
                return false;
            }
            time::yield_now();
        }
    }
}

/// A file, and a kqueue with its knote.
pub fn watched(kept: Kept) -> Result<(Arc<Subject>, Arc<Descriptor>), Stop> {
    let subject = Subject::new()?;
    let queue = Descriptor::copied_kqueue()?;
    subject.watch(&queue, kept)?;
    Ok((Arc::new(subject), Arc::new(queue)))
}

//! Callouts, see callout(9).

use super::bindings;
use super::errno::Errno;
use super::resource::{Registration, Stop};
use super::time;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

/// A function that callout(9) calls at a time. It runs in the clock's thread
/// and may not sleep.
pub struct Callout {
    registration: Option<Registration>,
    shared: Box<Shared>,
}

struct Shared {
    raw: UnsafeCell<bindings::callout>,
    call: Box<dyn Fn() + Send + Sync>,
    dead: AtomicBool,
}

// SAFETY: callout(9) does its own locking, and `call` is Sync.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

// SAFETY: after `dead` is set nothing schedules the callout, and draining waits
// for a call that is in progress.
unsafe impl Stop for Shared {
    const WHAT: &'static str = "callout";

    fn stop(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.drain();
    }
}

impl Shared {
    fn drain(&self) -> bool {
        // SAFETY: the callout is initialised.
        unsafe { bindings::kdk_callout_drain(self.raw.get()) > 0 }
    }
}

impl Callout {
    /// Makes a callout for `call`.
    ///
    /// # Errors
    /// Returns `EAGAIN` if the test has too many resources already.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Result<Self, Errno> {
        let shared = Box::new(Shared {
            // SAFETY: all-zero bytes are what callout_init(9) starts from.
            raw: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            call: Box::new(call),
            dead: AtomicBool::new(false),
        });
        // SAFETY: the memory is ours and does not move. 1: no Giant.
        unsafe { bindings::callout_init(shared.raw.get(), 1) };
        // SAFETY: `shared` is freed after the registration, see `drop`.
        let registration = unsafe { Registration::new(&raw const *shared) }?;
        Ok(Self {
            registration: Some(registration),
            shared,
        })
    }

    /// Schedules a call after `delay`. It replaces the call that was scheduled
    /// before.
    pub fn schedule(&self, delay: Duration) {
        if self.shared.dead.load(Ordering::SeqCst) {
            return;
        }
        let arg = (&raw const *self.shared).cast_mut().cast();
        // SAFETY: `shared` outlives the schedule: it is drained before it goes.
        unsafe {
            bindings::kdk_callout_reset(self.shared.raw.get(), time::sbt(delay), Some(fire), arg)
        }
    }

    /// Cancels the scheduled call, and waits for a call that is in progress.
    /// Returns whether it cancelled one.
    pub fn drain(&self) -> bool {
        self.shared.drain()
    }

    /// Returns whether a call is scheduled.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        // SAFETY: the callout is initialised.
        unsafe { bindings::kdk_callout_pending(self.shared.raw.get()) != 0 }
    }
}

impl Drop for Callout {
    fn drop(&mut self) {
        self.shared.stop();
        self.registration = None;
    }
}

extern "C" fn fire(arg: *mut c_void) {
    // SAFETY: `schedule` passed the shared part, which is drained before it is
    // freed.
    let shared = unsafe { &*arg.cast::<Shared>() };
    (shared.call)();
}

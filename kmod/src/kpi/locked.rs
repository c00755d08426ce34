//! Shared state of the module, under one lock.

use super::{bindings, time};
use core::cell::UnsafeCell;
use core::time::Duration;

/// A static that is only accessed under the module's state lock.
///
/// The lock is a leaf in the lock order. Its owner must not sleep, acquire
/// another lock, or access another `Locked`: all share the one lock, which does
/// not recurse.
#[derive(Debug)]
pub struct Locked<T> {
    value: UnsafeCell<T>,
}

// SAFETY: the value is only accessed under the state lock.
unsafe impl<T: Send> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// Makes a new value.
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` under the lock.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the lock exists from load to unload, and makes this the only
        // reference to the value.
        unsafe {
            bindings::kdk_state_lock();
            let result = f(&mut *self.value.get());
            bindings::kdk_state_unlock();
            result
        }
    }

    /// Sleeps until `f` returns a value, or for `limit`. Every change of the
    /// value has to be followed by [`wake`](Self::wake).
    pub fn wait<R>(&self, limit: Duration, mut f: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let deadline = time::uptime() + limit;
        // SAFETY: as in `with`. Sleeping releases the lock and acquires it
        // again; there is no reference to the value meanwhile.
        unsafe {
            bindings::kdk_state_lock();
            let result = loop {
                if let Some(result) = f(&mut *self.value.get()) {
                    break Some(result);
                }
                let left = deadline.saturating_sub(time::uptime());
                if left.is_zero() {
                    break None;
                }
                bindings::kdk_state_sleep(self.value.get().cast(), time::sbt(left));
            };
            bindings::kdk_state_unlock();
            result
        }
    }

    /// Wakes all threads in [`wait`](Self::wait).
    pub fn wake(&self) {
        // SAFETY: the address is only a wait channel.
        unsafe { bindings::wakeup(self.value.get().cast()) }
    }
}

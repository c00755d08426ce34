//! State shared by the whole module, under the module's one lock.

use super::{bindings, time};
use core::cell::UnsafeCell;
use core::time::Duration;

/// A static that is only reached under the module's state lock.
///
/// The lock is a leaf: while it is held nothing sleeps, takes another lock, or
/// reaches another `Locked` (all share the one lock, which does not recurse).
#[derive(Debug)]
pub struct Locked<T> {
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached with the state lock held.
unsafe impl<T: Send> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// A new value.
    pub const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` with the lock held.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the lock exists from load to unload; holding it makes this
        // the only reference to the value.
        unsafe {
            bindings::kdk_state_lock();
            let result = f(&mut *self.value.get());
            bindings::kdk_state_unlock();
            result
        }
    }

    /// Sleeps until `f` returns something, [`wake`](Self::wake) being called
    /// for every change of the value, or for `limit`.
    pub fn wait<R>(&self, limit: Duration, mut f: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let deadline = time::uptime() + limit;
        // SAFETY: as in `with`; sleeping gives the lock up and takes it again,
        // and no reference to the value is kept meanwhile.
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

    /// Wakes everyone in [`wait`](Self::wait).
    pub fn wake(&self) {
        // SAFETY: the address only serves as a name.
        unsafe { bindings::wakeup(self.value.get().cast()) }
    }
}

//! Spin mutexes (mtx(9), `MTX_SPIN`), for data that interrupt handlers use.

use super::bindings;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ffi::CStr;

/// A spin mutex around a value.
///
/// The owner stays on its CPU and is not interrupted. It must not sleep,
/// allocate or free memory, or acquire another kind of lock.
pub(super) struct Spin<T> {
    /// Points to a heap block.
    raw: *mut bindings::mtx,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only accessed under the mutex.
unsafe impl<T: Send> Sync for Spin<T> {}
// SAFETY: a mutex is for use by many threads.
unsafe impl<T: Send> Send for Spin<T> {}

impl<T> Spin<T> {
    /// Makes a mutex around `value`.
    pub(super) fn new(name: &'static CStr, value: T) -> Self {
        // SAFETY: all-zero bytes are what mtx_init(9) expects of new memory.
        let raw = Box::into_raw(Box::new(unsafe { core::mem::zeroed() }));
        // SAFETY: the memory is owned, does not move, and is initialised once.
        unsafe { bindings::kdk_spin_init(raw, name.as_ptr()) };
        Self {
            raw,
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` under the mutex.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the mutex exists, and makes this the only reference to the
        // value, as it does not recurse.
        unsafe {
            bindings::kdk_spin_lock(self.raw);
            let result = f(&mut *self.value.get());
            bindings::kdk_spin_unlock(self.raw);
            result
        }
    }
}

impl<T> Drop for Spin<T> {
    fn drop(&mut self) {
        // SAFETY: made in `new`, destroyed once; `with` has returned.
        unsafe {
            bindings::kdk_spin_destroy(self.raw);
            drop(Box::from_raw(self.raw));
        }
    }
}

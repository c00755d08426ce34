//! A value that one thread at a time may use, for any time.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A lock that is only tried: a second thread fails instead of waiting. Unlike
/// the owner of a mutex, the thread that has it may sleep.
#[derive(Debug)]
pub struct Exclusive<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: only the thread that has entered reaches the value.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    /// Makes a new value that no thread uses.
    pub const fn new(value: T) -> Self {
        Self {
            busy: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Enters, unless another thread has entered.
    pub fn enter(&self) -> Option<Inside<'_, T>> {
        // An `Inside` that is dropped leaves: none may exist for a thread that fails.
        match self.busy.swap(true, Ordering::Acquire) {
            true => None,
            false => Some(Inside {
                of: self,
                _not_sync: PhantomData,
            }),
        }
    }
}

/// Access to the value. Dropping it leaves.
#[derive(Debug)]
pub struct Inside<'a, T> {
    of: &'a Exclusive<T>,
    /// Two threads that share this share the value.
    _not_sync: PhantomData<*mut T>,
}

// SAFETY: a shared `Inside` gives shared access to the value only.
unsafe impl<T: Sync> Sync for Inside<'_, T> {}

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: only one `Inside` exists at a time.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Inside<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: only one `Inside` exists at a time, and it is borrowed
        // mutably.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        self.of.busy.store(false, Ordering::Release);
    }
}

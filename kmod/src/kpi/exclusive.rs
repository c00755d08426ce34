//! A value that one thread at a time may be busy with, for however long.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// Like a lock that nobody waits for: a second thread is turned away. Unlike
/// with a mutex, whoever is in may sleep.
#[derive(Debug)]
pub struct Exclusive<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached by the one thread that is in.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    /// A new value, nobody in.
    pub const fn new(value: T) -> Self {
        Self {
            busy: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Enters, unless somebody is in.
    pub fn enter(&self) -> Option<Inside<'_, T>> {
        (!self.busy.swap(true, Ordering::Acquire)).then_some(Inside(self))
    }
}

/// Being in.
#[derive(Debug)]
pub struct Inside<'a, T>(&'a Exclusive<T>);

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: only one `Inside` exists at a time.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Inside<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: only one `Inside` exists at a time, and it is borrowed
        // mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

//! Sleep mutexes (mtx(9), `MTX_DEF`), with WITNESS.

use super::{bindings, held_locks, leaked, time};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::time::Duration;

/// Whether the owner of a lock may acquire it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recursion {
    /// It may not: with INVARIANTS the kernel panics.
    Forbidden,
    /// The owner may.
    Allowed,
}

/// A mutex without a value.
pub struct Lock {
    /// Points to a heap block, or to the module's mutex.
    raw: *mut bindings::mtx,
    name: &'static CStr,
}

/// A lock that exists as long as the module. A test that dies with it leaks no
/// memory.
pub static MODULE: Lock = Lock {
    raw: &raw mut bindings::kdk_module_mtx,
    name: c"kdk module",
};

// SAFETY: a mutex is for use by many threads.
unsafe impl Send for Lock {}
// SAFETY: as above.
unsafe impl Sync for Lock {}

impl Lock {
    /// Makes a lock. witness(4) reports the name.
    #[must_use]
    pub fn new(name: &'static CStr, recursion: Recursion) -> Self {
        let options = if recursion == Recursion::Allowed {
            bindings::MTX_RECURSE
        } else {
            0
        };
        // SAFETY: all-zero bytes are what mtx_init(9) expects of new memory.
        let raw = Box::into_raw(Box::new(unsafe { core::mem::zeroed() }));
        // SAFETY: the memory is owned, does not move, and is initialised once.
        unsafe { bindings::kdk_mtx_init(raw, name.as_ptr(), options.cast_signed()) };
        Self { raw, name }
    }

    /// Acquires the lock, and waits for it if necessary.
    #[track_caller]
    pub fn lock(&self) -> Guard<'_> {
        let (file, line) = place(Location::caller());
        // SAFETY: the mutex is initialised and lives as long as `self`.
        unsafe { bindings::kdk_mtx_lock(self.raw, file.as_ptr(), line) };
        self.taken()
    }

    /// Acquires the lock if no thread owns it.
    #[track_caller]
    pub fn try_lock(&self) -> Option<Guard<'_>> {
        let (file, line) = place(Location::caller());
        // SAFETY: as in `lock`.
        let taken = unsafe { bindings::kdk_mtx_trylock(self.raw, file.as_ptr(), line) } != 0;
        taken.then(|| self.taken())
    }

    /// Returns whether the current thread owns the lock, see mtx_owned(9).
    #[must_use]
    pub fn is_owned(&self) -> bool {
        // SAFETY: as in `lock`.
        unsafe { bindings::kdk_mtx_owned(self.raw) != 0 }
    }

    /// Returns whether the owner, the current thread, has acquired the lock more
    /// than once, see mtx_recursed(9).
    #[must_use]
    pub fn is_recursed(&self) -> bool {
        // SAFETY: as in `lock`.
        unsafe { bindings::kdk_mtx_recursed(self.raw) != 0 }
    }

    fn taken(&self) -> Guard<'_> {
        held_locks::push(self.raw, self.name);
        Guard {
            lock: self,
            not_send: PhantomData,
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A guard was leaked. witness(4) panics if an owned lock is destroyed.
        while self.is_owned() {
            held_locks::pop(self.raw);
            // SAFETY: the current thread owns the lock.
            unsafe { bindings::kdk_mtx_unlock(self.raw, c"kdk".as_ptr(), 0) };
            leaked::record("held lock", self.name);
        }
        // SAFETY: made in `new` (a static is never dropped), destroyed once, and
        // no guard is left.
        unsafe {
            bindings::kdk_mtx_destroy(self.raw);
            drop(Box::from_raw(self.raw));
        }
    }
}

/// Ownership of a lock. Dropping it releases the lock.
pub struct Guard<'a> {
    lock: &'a Lock,
    /// The owner of a mutex has to release it.
    not_send: PhantomData<*mut ()>,
}

impl Guard<'_> {
    /// Releases the lock, sleeps on `channel` until a wake-up or for `limit`,
    /// and acquires the lock again. Returns false if the limit has passed.
    pub fn sleep(&mut self, channel: &Channel, limit: Duration) -> bool {
        let (chan, lock) = (channel.address(), self.lock.raw);
        // SAFETY: the current thread owns the lock; the address is only a wait
        // channel.
        unsafe { bindings::kdk_mtx_sleep(chan, lock, c"kdktest".as_ptr(), time::sbt(limit)) == 0 }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let raw = self.lock.raw;
        held_locks::pop(raw);
        // SAFETY: this guard stands for one acquisition by this thread.
        unsafe { bindings::kdk_mtx_unlock(raw, c"kdk".as_ptr(), 0) }
    }
}

/// A wait channel, see sleep(9).
#[derive(Debug)]
pub struct Channel(Box<u8>);

impl Channel {
    /// Makes a channel. Its address is unique while it exists.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new(0))
    }

    /// Wakes every thread that sleeps on the channel.
    pub fn wake(&self) {
        // SAFETY: the address is only a wait channel.
        unsafe { bindings::wakeup(self.address()) }
    }

    fn address(&self) -> *mut core::ffi::c_void {
        (&raw const *self.0).cast_mut().cast()
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self::new()
    }
}

/// A mutex around a value.
pub struct Mutex<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only accessed under the lock.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Makes a mutex around `value`; see [`Lock::new`].
    pub fn new(name: &'static CStr, value: T) -> Self {
        Self {
            lock: Lock::new(name, Recursion::Forbidden),
            value: UnsafeCell::new(value),
        }
    }

    /// Acquires the lock, and waits for it if necessary.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            guard: self.lock.lock(),
            value: self.value.get(),
        }
    }

    /// Acquires the lock if no thread owns it.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = self.lock.try_lock()?;
        Some(MutexGuard {
            guard,
            value: self.value.get(),
        })
    }
}

/// Access to the value of a [`Mutex`]. Dropping it releases the lock.
pub struct MutexGuard<'a, T> {
    guard: Guard<'a>,
    value: *mut T,
}

impl<T> MutexGuard<'_, T> {
    /// Sleeps; see [`Guard::sleep`].
    pub fn sleep(&mut self, channel: &Channel, limit: Duration) -> bool {
        self.guard.sleep(channel, limit)
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard owns the lock, which does not recurse, so there is
        // no other guard; the mutex outlives it.
        unsafe { &*self.value }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
        unsafe { &mut *self.value }
    }
}

fn place(caller: &'static Location<'static>) -> (&'static CStr, c_int) {
    (
        caller.file_as_c_str(),
        c_int::try_from(caller.line()).unwrap_or(0),
    )
}

//! The locks that a thread has, so that they can be released when it dies
//! without running the destructors of its guards.

use super::{bindings, kthread, leaked};
use core::ffi::CStr;

/// One lock. Only the thread that owns it uses the pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLock {
    lock: *mut bindings::mtx,
    name: &'static CStr,
}

// SAFETY: the table of these is shared, but only the thread that owns the lock
// uses the pointer.
unsafe impl Send for HeldLock {}

/// The most locks that are recorded for a thread. More are not released when it
/// dies.
pub(super) const DEPTH: usize = 16;

/// Records that the current thread has acquired `lock`.
pub(super) fn push(lock: *mut bindings::mtx, name: &'static CStr) {
    kthread::with_current(|thread| {
        let _ = thread.held_locks.try_push(HeldLock { lock, name });
    });
}

/// Records that the current thread releases `lock`.
pub(super) fn pop(lock: *mut bindings::mtx) {
    kthread::with_current(|thread| {
        if let Some(at) = thread
            .held_locks
            .iter()
            .rposition(|entry| entry.lock == lock)
        {
            thread.held_locks.remove(at);
        }
    });
}

/// Releases every lock that the current thread still has, the latest first.
pub(super) fn release_all() {
    while let Some(Some(entry)) = kthread::with_current(|thread| thread.held_locks.pop()) {
        // SAFETY: a lock is removed from the list before it is released or
        // destroyed, so this one exists and the current thread owns it.
        unsafe { bindings::kdk_mtx_unlock(entry.lock, c"kdk".as_ptr(), 0) };
        leaked::record("held lock", entry.name);
    }
}

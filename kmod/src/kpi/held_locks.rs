//! Locks the current thread holds, so that they can be given back when it dies
//! without running its guards' destructors.

use super::{bindings, kthread, leaked};
use core::ffi::CStr;

/// One held lock. The pointer is used by the owning thread only.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLock {
    lock: *mut bindings::mtx,
    name: &'static CStr,
}

// SAFETY: the table these sit in is shared, but only the thread that holds the
// lock, and is alive to do so, uses the pointer.
unsafe impl Send for HeldLock {}

/// HeldLock locks per thread that are remembered; a thread that nests deeper is
/// not helped when it dies.
pub(super) const DEPTH: usize = 16;

/// The current thread took `lock`.
pub(super) fn push(lock: *mut bindings::mtx, name: &'static CStr) {
    kthread::with_current(|thread| {
        let _ = thread.held_locks.try_push(HeldLock { lock, name });
    });
}

/// The current thread gives `lock` back.
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

/// Gives back every lock the current thread still has, latest first.
pub(super) fn release_all() {
    while let Some(Some(entry)) = kthread::with_current(|thread| thread.held_locks.pop()) {
        // SAFETY: a lock is removed from the list before it is given back or
        // destroyed, so this one exists and the current thread owns it.
        unsafe { bindings::kdk_mtx_unlock(entry.lock, c"kdk".as_ptr(), 0) };
        leaked::record("held lock", entry.name);
    }
}

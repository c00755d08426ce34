//! Things that a test can leak: counted objects, one lock, and objects that
//! are released late, as by a callout.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use kdk_harness::Counters;

static OBJECTS: AtomicI64 = AtomicI64::new(0);
static LATE: AtomicI64 = AtomicI64::new(0);
static DUE: AtomicU64 = AtomicU64::new(u64::MAX);
static LOCKED: AtomicBool = AtomicBool::new(false);

/// Allocates `count` objects.
pub fn take(count: i64) {
    OBJECTS.fetch_add(count, Ordering::Relaxed);
}

/// Has `count` objects released at tick `when`.
pub fn release_at(count: i64, when: u64) {
    LATE.store(count, Ordering::Relaxed);
    DUE.store(when, Ordering::Relaxed);
}

/// Releases what is due; called by the timer.
pub fn release_due(now: u64) {
    if now >= DUE.load(Ordering::Relaxed) {
        DUE.store(u64::MAX, Ordering::Relaxed);
        OBJECTS.fetch_sub(LATE.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Holds the lock.
#[must_use]
pub struct Held(());

impl Drop for Held {
    fn drop(&mut self) {
        free_lock();
    }
}

/// Takes the lock, if it is free.
pub fn lock() -> Option<Held> {
    // Not `then_some`: a guard that is made and dropped would free the lock.
    (!LOCKED.swap(true, Ordering::Acquire)).then(|| Held(()))
}

/// Whether somebody holds the lock.
pub fn is_locked() -> bool {
    LOCKED.load(Ordering::Relaxed)
}

/// Frees the lock, also one whose holder was left behind.
pub fn free_lock() {
    LOCKED.store(false, Ordering::Release);
}

/// Notes what there is.
pub fn count(counters: &mut Counters) {
    counters.set("demo objects", "", OBJECTS.load(Ordering::Relaxed));
    counters.set("held locks", "", i64::from(is_locked()));
}

//! Objects that a test can leak: counted objects of three kinds, one lock, and
//! objects that are released late, as by a callout.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use kdk_harness::Counters;

/// The kinds of counted objects. kdk.ko uses the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A block of memory.
    Object,
    /// A network buffer (mbuf).
    Mbuf,
    /// A kernel thread.
    Thread,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Object, "demo objects"),
    (Kind::Mbuf, "mbufs"),
    (Kind::Thread, "threads"),
];

static COUNTS: [AtomicI64; KINDS.len()] = [const { AtomicI64::new(0) }; KINDS.len()];
static LATE: AtomicI64 = AtomicI64::new(0);
static DUE: AtomicU64 = AtomicU64::new(u64::MAX);
static LOCKED: AtomicBool = AtomicBool::new(false);

fn number_of(kind: Kind) -> &'static AtomicI64 {
    &COUNTS[kind as usize]
}

/// Allocates `count` objects of a kind, or frees them if `count` is negative.
pub fn take(kind: Kind, count: i64) {
    number_of(kind).fetch_add(count, Ordering::Relaxed);
}

/// Schedules the release of `count` objects at tick `when`.
pub fn release_at(count: i64, when: u64) {
    LATE.store(count, Ordering::Relaxed);
    DUE.store(when, Ordering::Relaxed);
}

/// Releases what is due. The timer calls it.
pub fn release_due(now: u64) {
    if now >= DUE.load(Ordering::Relaxed) {
        DUE.store(u64::MAX, Ordering::Relaxed);
        take(Kind::Object, -LATE.swap(0, Ordering::Relaxed));
    }
}

/// A guard of the lock.
#[must_use]
pub struct LockGuard(());

impl Drop for LockGuard {
    fn drop(&mut self) {
        free_lock();
    }
}

/// Locks the lock, if it is free.
pub fn lock() -> Option<LockGuard> {
    // Not `then_some`: a guard that is made and dropped would free the lock.
    (!LOCKED.swap(true, Ordering::Acquire)).then(|| LockGuard(()))
}

/// Returns whether the lock is locked.
pub fn is_locked() -> bool {
    LOCKED.load(Ordering::Relaxed)
}

/// Unlocks the lock, even if its owner was abandoned.
pub fn free_lock() {
    LOCKED.store(false, Ordering::Release);
}

/// Reads the counters.
pub fn count(counters: &mut Counters) {
    for (kind, name) in KINDS {
        counters.set(name, "", number_of(kind).load(Ordering::Relaxed));
    }
    counters.set("held locks", "", i64::from(is_locked()));
}

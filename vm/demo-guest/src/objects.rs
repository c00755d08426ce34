//! Things that a test can leak: counted objects of three kinds, one lock, and
//! objects that are released late, as by a callout.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use kdk_harness::Counters;

/// What can be counted, by the names that FreeBSD's module uses where it
/// counts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory.
    Object,
    /// Network buffers.
    Mbuf,
    /// Kernel threads.
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

/// Allocates `count` of a kind; frees them if it is negative.
pub fn take(kind: Kind, count: i64) {
    number_of(kind).fetch_add(count, Ordering::Relaxed);
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
        take(Kind::Object, -LATE.swap(0, Ordering::Relaxed));
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
    for (kind, name) in KINDS {
        counters.set(name, "", number_of(kind).load(Ordering::Relaxed));
    }
    counters.set("held locks", "", i64::from(is_locked()));
}

//! Counters of a measurement, in memory that its processes share.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use kdk_sys::memory::{Mapping, shared_memory};
use kdk_sys::suite::must;

const READ: usize = 0;
const SENDS: usize = 1;
const WAITS: usize = 2;
const SAMPLES: usize = 3;
const FIRST: usize = 8;
/// Number of latencies kept; later ones replace the earliest.
const MOST: usize = 16 << 10;

/// The counters; one process makes them before it forks.
pub struct SharedCounters(Mapping);

/// The counters' values at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Bytes that readers have read.
    pub read: u64,
    /// Calls that send.
    pub sends: u64,
    /// Calls of kevent(2).
    pub waits: u64,
    /// Buffers that could be used again.
    pub samples: u64,
}

impl SharedCounters {
    /// Creates the counters, all zero.
    #[track_caller]
    pub fn new() -> Self {
        let length = (FIRST + MOST) * size_of::<u64>();
        let object = must("shm_open of the counters", shared_memory(length as u64));
        Self(must("mmap of the counters", Mapping::of(&object, length)))
    }

    fn counter(&self, at: usize) -> Option<&AtomicU64> {
        self.0.counters().get(at)
    }

    fn add(&self, at: usize, count: u64) -> u64 {
        self.counter(at)
            .map_or(0, |counter| counter.fetch_add(count, Ordering::Relaxed))
    }

    fn value(&self, at: usize) -> u64 {
        self.counter(at)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Bytes were read.
    pub fn read(&self, bytes: usize) {
        self.add(READ, bytes as u64);
    }

    /// Something was sent, or tried to be.
    pub fn sent(&self) {
        self.add(SENDS, 1);
    }

    /// Events were waited for.
    pub fn waited(&self) {
        self.add(WAITS, 1);
    }

    /// A buffer can be used again, `ns` after its sending began.
    pub fn reusable(&self, ns: u64) {
        let nth = self.add(SAMPLES, 1) as usize;
        if let Some(place) = self.counter(FIRST + nth % MOST) {
            place.store(ns, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            read: self.value(READ),
            sends: self.value(SENDS),
            waits: self.value(WAITS),
            samples: self.value(SAMPLES),
        }
    }

    /// The latencies of samples `from` to `to`, as far as they are kept,
    /// nanoseconds, the shortest first.
    pub fn latencies(&self, from: u64, to: u64) -> Vec<u64> {
        let from = from.max(to.saturating_sub(MOST as u64));
        let mut all: Vec<u64> = (from..to)
            .map(|nth| self.value(FIRST + nth as usize % MOST))
            .collect();
        all.sort_unstable();
        all
    }
}

//! What must hold of each call, and what came of it.

use super::operation::Operation;
use super::worker::SAME;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};
use kdk_sys::kqueue::{EV_ERROR, Event, Filter, registered};
use kdk_sys::memory::{Mapping, shared_memory};
use kdk_sys::process::me;
use kdk_sys::sendfile::Sent;
use kdk_sys::suite::must;

/// Words of a call: what it returned, and what its event said.
const WORDS: usize = 2;

/// The call must have an event.
const DUE: u64 = 1;
/// A program deleted the event.
const DELETED: u64 = 2;
/// It has the ident that many calls have.
const OF_SAME: u64 = 4;
/// What it sends may fail to be read.
const MAY_FAIL: u64 = 8;
/// Where the number of bytes begins.
const BYTES: u32 = 8;

/// Where the error and the number of bytes of an event begin, above a count of
/// events.
const EVENT_ERROR: u32 = 8;
const EVENT_BYTES: u32 = 24;

/// The calls of all processes, by the number that is their event's udata. The
/// first word counts deletions of the ident that many calls have.
pub struct Ledger {
    seed: u64,
    calls: usize,
    memory: Mapping,
}

impl Ledger {
    /// No call was made yet.
    #[track_caller]
    pub fn new(seed: u64, calls: usize) -> Self {
        let length = (1 + calls * WORDS) * size_of::<u64>();
        let object = must("shm_open", shared_memory(length as u64));
        Self {
            seed,
            calls,
            memory: must("mmap", Mapping::of(&object, length)),
        }
    }

    fn word(&self, call: usize, nth: usize) -> &AtomicU64 {
        match self.memory.counters().get(1 + call * WORDS + nth) {
            Some(word) => word,
            None => panic!("seed {:x}: no call {call}", self.seed),
        }
    }

    fn same_deletions(&self) -> &AtomicU64 {
        &self.memory.counters()[0]
    }

    /// Records what a call returned.
    pub fn returned(&self, call: usize, sent: Sent, ident: usize, may_fail: bool) {
        let mut word = (sent.bytes.max(0) as u64) << BYTES;
        if sent.result.is_ok() || sent.bytes > 0 {
            word |= DUE;
        }
        if ident == SAME {
            word |= OF_SAME;
        }
        if may_fail {
            word |= MAY_FAIL;
        }
        self.word(call, 0).fetch_or(word, Ordering::SeqCst);
    }

    /// Records that an event was deleted before it was taken: that of the call,
    /// or of some call with [`SAME`].
    pub fn deleted(&self, call: Option<usize>) {
        match call {
            Some(call) => self.word(call, 0).fetch_or(DELETED, Ordering::SeqCst),
            None => self.same_deletions().fetch_add(1, Ordering::SeqCst),
        };
    }

    /// Records an event.
    #[track_caller]
    pub fn came(&self, event: &Event) {
        if !event.is(Filter::Sendfile) {
            return;
        }
        assert!(
            event.flags & EV_ERROR == 0 && event.udata < self.calls && event.data >= 0,
            "seed {:x}: {event:?}",
            self.seed
        );
        let word = 1
            | u64::from(event.fflags & 0xffff) << EVENT_ERROR
            | (event.data as u64) << EVENT_BYTES;
        self.word(event.udata, 1).fetch_add(word, Ordering::SeqCst);
    }

    /// A call whose event has not come, if there is one. That the event of a
    /// call with [`SAME`] was deleted explains one of those.
    pub fn missing(&self) -> Option<usize> {
        let deletions = self.same_deletions().load(Ordering::SeqCst);
        let mut same = 0;
        (0..self.calls).find(|call| {
            let returned = self.word(*call, 0).load(Ordering::SeqCst);
            let came = self.word(*call, 1).load(Ordering::SeqCst);
            let missing = returned & DUE != 0 && returned & DELETED == 0 && came & 0xff == 0;
            if missing && returned & OF_SAME != 0 {
                same += 1;
                return same > deletions;
            }
            missing
        })
    }

    /// Checks all calls.
    #[track_caller]
    pub fn check(&self) {
        if let Some(call) = self.missing() {
            let shown = must("look at the kqueues", registered(me()));
            let knote = shown.iter().find(|one| one.event.udata == call);
            panic!("{}: no event, {knote:?}", self.describe(call));
        }
        for call in 0..self.calls {
            let returned = self.word(call, 0).load(Ordering::SeqCst);
            let came = self.word(call, 1).load(Ordering::SeqCst);
            let (count, error) = (came & 0xff, came >> EVENT_ERROR & 0xffff);
            let due = returned & DUE != 0 && returned & DELETED == 0;
            assert!(
                count <= u64::from(due),
                "{}: {count} events",
                self.describe(call)
            );
            if count == 1 {
                let bytes = returned >> BYTES;
                assert_eq!(came >> EVENT_BYTES, bytes, "{}: bytes", self.describe(call));
                assert!(
                    error == 0 || returned & MAY_FAIL != 0,
                    "{}: error {error}",
                    self.describe(call)
                );
            }
        }
    }

    fn describe(&self, call: usize) -> String {
        let (worker, nth) = (call / super::OPERATIONS, call % super::OPERATIONS);
        let operation = Operation::all(self.seed, worker).nth(nth);
        format!(
            "seed {:x}, process {worker}, operation {nth} ({operation:?}), ledger {:x} {:x}",
            self.seed,
            self.word(call, 0).load(Ordering::SeqCst),
            self.word(call, 1).load(Ordering::SeqCst)
        )
    }
}

//! Memory that is sent from.

use super::record::LONGEST;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use kdk_sys::Fd;
use kdk_sys::file::PAGE;
use kdk_sys::memory::{Mapping, shared_memory};
use kdk_sys::suite::must;

const SLOTS: usize = 64;
/// Bytes of a slot: a body begins anywhere in its first page.
const ROOM: usize = PAGE + LONGEST;
/// The content of unused memory.
const USELESS: u8 = 0xdd;

/// Shared memory in slots, each for one record at a time.
pub struct Slots {
    /// What sendfile(2) takes the bytes from.
    pub memory: Fd,
    mapping: Mapping,
    free: Vec<usize>,
    /// For each slot: who still needs it.
    users: Vec<usize>,
}

impl Slots {
    /// All slots are free.
    #[track_caller]
    pub fn new() -> Self {
        let memory = must("shm_open", shared_memory((SLOTS * ROOM) as u64));
        let mapping = must("mmap", Mapping::of(&memory, SLOTS * ROOM));
        Self {
            memory,
            mapping,
            free: (0..SLOTS).collect(),
            users: vec![0; SLOTS],
        }
    }

    /// Past the end of the memory: a call from there sends no body.
    pub const END: u64 = (SLOTS * ROOM) as u64;

    /// Whether there is a slot for [`Self::fill`].
    pub fn any_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// A free slot with `body` in it, which begins in the first page at
    /// `start`: the slot, and where in the memory the body is. It is the
    /// caller's to [`Self::drop_user`].
    #[track_caller]
    pub fn fill(&mut self, start: usize, body: &[u8]) -> (usize, usize) {
        let Some(slot) = self.free.pop() else {
            panic!("no slot is free");
        };
        let at = slot * ROOM + start;
        self.mapping.write(at, body);
        self.add_user(slot);
        (slot, at)
    }

    /// A call sends from this slot.
    pub fn add_user(&mut self, slot: usize) {
        if let Some(users) = self.users.get_mut(slot) {
            *users += 1;
        }
    }

    /// One that needed it does so no more.
    pub fn drop_user(&mut self, slot: usize) {
        let Some(users) = self.users.get_mut(slot) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.free.push(slot);
        }
    }

    /// Overwrites these bytes, which are no longer in use.
    pub fn spoil(&mut self, bytes: Range<usize>) {
        const USELESS_ROOM: [u8; ROOM] = [USELESS; ROOM];
        let length = bytes.len();
        let with = USELESS_ROOM.get(..length).unwrap_or_default();
        self.mapping.write(bytes.start, with);
    }
}

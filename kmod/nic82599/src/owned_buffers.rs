//! The receive buffers that the NIC owns, to find one that is posted twice.

use alloc::boxed::Box;
use alloc::vec;

/// A buffer that the NIC owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Buffer {
    address: u64,
    queue: u16,
}

/// A set of buffers by address: open addressing, linear probing, no
/// allocation after it was made.
#[derive(Debug)]
pub struct OwnedBuffers {
    slots: Box<[Option<Buffer>]>,
    count: usize,
    max: usize,
}

/// The result of [`OwnedBuffers::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The buffer was not owned.
    New,
    /// The buffer is owned already.
    Twice,
    /// There is no room to track it.
    Full,
}

impl OwnedBuffers {
    /// Makes a set with room for `max` buffers.
    pub fn new(max: usize) -> Self {
        // Half empty, so that probes stay short.
        let slots = (max.max(1) * 2).next_power_of_two();
        Self {
            slots: vec![None; slots].into_boxed_slice(),
            count: 0,
            max,
        }
    }

    fn home(&self, address: u64) -> usize {
        // Fibonacci hashing; buffers differ in their upper bits.
        let hash = (address >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bits = self.slots.len().trailing_zeros();
        let slot = hash.checked_shr(64 - bits).unwrap_or(0);
        usize::try_from(slot).unwrap_or(0)
    }

    const fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    fn find(&self, address: u64) -> Result<usize, usize> {
        let mut slot = self.home(address);
        while let Some(buffer) = self.slots[slot] {
            if buffer.address == address {
                return Ok(slot);
            }
            slot = self.next(slot);
        }
        Err(slot)
    }

    /// Adds a buffer.
    pub fn add(&mut self, address: u64, queue: u16) -> Added {
        match self.find(address) {
            Ok(_) => Added::Twice,
            Err(_) if self.count == self.max => Added::Full,
            Err(slot) => {
                self.slots[slot] = Some(Buffer { address, queue });
                self.count += 1;
                Added::New
            }
        }
    }

    /// Removes a buffer. Returns `false` if it was not owned for that queue.
    pub fn remove(&mut self, address: u64, queue: u16) -> bool {
        match self.find(address) {
            Ok(slot) if self.slots[slot].is_some_and(|buffer| buffer.queue == queue) => {
                self.remove_at(slot);
                true
            }
            _ => false,
        }
    }

    /// Backward shift: no tombstones.
    fn remove_at(&mut self, mut hole: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = hole;
        self.slots[hole] = None;
        self.count -= 1;
        loop {
            slot = self.next(slot);
            let Some(buffer) = self.slots[slot] else {
                return;
            };
            let home = self.home(buffer.address);
            // It may move if the hole is between its home and its place.
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(hole) & mask {
                self.slots[hole] = Some(buffer);
                self.slots[slot] = None;
                hole = slot;
            }
        }
    }

    /// Removes all buffers of a queue.
    pub fn remove_queue(&mut self, queue: u16) {
        let mut slot = 0;
        while slot < self.slots.len() {
            match self.slots[slot] {
                // A buffer that moves here is checked next.
                Some(buffer) if buffer.queue == queue => self.remove_at(slot),
                _ => slot += 1,
            }
        }
    }

    /// Removes all buffers.
    pub fn clear(&mut self) {
        self.slots.fill(None);
        self.count = 0;
    }

    /// Returns the number of buffers.
    pub const fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn twice_and_full() {
        let mut owned = OwnedBuffers::new(2);
        assert_eq!(owned.add(0x1000, 0), Added::New);
        assert_eq!(owned.add(0x1000, 1), Added::Twice);
        assert_eq!(owned.add(0x2000, 1), Added::New);
        assert_eq!(owned.add(0x3000, 1), Added::Full);
        assert!(!owned.remove(0x1000, 1), "it is another queue's");
        assert!(owned.remove(0x1000, 0));
        assert_eq!(owned.add(0x3000, 1), Added::New);
        owned.remove_queue(1);
        assert_eq!(owned.count(), 0);
    }

    proptest! {
        #[test]
        fn is_a_map(steps in prop::collection::vec((0u8..4, 0u64..40, 0u16..3), 1..400)) {
            let (mut owned, mut map) = (OwnedBuffers::new(24), BTreeMap::new());
            for (what, address, queue) in steps {
                let address = address << 6;
                match what {
                    0 | 1 => {
                        let expected = if map.contains_key(&address) {
                            Added::Twice
                        } else if map.len() == 24 {
                            Added::Full
                        } else {
                            map.insert(address, queue);
                            Added::New
                        };
                        prop_assert_eq!(owned.add(address, queue), expected);
                    }
                    2 => {
                        let there = map.get(&address) == Some(&queue);
                        if there {
                            map.remove(&address);
                        }
                        prop_assert_eq!(owned.remove(address, queue), there);
                    }
                    _ => {
                        map.retain(|_, of| *of != queue);
                        owned.remove_queue(queue);
                    }
                }
                prop_assert_eq!(owned.count(), map.len());
            }
            for (address, queue) in map {
                prop_assert!(owned.remove(address, queue));
            }
            prop_assert_eq!(owned.count(), 0);
        }
    }
}

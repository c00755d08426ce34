//! Descriptor rings, by the registers of their queue.
//!
//! Datasheet: chapters 7.1.8 (Receive Descriptor Queue Structure) and 7.2.3
//! (Transmit Descriptor Ring).

use crate::registers::{
    Registers, XDCTL_ENABLE, rdbah, rdbal, rdh, rdlen, rdt, rxdctl, tdbah, tdbal, tdh, tdlen, tdt,
    txdctl,
};
use crate::violation::Direction;

/// Bytes of a descriptor.
pub const DESCRIPTOR: u32 = 16;
/// Granularity of a ring's base and length, in bytes.
pub const ALIGNMENT: u32 = 128;
/// RDLEN and TDLEN have bits 19:7; the NIC is validated up to 128 KB.
const LENGTH: u32 = 0xF_FF80;
const LONGEST: u32 = 128 * 1024;

/// A ring as its registers describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Bus address of the first descriptor.
    pub base: u64,
    /// Length in bytes, as it was written.
    pub length: u32,
    /// The next descriptor that the NIC uses.
    pub head: u32,
    /// The first descriptor that is not the NIC's.
    pub tail: u32,
    /// Whether the queue is enabled.
    pub enabled: bool,
}

impl Ring {
    /// The ring of `queue`.
    #[must_use]
    pub fn of(registers: &Registers, direction: Direction, queue: u16) -> Self {
        let at = |receive: fn(u16) -> u32, transmit: fn(u16) -> u32| match direction {
            Direction::Receive => registers.get(receive(queue)),
            Direction::Transmit => registers.get(transmit(queue)),
        };
        Self {
            base: u64::from(at(rdbah, tdbah)) << 32 | u64::from(at(rdbal, tdbal)),
            length: at(rdlen, tdlen),
            head: at(rdh, tdh),
            tail: at(rdt, tdt),
            enabled: at(rxdctl, txdctl) & XDCTL_ENABLE != 0,
        }
    }

    /// Returns whether base and length are valid.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        (ALIGNMENT..=LONGEST).contains(&self.length)
            && self.length.is_multiple_of(ALIGNMENT)
            && self.base.is_multiple_of(u64::from(ALIGNMENT))
            && self.base != 0
    }

    /// Descriptors in the ring.
    #[must_use]
    pub const fn entries(&self) -> u32 {
        (self.length & LENGTH) / DESCRIPTOR
    }

    /// Bus address of a descriptor.
    #[must_use]
    pub fn address(&self, index: u32) -> u64 {
        self.base
            .wrapping_add(u64::from(index) * u64::from(DESCRIPTOR))
    }

    /// The index after `index`.
    #[must_use]
    pub const fn next(&self, index: u32) -> u32 {
        if index + 1 >= self.entries() {
            0
        } else {
            index + 1
        }
    }

    /// Descriptors that the NIC owns.
    #[must_use]
    pub const fn owned(&self) -> u32 {
        if !self.enabled || self.head >= self.entries() || self.tail >= self.entries() {
            0
        } else if self.tail >= self.head {
            self.tail - self.head
        } else {
            self.tail + self.entries() - self.head
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: Ring = Ring {
        base: 0x1_0000_0080,
        length: 128,
        head: 0,
        tail: 0,
        enabled: true,
    };

    #[test]
    fn owned_descriptors() {
        for (head, tail, enabled, owned) in [
            (0, 0, true, 0),
            (0, 7, true, 7),
            (3, 2, true, 7),
            (7, 0, true, 1),
            (0, 7, false, 0),
            (0, 8, true, 0),
            (8, 0, true, 0),
        ] {
            let ring = Ring {
                head,
                tail,
                enabled,
                ..RING
            };
            assert_eq!(ring.owned(), owned, "{head} {tail}");
        }
        assert_eq!((RING.next(6), RING.next(7)), (7, 0));
        assert_eq!(RING.address(2), 0x1_0000_00A0);
        let length = u32::MAX;
        assert_eq!(Ring { length, ..RING }.entries(), 65_528);
    }

    #[test]
    fn rings_that_cannot_be() {
        for (base, length, sound) in [
            (0x80, 128, true),
            (0, 128, false),
            (0x88, 128, false),
            (0x80, 0, false),
            (0x80, 64, false),
            (0x80, 128 * 1024, true),
            (0x80, 128 * 1024 + 128, false),
            (0x80, u32::MAX, false),
        ] {
            let ring = Ring {
                base,
                length,
                ..RING
            };
            assert_eq!(ring.is_sound(), sound, "{base:#x} {length}");
        }
    }

    #[test]
    fn registers_of_both_directions() {
        let mut registers = Registers::new();
        registers.set(rdbal(70), 0x80);
        registers.set(rdbah(70), 1);
        registers.set(rdlen(70), 256);
        registers.set(rdt(70), 5);
        registers.set(rxdctl(70), XDCTL_ENABLE);
        registers.set(tdbal(70), 0x100);
        registers.set(tdlen(70), 128);
        registers.set(tdh(70), 3);
        let receive = Ring::of(&registers, Direction::Receive, 70);
        assert_eq!((receive.base, receive.owned()), (0x1_0000_0080, 5));
        let transmit = Ring::of(&registers, Direction::Transmit, 70);
        assert_eq!((transmit.base, transmit.head), (0x100, 3));
        assert!(!transmit.enabled);
    }
}

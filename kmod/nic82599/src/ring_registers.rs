//! The effects of writes to the registers of receive and transmit rings.

use crate::host::Host;
use crate::nic::Nic;
use crate::owned_buffers::Added;
use crate::registers::{
    QueueRegister, SRRCTL_BSIZEPACKET, SRRCTL_DESCTYPE, SRRCTL_DESCTYPE_ONE_BUFFER, XDCTL_ENABLE,
    XDCTL_SWFLSH, srrctl,
};
use crate::ring::Ring;
use crate::violation::{Direction, Violation};

impl Nic {
    pub(crate) fn write_ring(
        &mut self,
        direction: Direction,
        queue: u16,
        kind: QueueRegister,
        register: u32,
        value: u32,
        host: &mut dyn Host,
    ) {
        match kind {
            QueueRegister::Base | QueueRegister::Length | QueueRegister::Head => {
                if Ring::of(&self.registers, direction, queue).enabled {
                    self.violations.record(Violation::RingChangedWhileEnabled {
                        direction,
                        queue,
                        register,
                    });
                    self.ownership_unknown |= direction == Direction::Receive;
                }
                self.registers.set(register, value);
            }
            QueueRegister::Split => {
                self.registers.set(register, value);
                // Drop_En may drop frames in the packet buffer.
                self.drain(host);
            }
            QueueRegister::Control => self.write_control(direction, queue, register, value, host),
            QueueRegister::Tail => self.write_tail(direction, queue, register, value, host),
        }
    }

    fn write_control(
        &mut self,
        direction: Direction,
        queue: u16,
        register: u32,
        value: u32,
        host: &mut dyn Host,
    ) {
        let was = Ring::of(&self.registers, direction, queue);
        self.registers.set(register, value & !XDCTL_SWFLSH);
        let enabled = value & XDCTL_ENABLE != 0;
        if was.enabled && !enabled && direction == Direction::Receive {
            if was.owned() != 0 || self.ownership_unknown {
                self.owned_buffers.remove_queue(queue);
            }
            // Frames for it in the packet buffer are never delivered.
            self.drain(host);
        }
        if enabled && !was.enabled {
            if !was.is_sound() {
                self.violations.record(Violation::BadRing {
                    direction,
                    queue,
                    base: was.base,
                    length: was.length,
                });
            }
            if direction == Direction::Receive {
                self.check_srrctl(queue);
                let ring = Ring::of(&self.registers, direction, queue);
                self.arm(queue, ring, ring.head, ring.tail, host);
            }
            self.pump_with(host);
        }
    }

    fn check_srrctl(&mut self, queue: u16) {
        let value = self.registers.get(srrctl(queue));
        let one_buffer = value & SRRCTL_DESCTYPE == SRRCTL_DESCTYPE_ONE_BUFFER;
        if !one_buffer || value & SRRCTL_BSIZEPACKET == 0 {
            let register = srrctl(queue);
            self.violations
                .record(Violation::NotModelled { register, value });
        }
    }

    fn write_tail(
        &mut self,
        direction: Direction,
        queue: u16,
        register: u32,
        tail: u32,
        host: &mut dyn Host,
    ) {
        let ring = Ring::of(&self.registers, direction, queue);
        let entries = ring.entries();
        if tail >= entries && (tail != 0 || ring.enabled) {
            return self.violations.record(Violation::TailBeyondRing {
                direction,
                queue,
                tail,
                entries,
            });
        }
        if !ring.enabled {
            if tail == ring.head {
                self.registers.set(register, tail);
            } else {
                self.violations.record(Violation::DoorbellOfDisabledQueue {
                    direction,
                    queue,
                    tail,
                });
            }
            return;
        }
        self.registers.set(register, tail);
        match direction {
            Direction::Receive => {
                self.arm(queue, ring, ring.tail, tail, host);
                self.drain(host);
            }
            Direction::Transmit => self.transmit(queue, host),
        }
    }

    /// Takes ownership of the descriptors `from..to` of a receive ring.
    fn arm(&mut self, queue: u16, ring: Ring, from: u32, to: u32, host: &mut dyn Host) {
        if ring.entries() == 0 || from >= ring.entries() || to >= ring.entries() {
            return;
        }
        let mut index = from;
        while index != to {
            let mut bytes = [0; 8];
            host.dma_read(ring.address(index), &mut bytes);
            let address = u64::from_le_bytes(bytes);
            let violation = if address == 0 {
                let direction = Direction::Receive;
                Some(Violation::NullAddress {
                    direction,
                    queue,
                    index,
                })
            } else {
                match self.owned_buffers.add(address, queue) {
                    Added::New => None,
                    Added::Twice => Some(Violation::BufferOwnedTwice {
                        queue,
                        index,
                        address,
                    }),
                    Added::Full => Some(Violation::TooManyOwned { queue }),
                }
            };
            if let Some(violation) = violation {
                self.ownership_unknown = true;
                self.violations.record(violation);
            }
            index = ring.next(index);
        }
    }
}

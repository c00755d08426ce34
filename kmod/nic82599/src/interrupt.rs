//! Interrupts: causes, masks, auto-clear and auto-mask, vectors, moderation.
//!
//! Datasheet: chapter 7.3 (Interrupts) and the registers EICR, EICS, EIMS,
//! EIMC, EIAC, EIAM, their extensions, EITR, IVAR, IVAR_MISC and GPIE.
//!
//! A message is sent when a cause becomes active (set and unmasked), unless EITR
//! delays it. A cause that stays active sends no second message. EIAC and EIAM
//! apply when the message is sent. Messages of one vector that were not taken
//! yet are merged. Masking in the MSI-X table is not modelled.

use crate::registers::{
    EIAC, EIAM, EIAM_EX, EICR, EICR_OTHER, EICR_RTX_QUEUE, EICR_TCP_TIMER, EICS, EICS_EX, EIMC,
    EIMC_EX, EIMS, EIMS_EX, GPIE, GPIE_EIAME, GPIE_EIMEN, GPIE_MSIX_MODE, GPIE_OCD, IVAR_MISC,
    VECTORS,
};
use crate::violation::Direction;

/// Causes other than queues that can be set: bits 30:16 of EICR.
const OTHER_CAUSES: u32 = 0x7FFF_0000;
/// The bits of EIMS besides queues: those and the gate in bit 31.
const OTHER_MASK: u32 = 0xFFFF_0000;
const VALID: u32 = 0x80;
const VECTOR: u32 = 0x3F;
const EITR_CNT_WDIS: u32 = 1 << 31;

/// The interrupt state of the NIC.
#[derive(Debug)]
pub struct Interrupts {
    /// By vector: queue causes of MSI-X mode, of which EICR shows 15:0.
    queue_causes: u64,
    queue_mask: u64,
    queue_auto_mask: u64,
    other_causes: u32,
    other_mask: u32,
    /// EIAM bits 31:16.
    other_auto_mask: u32,
    auto_clear: u32,
    gpie: u32,
    ivar: [u32; VECTORS as usize],
    ivar_misc: u32,
    eitr: [u32; VECTORS as usize],
    /// When a vector may send again, in microseconds.
    ready: [u64; VECTORS as usize],
    /// Active causes for which a message was sent.
    sent_queue: u64,
    sent_other: u32,
    /// Vectors with a message that was not taken yet.
    sent: u64,
    now: u64,
    moderation: bool,
    other_gate: bool,
}

impl Interrupts {
    /// All masked, nothing mapped, as after reset.
    pub const fn new(moderation: bool, other_gate: bool) -> Self {
        Self {
            queue_causes: 0,
            queue_mask: 0,
            queue_auto_mask: 0,
            other_causes: 0,
            other_mask: 0,
            other_auto_mask: 0,
            auto_clear: 0,
            gpie: 0,
            ivar: [0; VECTORS as usize],
            ivar_misc: 0,
            eitr: [0; VECTORS as usize],
            ready: [0; VECTORS as usize],
            sent_queue: 0,
            sent_other: 0,
            sent: 0,
            now: 0,
            moderation,
            other_gate,
        }
    }

    /// A device reset; messages that are out stay out.
    pub fn reset(&mut self) {
        *self = Self {
            now: self.now,
            sent: self.sent,
            ..Self::new(self.moderation, self.other_gate)
        };
    }

    /// The next message's vector; 0 without MSI-X. Lowest first.
    pub fn take(&mut self) -> Option<u16> {
        if self.sent == 0 {
            return None;
        }
        let vector = self.sent.trailing_zeros();
        self.sent &= self.sent - 1;
        u16::try_from(vector).ok()
    }

    /// Whether a message was not taken yet.
    pub const fn has(&self) -> bool {
        self.sent != 0
    }

    /// Advances the time.
    pub fn advance(&mut self, microseconds: u64) {
        self.now = self.now.saturating_add(microseconds);
        self.send(0);
    }

    /// Sets the cause of a queue that has written descriptors back.
    pub fn queue_event(&mut self, direction: Direction, queue: u16) {
        let shift = u32::from(queue % 2) * 16
            + match direction {
                Direction::Receive => 0,
                Direction::Transmit => 8,
            };
        let allocation = self.ivar[usize::from(queue / 2) % self.ivar.len()] >> shift;
        if allocation & VALID == 0 {
            return;
        }
        self.queue_causes |= if self.msix() {
            1 << (allocation & VECTOR)
        } else {
            1 << (allocation & 0xF)
        };
        self.send(0);
    }

    /// Sets the cause of a vector that has one of its own.
    pub fn raise_vector(&mut self, vector: u32) {
        self.queue_causes |= 1 << (vector & VECTOR);
        self.send(0);
    }

    /// Sets causes beside those of queues (EICR bits 30:16).
    pub fn raise(&mut self, causes: u32) {
        self.other_causes |= causes & OTHER_CAUSES;
        self.send(0);
    }

    const fn msix(&self) -> bool {
        self.gpie & GPIE_MSIX_MODE != 0
    }

    const fn active_other(&self) -> u32 {
        let open = !self.other_gate || self.other_mask & EICR_OTHER != 0;
        if open {
            self.other_causes & self.other_mask
        } else {
            0
        }
    }

    const fn active_queue(&self) -> u64 {
        self.queue_causes & self.queue_mask
    }

    /// Returns the vectors of the TCP timer and of the other causes, if mapped.
    fn other_vectors(&self, causes: u32) -> u64 {
        let mapped = |allocation: u32, causes: u32| {
            let valid = allocation & VALID != 0 && causes != 0;
            u64::from(valid) << (allocation & VECTOR)
        };
        mapped(self.ivar_misc, causes & EICR_TCP_TIMER)
            | mapped(self.ivar_misc >> 8, causes & !EICR_TCP_TIMER)
    }

    /// Sends messages for active causes without one. `immediate` vectors are not
    /// moderated.
    fn send(&mut self, immediate: u64) {
        self.sent_queue &= self.active_queue();
        self.sent_other &= self.active_other();
        let queue = self.active_queue() & !self.sent_queue;
        let other = self.active_other() & !self.sent_other;
        let mut vectors = if self.msix() {
            queue | self.other_vectors(other)
        } else {
            u64::from(queue != 0 || other != 0)
        };
        while vectors != 0 {
            let vector = vectors.trailing_zeros();
            vectors &= vectors - 1;
            let slot = vector as usize;
            if self.moderation && self.now < self.ready[slot] && immediate >> vector & 1 == 0 {
                continue;
            }
            self.ready[slot] = self.now.saturating_add(interval(self.eitr[slot]));
            self.sent |= 1 << vector;
            let (queue, other) = if self.msix() {
                let other = [EICR_TCP_TIMER, !EICR_TCP_TIMER]
                    .into_iter()
                    .map(|part| other & part)
                    .filter(|part| self.other_vectors(*part) == 1 << vector)
                    .fold(0, |sum, part| sum | part);
                (queue & 1 << vector, other)
            } else {
                (queue, other)
            };
            self.assert(queue, other);
        }
        self.sent_queue &= self.active_queue();
        self.sent_other &= self.active_other();
    }

    /// Sends a message for these causes.
    fn assert(&mut self, queue: u64, other: u32) {
        self.sent_queue |= queue;
        self.sent_other |= other;
        if self.msix() {
            // EIAC has bits for vectors 0..15; those above have no bit in
            // EICR to be cleared by, and are always cleared.
            let auto = u64::from(self.auto_clear & EICR_RTX_QUEUE) | !u64::from(EICR_RTX_QUEUE);
            self.queue_causes &= !(queue & auto);
            self.other_causes &= !(other & self.auto_clear);
        }
        if self.gpie & GPIE_EIAME != 0 {
            self.queue_mask &= !(queue & self.queue_auto_mask);
            self.other_mask &= !(other & self.other_auto_mask);
        }
    }

    const fn causes(&self) -> u32 {
        low(self.queue_causes) & EICR_RTX_QUEUE | self.other_causes
    }

    /// Clears causes; EIAM masks them.
    fn clear(&mut self, causes: u32) {
        self.queue_causes &= !u64::from(causes & EICR_RTX_QUEUE);
        self.other_causes &= !causes;
        self.queue_mask &= !(u64::from(causes & EICR_RTX_QUEUE) & self.queue_auto_mask);
        self.other_mask &= !(causes & OTHER_CAUSES & self.other_auto_mask);
        self.send(0);
    }

    /// EICS: sets causes; EIAM unmasks them.
    fn set(&mut self, queue: u64, other: u32) {
        self.queue_causes |= queue;
        self.other_causes |= other & OTHER_CAUSES;
        self.queue_mask |= queue & self.queue_auto_mask;
        self.other_mask |= other & OTHER_CAUSES & self.other_auto_mask;
        let immediate = self.gpie & GPIE_EIMEN != 0;
        let vectors = queue | self.other_vectors(other);
        self.send(if immediate { vectors } else { 0 });
    }

    /// Reads the register, if it is one of these. A read clears EICR.
    pub fn read(&mut self, register: u32) -> Option<u32> {
        Some(match register {
            EICR => {
                let causes = self.causes();
                let cleared = if self.gpie & GPIE_OCD != 0 {
                    causes & 0x3FFF_0000
                } else {
                    causes
                };
                self.clear(cleared);
                causes
            }
            // Intel's drivers read the causes here, without clearing them.
            EICS => self.causes(),
            EIAC => self.auto_clear,
            EIMS | EIMC => low(self.queue_mask) & EICR_RTX_QUEUE | self.other_mask,
            EIAM => low(self.queue_auto_mask) & EICR_RTX_QUEUE | self.other_auto_mask,
            GPIE => self.gpie,
            IVAR_MISC => self.ivar_misc,
            _ => {
                if let Some(half) = half(register, EICS_EX) {
                    part(self.queue_causes, half)
                } else if let Some(half) = half(register, EIMS_EX).or(half(register, EIMC_EX)) {
                    part(self.queue_mask, half)
                } else if let Some(half) = half(register, EIAM_EX) {
                    part(self.queue_auto_mask, half)
                } else if let Some(n) = nth_ivar(register) {
                    self.ivar[n]
                } else if let Some(vector) = nth_eitr(register) {
                    let left = self.ready[vector].saturating_sub(self.now);
                    let counter = u32::try_from(left / 8).unwrap_or(0x7F).min(0x7F);
                    self.eitr[vector] | counter << 21
                } else {
                    return None;
                }
            }
        })
    }

    /// Writes the register. Returns `false` if it is none of these.
    pub fn write(&mut self, register: u32, value: u32) -> bool {
        let queues = u64::from(value & EICR_RTX_QUEUE);
        match register {
            EICR => self.clear(value),
            EICS => self.set(queues, value),
            EIAC => self.auto_clear = value,
            EIMS => {
                self.queue_mask |= queues;
                self.other_mask |= value & OTHER_MASK;
                self.send(0);
            }
            EIMC => {
                self.queue_mask &= !queues;
                self.other_mask &= !value;
                self.send(0);
            }
            EIAM => {
                self.queue_auto_mask = self.queue_auto_mask & !u64::from(EICR_RTX_QUEUE) | queues;
                self.other_auto_mask = value & OTHER_CAUSES;
            }
            GPIE => {
                self.gpie = value;
                self.send(0);
            }
            IVAR_MISC => {
                self.ivar_misc = value;
                self.send(0);
            }
            _ => {
                if let Some(half) = half(register, EICS_EX) {
                    self.set(whole(value, half), 0);
                } else if let Some(half) = half(register, EIMS_EX) {
                    self.queue_mask |= whole(value, half);
                    self.send(0);
                } else if let Some(half) = half(register, EIMC_EX) {
                    self.queue_mask &= !whole(value, half);
                    self.send(0);
                } else if let Some(half) = half(register, EIAM_EX) {
                    let kept = self.queue_auto_mask & !whole(u32::MAX, half);
                    self.queue_auto_mask = kept | whole(value, half);
                } else if let Some(n) = nth_ivar(register) {
                    self.ivar[n] = value;
                } else if let Some(vector) = nth_eitr(register) {
                    // The counter (27:21) is in `ready`.
                    self.eitr[vector] = value & 0x001F_8FF8;
                    if value & EITR_CNT_WDIS == 0 {
                        let counter = u64::from(value >> 21 & 0x7F) * 8;
                        self.ready[vector] = self.now.saturating_add(counter);
                    }
                    self.send(0);
                } else {
                    return false;
                }
            }
        }
        true
    }
}

/// The ITR interval (bits 11:3, units of 2 us at 10 Gb/s), in microseconds.
fn interval(eitr: u32) -> u64 {
    u64::from(eitr >> 3 & 0x1FF) * 2
}

const fn low(value: u64) -> u32 {
    (value & 0xFFFF_FFFF) as u32
}

const fn part(value: u64, half: u32) -> u32 {
    low(value >> (32 * half))
}

fn whole(value: u32, half: u32) -> u64 {
    u64::from(value) << (32 * half)
}

fn half(register: u32, pair: [u32; 2]) -> Option<u32> {
    if register == pair[0] {
        Some(0)
    } else if register == pair[1] {
        Some(1)
    } else {
        None
    }
}

const fn nth_ivar(register: u32) -> Option<usize> {
    match register {
        0x0_0900..0x0_0A00 => Some(((register - 0x0_0900) / 4) as usize),
        _ => None,
    }
}

const fn nth_eitr(register: u32) -> Option<usize> {
    match register {
        0x0_0820..0x0_0880 => Some(((register - 0x0_0820) / 4) as usize),
        0x1_2300..0x1_23A0 => Some(((register - 0x1_2300) / 4 + 24) as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::registers::{
        EICR_ECC, EICR_LSC, EICR_MNG, GPIE_EIAME, GPIE_EIMEN, GPIE_MSIX_MODE, GPIE_OCD, eitr, ivar,
    };
    use std::vec::Vec;

    const MSIX: u32 = GPIE_MSIX_MODE | GPIE_EIAME | GPIE_OCD;

    /// As the driver sets it up: queue pair n on vector n, the rest on 4.
    fn card(gpie: u32) -> Interrupts {
        let mut card = Interrupts::new(false, true);
        card.write(GPIE, gpie);
        card.write(ivar(0), 0x8181_8080);
        card.write(ivar(1), 0x8383_8282);
        card.write(IVAR_MISC, 0x8400);
        card
    }

    fn taken(card: &mut Interrupts) -> Vec<u16> {
        core::iter::from_fn(|| card.take()).collect()
    }

    #[test]
    fn a_message_is_there_until_it_is_taken() {
        let mut card = card(MSIX);
        card.queue_event(Direction::Receive, 1);
        assert!(!card.has(), "the cause is masked");
        card.write(EIMS_EX[0], 2);
        assert!(card.has());
        assert_eq!(taken(&mut card), [1]);
        assert!(!card.has());
    }

    #[test]
    fn masks_are_set_and_cleared_by_ones_and_mirrored() {
        let mut card = card(MSIX);
        for (register, value, eims, low, high) in [
            (EIMS, 0x8010_0003, 0x8010_0003, 0x3, 0),
            (EIMS_EX[0], 0x0001_0004, 0x8010_0007, 0x0001_0007, 0),
            (EIMS_EX[1], 0x5, 0x8010_0007, 0x0001_0007, 5),
            (EIMC, 0x8000_0001, 0x0010_0006, 0x0001_0006, 5),
            (EIMC_EX[0], 0x0001_0002, 0x0010_0004, 0x4, 5),
            (EIMC_EX[1], 0x4, 0x0010_0004, 0x4, 1),
            (EIMC, 0xFFFF_FFFF, 0, 0, 1),
            (EIMC_EX[1], 0xFFFF_FFFF, 0, 0, 0),
        ] {
            assert!(card.write(register, value));
            assert_eq!(card.read(EIMS), Some(eims));
            assert_eq!(card.read(EIMS_EX[0]), Some(low));
            assert_eq!(card.read(EIMS_EX[1]), Some(high));
        }
        card.write(EIAM, 0x4010_0001);
        card.write(EIAM_EX[0], 0xFF00_0002);
        assert_eq!(card.read(EIAM), Some(0x4010_0002));
        assert_eq!(card.read(EIAM_EX[0]), Some(0xFF00_0002));
    }

    #[test]
    fn other_registers_are_not_taken() {
        let mut card = card(MSIX);
        for register in [0, 0x0_081C, 0x0_0884, 0x0_0A04, 0x1_22FC, 0x1_23A0] {
            assert_eq!(card.read(register), None, "{register:#x}");
            assert!(!card.write(register, 1));
        }
    }

    #[test]
    fn causes_are_cleared_by_read_and_by_ones() {
        let set = 0x5030_0006;
        // GPIE, register and value written (0 for a read), what stays.
        for (gpie, written, left) in [
            (GPIE_MSIX_MODE, 0, 0),
            (GPIE_MSIX_MODE | GPIE_OCD, 0, 0x4000_0006),
            (0, 0, 0),
            (GPIE_MSIX_MODE, 0x0010_0002, 0x5020_0004),
            (GPIE_MSIX_MODE | GPIE_OCD, 0xFFFF_FFFF, 0),
        ] {
            let mut card = card(gpie);
            card.write(EICS, set);
            assert_eq!(card.read(EICS), Some(set), "EICS shows, and clears not");
            if written == 0 {
                assert_eq!(card.read(EICR), Some(set));
            } else {
                card.write(EICR, written);
            }
            assert_eq!(card.read(EICS), Some(left));
            assert_eq!(taken(&mut card), [], "all masked");
        }
    }

    #[test]
    fn a_queue_event_goes_where_ivar_says() {
        for (direction, queue, vectors) in [
            (Direction::Receive, 0, &[0][..]),
            (Direction::Transmit, 1, &[1]),
            (Direction::Receive, 3, &[3]),
            (Direction::Transmit, 2, &[2]),
            (Direction::Receive, 4, &[]),
            (Direction::Receive, 127, &[]),
        ] {
            let mut card = card(MSIX);
            card.write(EIMS_EX[0], u32::MAX);
            card.queue_event(direction, queue);
            assert_eq!(taken(&mut card), vectors, "{direction:?} {queue}");
        }
        let mut card = card(MSIX);
        card.write(ivar(63), 0xBF00_0000);
        card.write(EIMS_EX[1], 1 << 31);
        card.queue_event(Direction::Transmit, 127);
        assert_eq!(taken(&mut card), [63]);
        // Vectors above 15 have no bit in EICR; they are cleared always.
        assert_eq!(card.read(EICS_EX[1]), Some(0));
    }

    #[test]
    fn masked_causes_wait_and_interrupt_once() {
        let mut card = card(MSIX);
        card.queue_event(Direction::Receive, 1);
        card.queue_event(Direction::Receive, 1);
        assert_eq!(taken(&mut card), []);
        card.write(EIMS_EX[0], 0xF);
        assert_eq!(taken(&mut card), [1]);
        // Without EIAC the cause stays, and a further event sends nothing.
        card.queue_event(Direction::Receive, 1);
        assert_eq!(taken(&mut card), []);
        card.write(EICR, 2);
        card.queue_event(Direction::Receive, 1);
        card.queue_event(Direction::Receive, 0);
        assert_eq!(taken(&mut card), [0, 1]);
    }

    #[test]
    fn auto_clear_and_auto_mask() {
        // EIAC, EIAM_EX, GPIE: causes and mask after a message of vector 1.
        for (eiac, eiam, gpie, causes, mask) in [
            (0, 0, MSIX, 2, 0xF),
            (2, 0, MSIX, 0, 0xF),
            (1, 0, MSIX, 2, 0xF),
            (0, 2, MSIX, 2, 0xD),
            (0xFFFF, 0xFFFF_FFFF, MSIX, 0, 0xD),
            (0xFFFF, 0xFFFF_FFFF, GPIE_MSIX_MODE, 0, 0xF),
        ] {
            let mut card = card(gpie);
            card.write(EIAC, eiac);
            card.write(EIAM_EX[0], eiam);
            card.write(EIMS_EX[0], 0xF);
            card.queue_event(Direction::Receive, 1);
            assert_eq!(taken(&mut card), [1]);
            assert_eq!(card.read(EICS), Some(causes));
            assert_eq!(card.read(EIMS), Some(mask));
        }
    }

    #[test]
    fn the_drivers_cycle_loses_nothing() {
        let mut card = card(MSIX);
        card.write(EIAC, 0x4000_FFFF);
        card.write(EIAM_EX[0], u32::MAX);
        card.write(EIMS_EX[0], 1);
        for _ in 0..3 {
            card.queue_event(Direction::Receive, 0);
            assert_eq!(taken(&mut card), [0]);
            // While it works, more comes.
            card.queue_event(Direction::Receive, 0);
            assert_eq!(taken(&mut card), []);
            card.write(EIMS_EX[0], 1);
            assert_eq!(taken(&mut card), [0]);
            card.write(EIMS_EX[0], 1);
            assert_eq!(taken(&mut card), []);
        }
    }

    #[test]
    fn eics_sets_what_eiam_names_in_the_mask() {
        let mut card = card(MSIX);
        card.write(EIAM_EX[0], 1);
        card.write(EICS_EX[0], 3);
        assert_eq!(card.read(EIMS), Some(0), "and EIAM masked it again");
        assert_eq!(taken(&mut card), [0]);
        card.write(EIMS_EX[0], 2);
        assert_eq!(taken(&mut card), [1]);
    }

    #[test]
    fn other_causes_go_to_ivar_misc_and_through_the_gate() {
        for (gate, eims, ivar_misc, causes, vectors) in [
            (true, EICR_LSC, 0x8400, EICR_LSC, &[][..]),
            (true, EICR_LSC | EICR_OTHER, 0x8400, EICR_LSC, &[4]),
            (false, EICR_LSC, 0x8400, EICR_LSC, &[4]),
            (false, EICR_LSC, 0x8400, EICR_MNG, &[]),
            (false, EICR_LSC, 0x0400, EICR_LSC, &[]),
            (false, EICR_TCP_TIMER, 0x8485, EICR_TCP_TIMER, &[5]),
            (false, u32::MAX, 0x8485, u32::MAX, &[4, 5]),
            (false, u32::MAX, 0x8484, u32::MAX, &[4]),
        ] {
            let mut card = Interrupts::new(false, gate);
            card.write(GPIE, MSIX);
            card.write(IVAR_MISC, ivar_misc);
            card.write(EIMS, eims);
            card.raise(causes);
            assert_eq!(taken(&mut card), vectors);
        }
    }

    #[test]
    fn other_causes_are_cleared_and_masked_as_asked() {
        let both = EICR_LSC | EICR_TCP_TIMER;
        // EIAC, EIAM, GPIE: what is left of causes and of the mask.
        for (eiac, eiam, gpie, causes, mask) in [
            (0, 0, MSIX, both, both),
            (EICR_TCP_TIMER, 0, MSIX, EICR_LSC, both),
            (0, EICR_LSC, MSIX, both, EICR_TCP_TIMER),
            (0, EICR_LSC, GPIE_MSIX_MODE, both, both),
            (0, 0xFFFF_FFFF, MSIX, both, 0),
        ] {
            let mut card = card(gpie);
            card.write(IVAR_MISC, 0x8485);
            card.write(EIAC, eiac);
            card.write(EIAM, eiam);
            card.write(EIMS, both | EICR_OTHER);
            card.raise(both);
            assert_eq!(taken(&mut card), [4, 5]);
            assert_eq!(card.read(EICS), Some(causes));
            assert_eq!(card.read(EIMS), Some(mask | EICR_OTHER));
        }
    }

    #[test]
    fn clearing_masks_and_setting_unmasks_by_eiam() {
        // Without EIAME, so that nothing else changes the mask.
        for (eiam, cleared, mask) in [
            (0x0010_0003, 0x0010_0003, 0x0020_0004),
            (0x0010_0003, 0x0030_0007, 0x0020_0004),
            (0x0010_0003, 0x0020_0004, 0x0030_0007),
            (0, 0x0030_0007, 0x0030_0007),
        ] {
            let mut card = card(GPIE_MSIX_MODE);
            card.write(EIAM, eiam);
            card.write(EIMS, 0x0030_0007);
            card.write(EICR, cleared);
            assert_eq!(card.read(EIMS), Some(mask), "{eiam:#x} {cleared:#x}");
            card.write(EIMC, u32::MAX);
            card.write(EICS, cleared);
            assert_eq!(card.read(EIMS), Some(eiam & cleared));
        }
    }

    #[test]
    fn closing_the_gate_holds_back_what_comes_meanwhile() {
        let mut card = card(MSIX);
        card.write(EIMS, EICR_OTHER | EICR_LSC | EICR_ECC);
        card.raise(EICR_LSC);
        assert_eq!(taken(&mut card), [4]);
        card.write(EIMC, EICR_OTHER);
        card.write(EICR, EICR_LSC);
        card.raise(EICR_ECC);
        assert_eq!(taken(&mut card), []);
        card.write(EIMS, EICR_OTHER);
        assert_eq!(taken(&mut card), [4]);
    }

    #[test]
    fn without_msix_all_is_vector_0() {
        let mut card = card(GPIE_EIAME);
        card.write(EIAM, EICR_RTX_QUEUE);
        card.write(EIMS, 0xFFFF | EICR_LSC | EICR_OTHER);
        card.queue_event(Direction::Transmit, 3);
        assert_eq!(taken(&mut card), [0]);
        assert_eq!(card.read(EICR), Some(8), "EIAC is for MSI-X");
        assert_eq!(card.read(EIMS).map(|mask| mask & 0xFFFF), Some(0xFFF7));
        card.raise(EICR_LSC);
        assert_eq!(taken(&mut card), [0]);
    }

    #[test]
    fn eitr_holds_back_until_time_has_passed() {
        let mut card = card(MSIX);
        card.moderation = true;
        card.write(EIAC, 0xFFFF);
        card.write(EIMS_EX[0], 0xF);
        card.write(eitr(0), 16 << 3);
        let step = |card: &mut Interrupts, pass: u64| {
            card.advance(pass);
            card.queue_event(Direction::Receive, 0);
            taken(card)
        };
        assert_eq!(step(&mut card, 0), [0]);
        assert_eq!(card.read(eitr(0)), Some(16 << 3 | 4 << 21));
        assert_eq!(step(&mut card, 31), []);
        card.advance(1);
        assert_eq!(taken(&mut card), [0]);
        assert_eq!(step(&mut card, 16), []);
        // A write of the counter ends the wait; with CNT_WDIS it does not.
        card.write(eitr(0), 16 << 3 | EITR_CNT_WDIS);
        assert_eq!(taken(&mut card), []);
        card.write(eitr(0), 16 << 3);
        assert_eq!(taken(&mut card), [0]);
        // So does EICS with EIMEN, and only with it.
        card.write(EICS_EX[0], 1);
        assert_eq!(taken(&mut card), []);
        card.write(GPIE, MSIX | GPIE_EIMEN);
        card.write(EICS_EX[0], 1);
        assert_eq!(taken(&mut card), [0]);
        // Other vectors have their own interval.
        card.queue_event(Direction::Receive, 1);
        assert_eq!(taken(&mut card), [1]);
    }

    #[test]
    fn a_reset_forgets_causes_and_keeps_sent_messages() {
        let mut card = card(MSIX);
        card.write(EIMS_EX[0], 1);
        card.queue_event(Direction::Receive, 0);
        card.queue_event(Direction::Receive, 1);
        card.reset();
        assert_eq!(taken(&mut card), [0]);
        for register in [EICS, EIMS, EIAC, EIAM, GPIE, IVAR_MISC, ivar(0), eitr(0)] {
            assert_eq!(card.read(register), Some(0), "{register:#x}");
        }
    }
}

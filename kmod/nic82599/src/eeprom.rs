//! The EEPROM: an image with a valid checksum, and the registers EERD and EEWR.
//!
//! Datasheet: chapter 6 (Non-Volatile Memory Map); registers EEC, EERD.

use alloc::boxed::Box;
use alloc::vec;

use crate::config::Medium;
use crate::config_space::VENDOR_ID;
use crate::registers::{EERD_DONE, EERD_START};

/// Words in the EEPROM: 2 to the power of EEC's size field + 6.
pub const WORDS: usize = 512;
/// EEC.EE_Size for [`WORDS`].
pub const SIZE: u32 = 3;
/// The sum of the words 0 to 3Fh and of the sections.
pub const CHECKSUM: u16 = 0xBABA;

/// Word offsets of pointers to sections: PCIe analog to CSR 1.
const SECTIONS: core::ops::Range<usize> = 0x03..0x0F;
const PCIE_CONFIG0: usize = 0x07;
const CORE0: usize = 0x09;
const FIRMWARE: usize = 0x0F;
const MODULES: usize = 0x2B;
const PBA_FLAG: usize = 0x15;
const PBA_POINTER: usize = 0x16;
const SUM: usize = 0x3F;
const NO_POINTER: u16 = 0xFFFF;

/// The words of the image.
#[derive(Debug)]
pub struct Eeprom {
    words: Box<[u16]>,
    medium: Medium,
}

impl Eeprom {
    /// The image of a NIC with this MAC address: no option ROM, no SAN address,
    /// and no firmware, except for the version that drivers ask for on a fibre
    /// NIC.
    pub fn new(mac: [u8; 6], medium: Medium) -> Self {
        let device_id = medium.device_id();
        let mut words = vec![0; WORDS].into_boxed_slice();
        for pointer in SECTIONS.chain([FIRMWARE, 0x17, 0x1B, 0x27, 0x28, 0x33, 0x37]) {
            words[pointer] = NO_POINTER;
        }
        // A map version and an EETRACK id (words 2Dh, 2Eh).
        words[0x29] = 0x0100;
        words[0x2D] = 0x0001;
        words[0x2E] = 0x8000;
        // Device capabilities: no crosstalk in the SFP cage, there is none.
        words[0x2C] = 1 << 7;
        // The printed board assembly's number, as a string.
        words[PBA_FLAG] = 0xFAFA;
        words[PBA_POINTER] = 0x40;
        section(&mut words, 0x40, &[]);
        words[0x40] = 6;
        for (nth, pair) in b"KDK000-001".chunks(2).enumerate() {
            let pair = [pair[0], pair.get(1).copied().unwrap_or(0)];
            words[0x41 + nth] = u16::from_be_bytes(pair);
        }
        words[PCIE_CONFIG0] = 0x50;
        section(&mut words, 0x50, &[0, device_id, VENDOR_ID, device_id]);
        words[CORE0] = 0x60;
        let address = [0, 2, 4].map(|at| u16::from_le_bytes([mac[at], mac[at + 1]]));
        section(&mut words, 0x60, &address);
        if medium == Medium::Fibre {
            fibre(&mut words);
        }
        let mut image = Self { words, medium };
        image.words[SUM] = CHECKSUM.wrapping_sub(image.sum());
        image
    }

    /// The medium of the NIC.
    pub const fn medium(&self) -> Medium {
        self.medium
    }

    /// The sum of words 0 to 3Eh and of all sections but the firmware's.
    pub fn sum(&self) -> u16 {
        let mut sum = 0u16;
        for at in 0..SUM {
            sum = sum.wrapping_add(self.word(at));
        }
        for pointer in SECTIONS {
            let start = usize::from(self.word(pointer));
            let length = self.word(start);
            if matches!(self.word(pointer), 0 | NO_POINTER) || matches!(length, 0 | NO_POINTER) {
                continue;
            }
            for at in start + 1..=start + usize::from(length) {
                sum = sum.wrapping_add(self.word(at));
            }
        }
        sum
    }

    /// A word; all ones beyond the end.
    pub fn word(&self, at: usize) -> u16 {
        self.words.get(at).copied().unwrap_or(u16::MAX)
    }

    /// The permanent MAC address, from the Core 0 section.
    pub fn mac(&self) -> [u8; 6] {
        let start = usize::from(self.word(CORE0));
        let mut mac = [0; 6];
        for nth in 0..3 {
            let word = self.word(start + 1 + nth).to_le_bytes();
            mac[2 * nth..2 * nth + 2].copy_from_slice(&word);
        }
        mac
    }

    /// Returns the value of EERD after `value` was written: the requested word,
    /// with the done bit.
    pub fn read(&self, value: u32) -> u32 {
        if value & EERD_START == 0 {
            return value & !EERD_DONE;
        }
        let word = self.word((value >> 2 & 0x3FFF) as usize);
        u32::from(word) << 16 | value & 0xFFFC | EERD_DONE
    }

    /// Handles a write of EEWR: as EERD, with the word in bits 31:16.
    pub fn write(&mut self, value: u32) -> u32 {
        if value & EERD_START == 0 {
            return value & !EERD_DONE;
        }
        if let Some(word) = self.words.get_mut((value >> 2 & 0x3FFF) as usize) {
            *word = (value >> 16) as u16;
        }
        value & !EERD_START | EERD_DONE
    }
}

/// What Intel's drivers read on a fibre NIC: the version of the firmware, and the
/// sequence that initializes each kind of module.
fn fibre(words: &mut [u16]) {
    const BLOCK: u16 = 0x80;
    const PATCH: u16 = 0x90;
    const SEQUENCES: u16 = 0xA0;
    const SEQUENCE: u16 = 0xB0;
    words[FIRMWARE] = BLOCK;
    // No parameters of link establishment.
    words[usize::from(BLOCK) + 2] = NO_POINTER;
    words[usize::from(BLOCK) + 4] = PATCH;
    words[usize::from(PATCH) + 7] = 6;
    words[MODULES] = SEQUENCES;
    // The identifiers of 10GBASE-SR and LR modules in both ports.
    let list = [0, 5, SEQUENCE, 6, SEQUENCE, NO_POINTER];
    words[usize::from(SEQUENCES)..][..list.len()].copy_from_slice(&list);
    // One word for CORECTL.
    words[usize::from(SEQUENCE) + 1] = 1;
    words[usize::from(SEQUENCE) + 2] = NO_POINTER;
}

/// A section: its length in words, then the words.
fn section(words: &mut [u16], at: usize, content: &[u16]) {
    words[at] = content.iter().fold(0, |length, _| length + 1);
    words[at + 1..=at + content.len()].copy_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];

    #[test]
    fn the_checksum_holds_and_a_flipped_bit_breaks_it() {
        let mut eeprom = Eeprom::new(MAC, Medium::Backplane);
        let holds = |eeprom: &Eeprom| eeprom.sum().wrapping_add(eeprom.word(SUM)) == CHECKSUM;
        assert!(holds(&eeprom));
        assert_eq!(eeprom.mac(), MAC);
        // In the first words, and in a section.
        for at in [0x2Cu32, 0x61] {
            let word = u32::from(eeprom.word(at as usize));
            let done = eeprom.write((word ^ 4) << 16 | at << 2 | EERD_START);
            assert_eq!(done & 3, EERD_DONE);
            assert!(!holds(&eeprom));
            eeprom.write(word << 16 | at << 2 | EERD_START);
            assert!(holds(&eeprom));
        }
    }

    #[test]
    fn words_are_read_through_eerd() {
        let eeprom = Eeprom::new(MAC, Medium::Backplane);
        for (written, read) in [
            (0x0F << 2 | 1, 0xFFFF_0000 | 0x0F << 2 | 2),
            (0x15 << 2 | 1, 0xFAFA_0000 | 0x15 << 2 | 2),
            (0x3FFF << 2 | 1, 0xFFFF_0000 | 0x3FFF << 2 | 2),
            (0x15 << 2 | 2, 0x15 << 2),
        ] {
            assert_eq!(eeprom.read(written), read, "{written:#x}");
        }
        assert_eq!(1 << (SIZE + 6), WORDS);
    }
}

//! The semaphores that drivers and firmware share.
//!
//! Datasheet: chapter 10.5.4 (Software and Firmware Synchronization);
//! registers SWSM and SW_FW_SYNC. Neither is touched by a reset.

use crate::registers::{SWSM_SMBI, SWSM_SWESMBI};

/// SW_FW_SYNC: the bits of software (4:0) and of firmware (9:5).
const SOFTWARE: u32 = 0x1F;
const FIRMWARE: u32 = 0x3E0;

/// SWSM and SW_FW_SYNC.
#[derive(Clone, Copy, Debug, Default)]
pub struct Semaphores {
    swsm: u32,
    sync: u32,
    /// Firmware owns the semaphore: software cannot acquire SWESMBI.
    pub firmware_owns: bool,
}

impl Semaphores {
    /// Reads SWSM. A read of SMBI as 0 acquires it.
    pub const fn read_swsm(&mut self) -> u32 {
        let value = self.swsm;
        self.swsm |= SWSM_SMBI;
        value
    }

    /// Writes the register SWSM.
    pub const fn write_swsm(&mut self, value: u32) {
        let granted = if self.firmware_owns {
            !SWSM_SWESMBI
        } else {
            u32::MAX
        };
        self.swsm = value & granted & (SWSM_SMBI | SWSM_SWESMBI | 1 << 2);
    }

    /// Returns the value of SW_FW_SYNC.
    pub const fn sync(&self) -> u32 {
        self.sync
    }

    /// Writes the software bits of SW_FW_SYNC. Returns `false` without SWESMBI.
    pub const fn write_sync(&mut self, value: u32) -> bool {
        self.sync = self.sync & FIRMWARE | value & SOFTWARE;
        self.swsm & SWSM_SWESMBI != 0
    }

    /// Sets the resources that firmware owns, as bits 4:0.
    pub const fn set_firmware(&mut self, resources: u32) {
        self.sync = self.sync & SOFTWARE | resources << 5 & FIRMWARE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smbi_is_taken_by_the_first_reader() {
        let mut semaphores = Semaphores::default();
        for taken in [0, 1, 1] {
            assert_eq!(semaphores.read_swsm() & SWSM_SMBI, taken);
        }
        semaphores.write_swsm(0);
        assert_eq!(semaphores.read_swsm(), 0);
    }

    #[test]
    fn swesmbi_needs_firmwares_absence() {
        for (firmware_owns, granted) in [(false, SWSM_SWESMBI), (true, 0)] {
            let mut semaphores = Semaphores {
                firmware_owns,
                ..Semaphores::default()
            };
            semaphores.write_swsm(SWSM_SMBI | SWSM_SWESMBI);
            assert_eq!(semaphores.read_swsm() & SWSM_SWESMBI, granted);
            assert_eq!(semaphores.write_sync(8), !firmware_owns);
        }
    }

    #[test]
    fn firmwares_bits_are_its_own() {
        let mut semaphores = Semaphores::default();
        semaphores.set_firmware(1 << 1);
        semaphores.write_sync(0x3FF);
        assert_eq!(semaphores.sync(), 0x5F);
        semaphores.write_sync(0);
        assert_eq!(semaphores.sync(), 0x40);
        semaphores.set_firmware(0);
        assert_eq!(semaphores.sync(), 0);
    }
}

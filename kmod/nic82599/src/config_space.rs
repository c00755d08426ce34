//! PCI Express configuration space.
//!
//! Datasheet: chapter 9 (PCIe Programming Interface): power management at
//! 40h, MSI at 50h, MSI-X at 70h, PCIe at A0h; extended space from 100h on.

use crate::config::Config;

/// The vendor id of Intel.
pub const VENDOR_ID: u16 = 0x8086;
/// Bytes of configuration space, with the extended part.
pub const SIZE: usize = 4096;
/// Offset of the MSI-X capability.
pub const MSIX_CAPABILITY: usize = 0x70;
/// Offset of the PCIe capability.
pub const PCIE_CAPABILITY: usize = 0xA0;

/// Configuration space: what is read, and which bits can be written.
#[derive(Debug)]
pub struct ConfigSpace {
    bytes: [u8; 256],
    port: u8,
}

/// Offset, width in bytes and value, little endian.
const CONTENT: &[(usize, usize, u32)] = &[
    (0x00, 2, VENDOR_ID as u32),
    // Status: capabilities list.
    (0x06, 2, 0x0010),
    // Revision 1; class 02 00 00, an Ethernet controller.
    (0x08, 1, 0x01),
    (0x09, 3, 0x02_0000),
    (0x0C, 1, 0x10),
    // BAR 0: memory, 64 bits, prefetchable; BAR 4: MSI-X tables.
    (0x10, 4, 0x0000_000C),
    (0x20, 4, 0x0000_000C),
    (0x2C, 2, VENDOR_ID as u32),
    (0x2E, 2, 0x000C),
    (0x34, 1, 0x40),
    // Interrupt pin A.
    (0x3D, 1, 1),
    // Power management, version 3.
    (0x40, 1, 0x01),
    (0x41, 1, 0x50),
    (0x42, 2, 0x4823),
    // MSI: one vector, 64-bit address, per-vector masking.
    (0x50, 1, 0x05),
    (0x51, 1, 0x70),
    (0x52, 2, 0x0180),
    // MSI-X: 64 vectors, table at 0 and pending bits at 2000h of BAR 4.
    (0x70, 1, 0x11),
    (0x71, 1, 0xA0),
    (0x72, 2, 0x003F),
    (0x74, 4, 0x0000_0004),
    (0x78, 4, 0x0000_2004),
    // PCIe, version 2, an endpoint.
    (0xA0, 1, 0x10),
    (0xA2, 2, 0x0002),
    // Device capabilities: 512 bytes of payload, function level reset.
    (0xA4, 4, 0x1000_8CC2),
    (0xA8, 2, 0x2810),
    // Link capabilities and status: 5 GT/s, 8 lanes.
    (0xAC, 4, 0x0003_5C82),
    (0xB2, 2, 0x1082),
    // Device capabilities 2: all completion timeouts.
    (0xC4, 4, 0x0000_001F),
];

/// The same of a virtual function, as pci(4) shows it: the list begins with
/// MSI-X, three vectors; table at 0 and pending bits at 2000h of BAR 3.
const VIRTUAL: &[(usize, usize, u32)] = &[
    (0x1C, 4, 0x0000_000C),
    (0x20, 4, 0),
    (0x34, 1, 0x70),
    (0x72, 2, 0x0002),
    (0x74, 4, 0x0000_0003),
    (0x78, 4, 0x0000_2003),
];

/// Offset, and the bits of the 32-bit word there that can be written.
const WRITABLE: &[(usize, u32)] = &[
    (0x04, 0x0000_0547),
    (0x0C, 0x0000_00FF),
    // 128 KB and 16 KB.
    (0x10, 0xFFFE_0000),
    (0x14, 0xFFFF_FFFF),
    (0x20, 0xFFFF_C000),
    (0x24, 0xFFFF_FFFF),
    (0x3C, 0x0000_00FF),
    (0x44, 0x0000_1F03),
    (0x50, 0x0071_0000),
    (0x54, 0xFFFF_FFFC),
    (0x58, 0xFFFF_FFFF),
    (0x5C, 0x0000_FFFF),
    (0x60, 0x0000_0001),
    (0x70, 0xC000_0000),
    (0xA8, 0x0000_FFFF),
    (0xB0, 0x0000_01FB),
    (0xC8, 0x0000_001F),
];

impl ConfigSpace {
    /// As after power-up; the port is the function's number.
    pub fn new(config: &Config) -> Self {
        let mut bytes = [0; 256];
        bytes[2..4].copy_from_slice(&config.device_id().to_le_bytes());
        let differs = if config.is_virtual { VIRTUAL } else { &[] };
        for &(offset, width, value) in CONTENT.iter().chain(differs) {
            bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        let port = config.port;
        bytes[0x3D] += port & 1;
        Self { bytes, port }
    }

    /// The function's number.
    pub const fn port(&self) -> u8 {
        self.port
    }

    /// `width` bytes (1, 2 or 4) at `offset`. Extended space is empty. All
    /// ones beyond it, for other widths, and across a 32-bit word.
    pub fn read(&self, offset: usize, width: usize) -> u32 {
        if !is_access(offset, width) {
            return u32::MAX;
        }
        (0..width).rev().fold(0, |value, at| {
            let byte = self.bytes.get(offset + at).copied().unwrap_or(0);
            value << 8 | u32::from(byte)
        })
    }

    /// Writes what can be written of `width` bytes at `offset`.
    pub fn write(&mut self, offset: usize, width: usize, value: u32) {
        if !is_access(offset, width) {
            return;
        }
        for (at, byte) in (offset..offset + width).zip(value.to_le_bytes()) {
            let mask = WRITABLE
                .iter()
                .find(|(word, _)| *word == at & !3)
                .map_or(0, |(_, mask)| mask.to_le_bytes()[at & 3]);
            if let Some(there) = self.bytes.get_mut(at) {
                *there = *there & !mask | byte & mask;
            }
        }
    }
}

const fn is_access(offset: usize, width: usize) -> bool {
    matches!(width, 1 | 2 | 4) && offset < SIZE && offset.is_multiple_of(width)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::config::Medium;
    use std::vec::Vec;

    fn space_of(medium: Medium, port: u8) -> ConfigSpace {
        ConfigSpace::new(&Config {
            medium,
            port,
            ..Config::new([0; 6])
        })
    }

    #[test]
    fn what_a_driver_reads() {
        let space = space_of(Medium::Backplane, 0);
        for (offset, width, value) in [
            (0x00, 4, 0x10F7_8086),
            (0x0A, 2, 0x0200),
            (0x08, 1, 1),
            (0x72, 2, 63),
            (0xAA, 2, 0),
            (0xB2, 2, 0x1082),
            (0xC8, 2, 0),
            (0x100, 4, 0),
            (SIZE, 4, u32::MAX),
            (0x01, 2, u32::MAX),
            (0x00, 3, u32::MAX),
            (usize::MAX, 1, u32::MAX),
        ] {
            assert_eq!(space.read(offset, width), value, "{offset:#x} {width}");
        }
        assert_eq!(space_of(Medium::Backplane, 1).read(0x3D, 1), 2);
        assert_eq!(space_of(Medium::Fibre, 0).read(0x02, 2), 0x10FB);
    }

    #[test]
    fn capabilities_are_a_list_that_ends() {
        let space = space_of(Medium::Backplane, 0);
        let mut at = space.read(0x34, 1);
        let list: Vec<_> = core::iter::from_fn(|| {
            let here = at;
            at = space.read(here as usize + 1, 1);
            (here != 0).then(|| (here, space.read(here as usize, 1)))
        })
        .take(10)
        .collect();
        assert_eq!(list, [(0x40, 1), (0x50, 5), (0x70, 0x11), (0xA0, 0x10)]);
        assert_eq!(MSIX_CAPABILITY, 0x70);
        assert_eq!(PCIE_CAPABILITY, 0xA0);
    }

    #[test]
    fn only_what_can_be_written_is() {
        for (offset, width, written, read) in [
            (0x00, 4, u32::MAX, 0x10F7_8086),
            (0x04, 2, 0xFFFF, 0x0547),
            (0x10, 4, u32::MAX, 0xFFFE_000C),
            (0x20, 4, u32::MAX, 0xFFFF_C00C),
            (0x72, 2, 0xFFFF, 0xC03F),
            (0xC8, 2, 0x5, 0x5),
            (0xAA, 2, 0xFFFF, 0),
            (0x100, 4, 1, 0),
        ] {
            let mut space = space_of(Medium::Backplane, 0);
            space.write(offset, width, written);
            assert_eq!(space.read(offset, width), read, "{offset:#x} {width}");
        }
    }
}

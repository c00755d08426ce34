//! Layer 2 filters: which frames the receive path takes.
//!
//! Datasheet: chapter 7.1.1 (Packet Filtering); registers FCTRL, MCSTCTRL,
//! MTA, RAL, RAH, VLNCTRL, VFTA. The unicast table PFUTA counts only with
//! pools (VT mode), which are not modelled.

use crate::registers::{
    FCTRL, FCTRL_BAM, FCTRL_MPE, FCTRL_UPE, MCSTCTRL, MCSTCTRL_MFE, RAH_AV, Registers, VLNCTRL,
    VLNCTRL_CFI, VLNCTRL_CFIEN, VLNCTRL_VFE, mta, rah, ral, vfta,
};

/// Entries of RAL and RAH.
const ADDRESSES: u32 = 128;

/// The way in which a frame passed the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// By an exact address, as broadcast, or by a promiscuous mode.
    Exactly,
    /// By the multicast table's hash alone (the descriptor's PIF).
    ByHash,
}

/// Returns whether a frame to `destination` passes the address filters.
#[must_use]
pub fn address(destination: [u8; 6], registers: &Registers) -> Option<Passed> {
    let fctrl = registers.get(FCTRL);
    let multicast = destination[0] & 1 != 0;
    let exactly = if destination == [0xFF; 6] {
        // MPE takes broadcasts too.
        fctrl & (FCTRL_BAM | FCTRL_MPE) != 0
    } else if multicast {
        fctrl & FCTRL_MPE != 0 || is_exact(destination, registers)
    } else {
        fctrl & FCTRL_UPE != 0 || is_exact(destination, registers)
    };
    if exactly {
        return Some(Passed::Exactly);
    }
    (multicast && destination != [0xFF; 6] && in_table(destination, registers))
        .then_some(Passed::ByHash)
}

fn is_exact(destination: [u8; 6], registers: &Registers) -> bool {
    let [a, b, c, d, e, f] = destination;
    let (low, high) = (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, 0, 0]),
    );
    (0..ADDRESSES).any(|entry| {
        let found = registers.get(rah(entry));
        found & RAH_AV != 0 && found & 0xFFFF == high && registers.get(ral(entry)) == low
    })
}

fn in_table(destination: [u8; 6], registers: &Registers) -> bool {
    let control = registers.get(MCSTCTRL);
    let hash = multicast_hash(destination, control & 3);
    control & MCSTCTRL_MFE != 0 && registers.get(mta(hash >> 5)) >> (hash & 31) & 1 != 0
}

/// The 12 address bits that index MTA: bits 47:36, 46:35, 45:34 or 43:32 by
/// `MCSTCTRL.MO`.
#[must_use]
pub fn multicast_hash(destination: [u8; 6], offset: u32) -> u32 {
    let last = u32::from(u16::from_le_bytes([destination[4], destination[5]]));
    let shift = match offset {
        0 => 4,
        1 => 3,
        2 => 2,
        _ => 0,
    };
    last >> shift & 0xFFF
}

/// Returns whether a frame with this tag, or none, passes the VLAN filter.
#[must_use]
pub fn vlan(tag: Option<u16>, registers: &Registers) -> bool {
    let control = registers.get(VLNCTRL);
    let Some(tag) = tag.map(u32::from) else {
        return true;
    };
    if control & VLNCTRL_VFE == 0 {
        return true;
    }
    let cfi = tag >> 12 & 1 != 0;
    if control & VLNCTRL_CFIEN != 0 && cfi != (control & VLNCTRL_CFI != 0) {
        return false;
    }
    let id = tag & 0xFFF;
    registers.get(vfta(id >> 5)) >> (id & 31) & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0x11, 0x22, 0x33, 0x44, 0x55];
    const OTHER: [u8; 6] = [2, 0x11, 0x22, 0x33, 0x44, 0x56];
    const GROUP: [u8; 6] = [1, 0, 0x5E, 1, 0x23, 0xAB];
    const LISTED_GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
    const BROADCAST: [u8; 6] = [0xFF; 6];

    fn card() -> Registers {
        let mut registers = Registers::new();
        for (entry, address, valid) in
            [(0, OWN, RAH_AV), (1, OTHER, 0), (127, LISTED_GROUP, RAH_AV)]
        {
            let [a, b, c, d, e, f] = address;
            registers.set(ral(entry), u32::from_le_bytes([a, b, c, d]));
            registers.set(rah(entry), u32::from_le_bytes([e, f, 0, 0]) | valid);
        }
        registers
    }

    #[test]
    fn addresses() {
        use Passed::{ByHash, Exactly};
        let hashed = 0xAB23 >> 4;
        for (fctrl, mcstctrl, destination, passed) in [
            (0, 0, OWN, Some(Exactly)),
            (0, 0, OTHER, None),
            (FCTRL_UPE, 0, OTHER, Some(Exactly)),
            (FCTRL_MPE | FCTRL_BAM, 0, OTHER, None),
            (0, 0, BROADCAST, None),
            (FCTRL_BAM, 0, BROADCAST, Some(Exactly)),
            (FCTRL_MPE, 0, BROADCAST, Some(Exactly)),
            (FCTRL_UPE, MCSTCTRL_MFE, BROADCAST, None),
            (0, 0, GROUP, None),
            (FCTRL_UPE | FCTRL_BAM, 0, GROUP, None),
            (FCTRL_MPE, 0, GROUP, Some(Exactly)),
            (0, MCSTCTRL_MFE, GROUP, Some(ByHash)),
            (0, MCSTCTRL_MFE | 1, GROUP, None),
            (0, 0, LISTED_GROUP, Some(Exactly)),
        ] {
            let mut registers = card();
            registers.set(FCTRL, fctrl);
            registers.set(MCSTCTRL, mcstctrl);
            registers.set(mta(hashed >> 5), 1 << (hashed & 31));
            let found = address(destination, &registers);
            assert_eq!(found, passed, "{fctrl:#x} {mcstctrl:#x} {destination:x?}");
        }
    }

    #[test]
    fn multicast_hashes_by_offset() {
        for (offset, hash) in [(0, 0xAB2), (1, 0x564), (2, 0xAC8), (3, 0xB23)] {
            assert_eq!(multicast_hash(GROUP, offset), hash, "MO {offset}");
        }
    }

    #[test]
    fn tags() {
        for (vlnctrl, tag, passes) in [
            (0, None, true),
            (0, Some(5), true),
            (VLNCTRL_VFE, None, true),
            (VLNCTRL_VFE, Some(5), false),
            (VLNCTRL_VFE, Some(0x0021), true),
            (VLNCTRL_VFE, Some(0xE021), true),
            (VLNCTRL_VFE | VLNCTRL_CFIEN, Some(0x1021), false),
            (VLNCTRL_VFE | VLNCTRL_CFIEN, Some(0x0021), true),
            (
                VLNCTRL_VFE | VLNCTRL_CFIEN | VLNCTRL_CFI,
                Some(0x1021),
                true,
            ),
            (
                VLNCTRL_VFE | VLNCTRL_CFIEN | VLNCTRL_CFI,
                Some(0x0021),
                false,
            ),
        ] {
            let mut registers = Registers::new();
            registers.set(VLNCTRL, vlnctrl);
            registers.set(vfta(1), 1 << 1);
            assert_eq!(vlan(tag, &registers), passes, "{vlnctrl:#x} {tag:x?}");
        }
    }
}

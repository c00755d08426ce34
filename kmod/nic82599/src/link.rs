//! The link of a NIC, backplane (KX4) or fibre, and its partner.
//!
//! Datasheet: chapter 3.7 (Network Interface); registers AUTOC, AUTOC2,
//! LINKS, LINKS2, ANLP1, PCS1GLSTA, PCS1GANLP. Auto-negotiation takes no time.

use crate::config::Medium;
use crate::registers::{AUTOC, AUTOC2, Registers};

/// AUTOC after power-up: auto-negotiation of KX4 and KX, 10GBASE-KX4 PHY.
pub const AUTOC_DEFAULT: u32 =
    AUTOC_KX4_SUPP | AUTOC_KX_SUPP | 4 << AUTOC_LMS_SHIFT | 1 << 9 | 1 << 7;
/// `AUTOC.Restart_AN`, which clears itself.
pub const AUTOC_RESTART: u32 = 1 << 12;
/// The same of a fibre NIC: 10 Gb/s SFI.
const AUTOC_FIBRE: u32 = 3 << AUTOC_LMS_SHIFT | 1 << 9 | 1 << 7;
/// AUTOC2 of a fibre NIC: its PMA/PMD is SFI.
const AUTOC2_FIBRE: u32 = 2 << 16;

/// Returns AUTOC and AUTOC2 after power-up, which are from the EEPROM.
#[must_use]
pub const fn defaults(medium: Medium) -> [u32; 2] {
    match medium {
        Medium::Backplane => [AUTOC_DEFAULT, 0],
        Medium::Fibre => [AUTOC_FIBRE, AUTOC2_FIBRE],
    }
}

const AUTOC_KX4_SUPP: u32 = 1 << 31;
const AUTOC_KX_SUPP: u32 = 1 << 30;
const AUTOC_LMS_SHIFT: u32 = 13;
/// AUTOC2: link disabled (bits 30:28).
const AUTOC2_LINK_DISABLE: u32 = 7 << 28;

const LINKS_AN_COMPLETE: u32 = 1 << 31;
const LINKS_UP: u32 = 1 << 30;
const LINKS_10G: u32 = 3 << 28;
const LINKS_1G: u32 = 2 << 28;
/// Signal and alignment of all lanes.
const LINKS_10G_ALIGNED: u32 = 0x0042_0F00;
const LINKS2_PARTNER_AN: u32 = 1 << 6;
/// Auto-negotiation arbitration state: not the first one.
const ANLP1_AN_STATE: u32 = 0xE << 16;
const ANLP1_SYM_PAUSE: u32 = 1 << 10;
const ANLP1_ASM_PAUSE: u32 = 1 << 11;
/// PCS1GLSTA: link and synchronisation; auto-negotiation complete.
const PCS1G_OK: u32 = 0x0001_0011;

/// The abilities of the link partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Whether it auto-negotiates.
    pub autoneg: bool,
    /// It advertises symmetric pause.
    pub symmetric_pause: bool,
    /// It advertises asymmetric pause.
    pub asymmetric_pause: bool,
}

/// The link of the NIC.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Whether the cable is connected.
    pub connected: bool,
    /// The link partner.
    pub partner: Partner,
}

impl Link {
    /// Makes a connected link to a partner with all abilities.
    pub const fn new() -> Self {
        Self {
            connected: true,
            partner: Partner {
                autoneg: true,
                symmetric_pause: true,
                asymmetric_pause: true,
            },
        }
    }

    /// Returns whether it is up.
    pub fn is_up(&self, registers: &Registers) -> bool {
        self.connected && registers.get(AUTOC2) & AUTOC2_LINK_DISABLE == 0
    }

    /// Returns the value of LINKS.
    pub fn links(&self, registers: &Registers) -> u32 {
        if !self.is_up(registers) {
            return 0;
        }
        let mode = registers.get(AUTOC) >> AUTOC_LMS_SHIFT & 7;
        let negotiates = matches!(mode, 2 | 4 | 6 | 7);
        let complete = if negotiates { LINKS_AN_COMPLETE } else { 0 };
        // Link modes 0 and 2 are 1 Gb/s.
        let speed = if matches!(mode, 0 | 2) {
            LINKS_1G
        } else {
            LINKS_10G | LINKS_10G_ALIGNED
        };
        LINKS_UP | complete | speed
    }

    /// Returns the value of LINKS2.
    pub const fn links2(&self) -> u32 {
        if self.connected && self.partner.autoneg {
            LINKS2_PARTNER_AN
        } else {
            0
        }
    }

    /// Returns the value of ANLP1.
    pub fn anlp1(&self) -> u32 {
        let heard = self.connected && self.partner.autoneg;
        let flag = |set: bool, bit: u32| if heard && set { bit } else { 0 };
        ANLP1_AN_STATE
            | flag(self.partner.symmetric_pause, ANLP1_SYM_PAUSE)
            | flag(self.partner.asymmetric_pause, ANLP1_ASM_PAUSE)
    }

    /// Returns the value of PCS1GLSTA.
    pub fn pcs1glsta(&self, registers: &Registers) -> u32 {
        if self.is_up(registers) { PCS1G_OK } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_by_state_and_mode() {
        for (connected, lms, autoc2, up, complete, speed) in [
            (true, 4, 0, true, true, 3),
            (true, 6, 0, true, true, 3),
            (true, 1, 0, true, false, 3),
            (true, 0, 0, true, false, 2),
            (true, 2, 0, true, true, 2),
            (false, 4, 0, false, false, 0),
            (true, 4, 1 << 28, false, false, 0),
            (true, 4, 1 << 16, true, true, 3),
        ] {
            let mut registers = Registers::new();
            registers.set(AUTOC, lms << 13);
            registers.set(AUTOC2, autoc2);
            let mut link = Link::new();
            link.connected = connected;
            let links = link.links(&registers);
            assert_eq!(links & LINKS_UP != 0, up, "LMS {lms}");
            assert_eq!(links & LINKS_AN_COMPLETE != 0, complete, "LMS {lms}");
            assert_eq!(links >> 28 & 3, speed, "LMS {lms}");
            assert_eq!(link.pcs1glsta(&registers) & 1 != 0, up);
        }
    }

    #[test]
    fn the_partners_abilities() {
        for (connected, autoneg, sym, asm, links2, pause) in [
            (true, true, true, true, 0x40, 0xC00),
            (true, true, true, false, 0x40, 0x400),
            (true, true, false, true, 0x40, 0x800),
            (true, false, true, true, 0, 0),
            (false, true, true, true, 0, 0),
        ] {
            let link = Link {
                connected,
                partner: Partner {
                    autoneg,
                    symmetric_pause: sym,
                    asymmetric_pause: asm,
                },
            };
            assert_eq!(link.links2(), links2);
            assert_eq!(link.anlp1() & 0xC00, pause);
            assert_ne!(link.anlp1() & 0xF_0000, 0, "left state 0");
        }
    }

    #[test]
    fn the_default_is_kx4() {
        assert_eq!(AUTOC_DEFAULT >> 13 & 7, 4);
        assert_eq!(AUTOC_DEFAULT >> 7 & 3, 1);
    }
}

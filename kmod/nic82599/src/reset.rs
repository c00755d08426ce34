//! Resets, and the values of registers after them.
//!
//! Datasheet: chapter 4.2 (Reset Operation) and the initial values of
//! chapter 8.

use crate::eeprom::Eeprom;
use crate::link::defaults;
use crate::registers::{
    AUTOC, AUTOC2, AUTOC3, CTRL_EXT, DMATXCTL, DTXMXSZRQ, DTXTCPFLGH, DTXTCPFLGL, HLREG0,
    HLREG0_RXCRCSTRP, HLREG0_TXCRCEN, HLREG0_TXPADEN, LEDCTL, MAXFRS, PCS1GANA, PCS1GLCTL, PFCTOP,
    QUEUES, RAH_AV, RDRXCTL, RDRXCTL_CRCSTRIP, RDRXCTL_DMAIDONE, Registers, SRRCTL_DESCTYPE,
    VLNCTRL, rah, ral, rxpbsize, srrctl, txpbsize,
};

/// `CTRL_EXT.DRV_LOAD`.
const DRV_LOAD: u32 = 1 << 28;
/// `HLREG0.RXLNGTHERREN`.
const RXLNGTHERREN: u32 = 1 << 27;
/// The EtherType 8100h.
const VLAN_TYPE: u32 = 0x8100;

/// A kind of reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Power-up, which resets everything.
    Power,
    /// CTRL.LRST: everything that a device reset resets, and the link's
    /// configuration.
    Link,
    /// CTRL.RST: the link stays as it is.
    Device,
}

impl Reset {
    /// Whether the register at `offset` keeps its value.
    fn keeps(self, offset: u32) -> bool {
        match self {
            Self::Power => false,
            Self::Device if matches!(offset, AUTOC | AUTOC2 | AUTOC3) => true,
            // Wake-up; EEPROM, flash and management; PCIe.
            Self::Link | Self::Device => {
                matches!(offset, 0x0_5800..0x0_5818 | 0x1_0000..0x1_2000 | 0x1_4F00..0x1_5000)
            }
        }
    }
}

/// Resets the registers that are memory.
pub fn reset(registers: &mut Registers, reset: Reset, eeprom: &Eeprom) {
    let autoc = [AUTOC, AUTOC2, AUTOC3].map(|register| registers.get(register));
    let driver_loaded = registers.get(CTRL_EXT) & DRV_LOAD;
    registers.clear_but(&|offset| reset.keeps(offset));
    let mut set = |offset, value| registers.set(offset, value);
    if reset != Reset::Power {
        // DRV_LOAD informs firmware that a driver is loaded. A reset keeps it.
        set(CTRL_EXT, driver_loaded);
    }
    let autoc = if reset == Reset::Device {
        autoc
    } else {
        let [autoc, autoc2] = defaults(eeprom.medium());
        [autoc, autoc2, 0]
    };
    set(AUTOC, autoc[0]);
    set(AUTOC2, autoc[1]);
    set(AUTOC3, autoc[2]);
    set(
        HLREG0,
        HLREG0_TXCRCEN | HLREG0_RXCRCSTRP | HLREG0_TXPADEN | RXLNGTHERREN,
    );
    set(MAXFRS, 1518 << 16);
    set(PCS1GANA, 0x20);
    // PCS-1G: auto-negotiation's time-out is enabled.
    set(PCS1GLCTL, 1 << 18);
    set(PFCTOP, 0x0001_8808);
    set(LEDCTL, 0x8422_2241);
    // RSCFRSTSIZE is 8 units of 16 bytes.
    set(RDRXCTL, RDRXCTL_CRCSTRIP | RDRXCTL_DMAIDONE | 8 << 17);
    set(rxpbsize(0), 512 << 10);
    set(txpbsize(0), 160 << 10);
    set(VLNCTRL, VLAN_TYPE);
    set(DMATXCTL, VLAN_TYPE << 16);
    set(DTXMXSZRQ, 0x10);
    set(DTXTCPFLGL, 0x0F76_0FF6);
    set(DTXTCPFLGH, 0x0000_0F7F);
    for queue in 0..QUEUES {
        // Buffers of 2 KB, headers of 256 bytes, descriptor type legacy.
        set(srrctl(queue), 0x402 & !SRRCTL_DESCTYPE);
    }
    let [a, b, c, d, e, f] = eeprom.mac();
    set(ral(0), u32::from_le_bytes([a, b, c, d]));
    set(rah(0), u32::from_le_bytes([e, f, 0, 0]) | RAH_AV);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Medium;
    use crate::link::AUTOC_DEFAULT;
    use crate::registers::{GCR_EXT, MRQC, RXCTRL, WUS, mta, rdt, reta, rxdctl, tdt, txdctl, vfta};

    #[test]
    fn each_reset_keeps_what_it_must() {
        let eeprom = Eeprom::new([2, 3, 4, 5, 6, 7], Medium::Backplane);
        for (register, after_power, after_link, after_device) in [
            (AUTOC, AUTOC_DEFAULT, AUTOC_DEFAULT, 0xFF),
            (AUTOC2, 0, 0, 0xFF),
            (CTRL_EXT, 0, DRV_LOAD, DRV_LOAD),
            (WUS, 0, 0xFF, 0xFF),
            (GCR_EXT, 0, 0xFF, 0xFF),
            (RXCTRL, 0, 0, 0),
            (MRQC, 0, 0, 0),
            (MAXFRS, 1518 << 16, 1518 << 16, 1518 << 16),
            (rxpbsize(0), 0x8_0000, 0x8_0000, 0x8_0000),
            (rxpbsize(1), 0, 0, 0),
            (mta(3), 0, 0, 0),
            (vfta(127), 0, 0, 0),
            (reta(31), 0, 0, 0),
            (rdt(127), 0, 0, 0),
            (tdt(5), 0, 0, 0),
            (rxdctl(5), 0, 0, 0),
            (txdctl(127), 0, 0, 0),
            (srrctl(127), 0x402, 0x402, 0x402),
            (ral(0), 0x0504_0302, 0x0504_0302, 0x0504_0302),
            (rah(0), 0x8000_0706, 0x8000_0706, 0x8000_0706),
            (rah(1), 0, 0, 0),
        ] {
            for (kind, expected) in [
                (Reset::Power, after_power),
                (Reset::Link, after_link),
                (Reset::Device, after_device),
            ] {
                let mut registers = Registers::new();
                registers.set(register, 0xFF);
                if register == CTRL_EXT {
                    registers.set(register, u32::MAX);
                }
                reset(&mut registers, kind, &eeprom);
                assert_eq!(registers.get(register), expected, "{register:#x} {kind:?}");
            }
        }
    }
}

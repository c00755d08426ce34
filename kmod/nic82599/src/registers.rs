//! The registers: where they are, their fields, and the memory behind them.
//!
//! Names and offsets are those of chapter 8 of the Intel 82599 10 GbE
//! Controller Datasheet. Offsets are bytes from the start of BAR 0.

use alloc::boxed::Box;
use alloc::vec;

/// Bytes of register space that the model has; the NIC's BAR 0 without flash.
pub const SPACE: u32 = 0x2_0000;

/// Receive and transmit queues, each.
pub const QUEUES: u16 = 128;
/// The number of MSI-X vectors.
pub const VECTORS: u16 = 64;
/// Sets of per-queue statistics registers (QPRC and its like).
pub const QUEUE_COUNTERS: u32 = 16;

/// The register Device Control.
pub const CTRL: u32 = 0x0_0000;
/// Second address of CTRL ("CTRL_DUP").
pub const CTRL_DUP: u32 = 0x0_0004;
/// The register Device Status.
pub const STATUS: u32 = 0x0_0008;
/// Two-wire bus of the module.
pub const I2CCTL: u32 = 0x0_0028;
/// Extended Device Control.
pub const CTRL_EXT: u32 = 0x0_0018;
/// Extended SDP Control.
pub const ESDP: u32 = 0x0_0020;
/// The register LED Control.
pub const LEDCTL: u32 = 0x0_0200;
/// Free Running Timer.
pub const FRTIMER: u32 = 0x0_0048;

/// `CTRL.PCIe Master Disable`.
pub const CTRL_GIO_DIS: u32 = 1 << 2;
/// `CTRL.LRST`: link reset.
pub const CTRL_LNK_RST: u32 = 1 << 3;
/// `CTRL.RST`: device reset.
pub const CTRL_RST: u32 = 1 << 26;
/// `STATUS.PCIe Master Enable Status`.
pub const STATUS_GIO: u32 = 1 << 19;

/// Extended Interrupt Cause.
pub const EICR: u32 = 0x0_0800;
/// Extended Interrupt Cause Set.
pub const EICS: u32 = 0x0_0808;
/// Extended Interrupt Auto Clear.
pub const EIAC: u32 = 0x0_0810;
/// Extended Interrupt Mask Set/Read.
pub const EIMS: u32 = 0x0_0880;
/// Extended Interrupt Mask Clear.
pub const EIMC: u32 = 0x0_0888;
/// Extended Interrupt Auto Mask Enable.
pub const EIAM: u32 = 0x0_0890;
/// General Purpose Interrupt Enable.
pub const GPIE: u32 = 0x0_0898;
/// Extended Interrupt Cause Set, vectors 0..31 and 32..63.
pub const EICS_EX: [u32; 2] = [0x0_0A90, 0x0_0A94];
/// Extended Interrupt Mask Set/Read, vectors 0..31 and 32..63.
pub const EIMS_EX: [u32; 2] = [0x0_0AA0, 0x0_0AA4];
/// Extended Interrupt Mask Clear, vectors 0..31 and 32..63.
pub const EIMC_EX: [u32; 2] = [0x0_0AB0, 0x0_0AB4];
/// Extended Interrupt Auto Mask, vectors 0..31 and 32..63.
pub const EIAM_EX: [u32; 2] = [0x0_0AD0, 0x0_0AD4];
/// Interrupt Vector Allocation, miscellaneous causes.
pub const IVAR_MISC: u32 = 0x0_0A00;

/// Interrupt Vector Allocation: two receive and two transmit queues each.
#[must_use]
pub const fn ivar(n: u32) -> u32 {
    0x0_0900 + 4 * n
}

/// Extended Interrupt Throttle of a vector.
#[must_use]
pub const fn eitr(vector: u16) -> u32 {
    if vector < 24 {
        0x0_0820 + 4 * vector as u32
    } else {
        0x1_2300 + 4 * (vector as u32 - 24)
    }
}

/// The field `GPIE.Multiple_MSIX`.
pub const GPIE_MSIX_MODE: u32 = 1 << 4;
/// `GPIE.OCD`: a read of EICR clears only bits 29:16.
pub const GPIE_OCD: u32 = 1 << 5;
/// `GPIE.EIMEN`: EICS interrupts at once, whatever EITR says.
pub const GPIE_EIMEN: u32 = 1 << 6;
/// `GPIE.EIAME`: EIAM masks upon interrupt assertion.
pub const GPIE_EIAME: u32 = 1 << 30;

/// The field `EICR.RTxQ`.
pub const EICR_RTX_QUEUE: u32 = 0x0000_FFFF;
/// The field `EICR.Flow Director`.
pub const EICR_FLOW_DIR: u32 = 1 << 16;
/// The field `EICR.Rx Miss`.
pub const EICR_RX_MISS: u32 = 1 << 17;
/// The field `EICR.PCI Exception`.
pub const EICR_PCI: u32 = 1 << 18;
/// The field `EICR.MailBox`.
pub const EICR_MAILBOX: u32 = 1 << 19;
/// `EICR.LSC`: link status change.
pub const EICR_LSC: u32 = 1 << 20;
/// The field `EICR.LinkSec`.
pub const EICR_LINKSEC: u32 = 1 << 21;
/// `EICR.MNG`: manageability event.
pub const EICR_MNG: u32 = 1 << 22;
/// The field `EICR.GPI_SDP0`.
pub const EICR_GPI_SDP0: u32 = 1 << 24;
/// The field `EICR.GPI_SDP1`.
pub const EICR_GPI_SDP1: u32 = 1 << 25;
/// The field `EICR.GPI_SDP2`.
pub const EICR_GPI_SDP2: u32 = 1 << 26;
/// `EICR.ECC`: unrecoverable ECC error.
pub const EICR_ECC: u32 = 1 << 28;
/// The field `EICR.TCP Timer`.
pub const EICR_TCP_TIMER: u32 = 1 << 30;
/// Bit 31: reserved in the 82599's datasheet; see
/// [`Config::other_gate`](crate::Config::other_gate).
pub const EICR_OTHER: u32 = 1 << 31;

/// The register Receive Control.
pub const RXCTRL: u32 = 0x0_3000;
/// The field `RXCTRL.RXEN`.
pub const RXCTRL_RXEN: u32 = 1;
/// Receive DMA Control.
pub const RDRXCTL: u32 = 0x0_2F00;
/// The field `RDRXCTL.CRCStrip`.
pub const RDRXCTL_CRCSTRIP: u32 = 1 << 1;
/// The field `RDRXCTL.DMAIDONE`.
pub const RDRXCTL_DMAIDONE: u32 = 1 << 3;
/// PF Queue Drop Enable (an indirect register).
pub const QDE: u32 = 0x0_2F04;
/// Receive Checksum Control.
pub const RXCSUM: u32 = 0x0_5000;
/// `RXCSUM.PCSD`: the descriptor has the RSS hash, not a checksum.
pub const RXCSUM_PCSD: u32 = 1 << 13;
/// The register Filter Control.
pub const FCTRL: u32 = 0x0_5080;
/// `FCTRL.SBP`: store bad packets.
pub const FCTRL_SBP: u32 = 1 << 1;
/// `FCTRL.MPE`: multicast promiscuous.
pub const FCTRL_MPE: u32 = 1 << 8;
/// `FCTRL.UPE`: unicast promiscuous.
pub const FCTRL_UPE: u32 = 1 << 9;
/// `FCTRL.BAM`: broadcast accept.
pub const FCTRL_BAM: u32 = 1 << 10;
/// The register VLAN Control.
pub const VLNCTRL: u32 = 0x0_5088;
/// The field `VLNCTRL.CFI`.
pub const VLNCTRL_CFI: u32 = 1 << 28;
/// The field `VLNCTRL.CFIEN`.
pub const VLNCTRL_CFIEN: u32 = 1 << 29;
/// `VLNCTRL.VFE`: VLAN filter enable.
pub const VLNCTRL_VFE: u32 = 1 << 30;
/// The register Multicast Control.
pub const MCSTCTRL: u32 = 0x0_5090;
/// `MCSTCTRL.MFE`: multicast filter enable.
pub const MCSTCTRL_MFE: u32 = 1 << 2;
/// Multiple Receive Queues Command.
pub const MRQC: u32 = 0x0_5818;
/// The field `MRQC.MRQE`.
pub const MRQC_MRQE: u32 = 0xF;
/// Security Rx Control.
pub const SECRXCTRL: u32 = 0x0_8D00;
/// The field `SECRXCTRL.RX_DIS`.
pub const SECRXCTRL_RX_DIS: u32 = 1 << 1;
/// Security Rx Status.
pub const SECRXSTAT: u32 = 0x0_8D04;
/// Security Tx Control.
pub const SECTXCTRL: u32 = 0x0_8800;
/// Security Tx Status.
pub const SECTXSTAT: u32 = 0x0_8804;
/// The fields `SECRXSTAT.SECRX_RDY`, `SECTXSTAT.SECTX_RDY`.
pub const SEC_RDY: u32 = 1;

/// Receive Address Low of entry `n` (0..128).
#[must_use]
pub const fn ral(n: u32) -> u32 {
    0x0_A200 + 8 * n
}
/// Receive Address High of entry `n` (0..128).
#[must_use]
pub const fn rah(n: u32) -> u32 {
    0x0_A204 + 8 * n
}
/// `RAH.AV`: address valid.
pub const RAH_AV: u32 = 1 << 31;
/// Multicast Table Array, word `n` (0..128).
#[must_use]
pub const fn mta(n: u32) -> u32 {
    0x0_5200 + 4 * n
}
/// VLAN Filter Table Array, word `n` (0..128).
#[must_use]
pub const fn vfta(n: u32) -> u32 {
    0x0_A000 + 4 * n
}
/// Redirection Table, word `n` (0..32), four entries each.
#[must_use]
pub const fn reta(n: u32) -> u32 {
    0x0_5C00 + 4 * n
}
/// RSS Random Key, word `n` (0..10).
#[must_use]
pub const fn rssrk(n: u32) -> u32 {
    0x0_5C80 + 4 * n
}
/// Receive Packet Buffer Size of buffer `n` (0..8).
#[must_use]
pub const fn rxpbsize(n: u32) -> u32 {
    0x0_3C00 + 4 * n
}
/// `RXPBSIZE.SIZE`, in units of 1 KB from bit 10, that is in bytes.
pub const RXPBSIZE_MASK: u32 = 0x000F_FC00;
/// Transmit Packet Buffer Size of buffer `n` (0..8).
#[must_use]
pub const fn txpbsize(n: u32) -> u32 {
    0x0_CC00 + 4 * n
}
/// Receive Queue Statistic Mapping, word `n` (0..32), four queues each.
#[must_use]
pub const fn rqsmr(n: u32) -> u32 {
    0x0_2300 + 4 * n
}
/// Transmit Queue Statistic Mapping, word `n` (0..32), four queues each.
#[must_use]
pub const fn tqsm(n: u32) -> u32 {
    0x0_8600 + 4 * n
}

const fn receive_block(queue: u16) -> u32 {
    if queue < 64 {
        0x0_1000 + 0x40 * queue as u32
    } else {
        0x0_D000 + 0x40 * (queue as u32 - 64)
    }
}
const fn transmit_block(queue: u16) -> u32 {
    0x0_6000 + 0x40 * queue as u32
}

/// Receive Descriptor Base Address Low.
#[must_use]
pub const fn rdbal(queue: u16) -> u32 {
    receive_block(queue)
}
/// Receive Descriptor Base Address High.
#[must_use]
pub const fn rdbah(queue: u16) -> u32 {
    receive_block(queue) + 0x04
}
/// Receive Descriptor Length, in bytes.
#[must_use]
pub const fn rdlen(queue: u16) -> u32 {
    receive_block(queue) + 0x08
}
/// Receive DCA Control.
#[must_use]
pub const fn dca_rxctrl(queue: u16) -> u32 {
    receive_block(queue) + 0x0C
}
/// Receive Descriptor Head.
#[must_use]
pub const fn rdh(queue: u16) -> u32 {
    receive_block(queue) + 0x10
}
/// Split Receive Control.
#[must_use]
pub const fn srrctl(queue: u16) -> u32 {
    receive_block(queue) + 0x14
}
/// Receive Descriptor Tail.
#[must_use]
pub const fn rdt(queue: u16) -> u32 {
    receive_block(queue) + 0x18
}
/// Receive Descriptor Control.
#[must_use]
pub const fn rxdctl(queue: u16) -> u32 {
    receive_block(queue) + 0x28
}
/// The register RSC Control.
#[must_use]
pub const fn rscctl(queue: u16) -> u32 {
    receive_block(queue) + 0x2C
}
/// Transmit Descriptor Base Address Low.
#[must_use]
pub const fn tdbal(queue: u16) -> u32 {
    transmit_block(queue)
}
/// Transmit Descriptor Base Address High.
#[must_use]
pub const fn tdbah(queue: u16) -> u32 {
    transmit_block(queue) + 0x04
}
/// Transmit Descriptor Length, in bytes.
#[must_use]
pub const fn tdlen(queue: u16) -> u32 {
    transmit_block(queue) + 0x08
}
/// Transmit Descriptor Head.
#[must_use]
pub const fn tdh(queue: u16) -> u32 {
    transmit_block(queue) + 0x10
}
/// Transmit Descriptor Tail.
#[must_use]
pub const fn tdt(queue: u16) -> u32 {
    transmit_block(queue) + 0x18
}
/// Transmit Descriptor Control.
#[must_use]
pub const fn txdctl(queue: u16) -> u32 {
    transmit_block(queue) + 0x28
}
/// Tx Descriptor Completion Write Back Address Low.
#[must_use]
pub const fn tdwbal(queue: u16) -> u32 {
    transmit_block(queue) + 0x38
}
/// Tx Descriptor Completion Write Back Address High.
#[must_use]
pub const fn tdwbah(queue: u16) -> u32 {
    transmit_block(queue) + 0x3C
}
/// The field `TDWBAL.Head_WB_En`.
pub const TDWBAL_HEAD_WB_EN: u32 = 1;

/// `SRRCTL.BSIZEPACKET`, in KB.
pub const SRRCTL_BSIZEPACKET: u32 = 0x1F;
/// The field `SRRCTL.DESCTYPE`.
pub const SRRCTL_DESCTYPE: u32 = 7 << 25;
/// `SRRCTL.DESCTYPE` 001b: advanced descriptor, one buffer.
pub const SRRCTL_DESCTYPE_ONE_BUFFER: u32 = 1 << 25;
/// The field `SRRCTL.Drop_En`.
pub const SRRCTL_DROP_EN: u32 = 1 << 28;
/// `RXDCTL.ENABLE` and `TXDCTL.ENABLE`.
pub const XDCTL_ENABLE: u32 = 1 << 25;
/// `RXDCTL.SWFLSH` and `TXDCTL.SWFLSH`, which clear themselves.
pub const XDCTL_SWFLSH: u32 = 1 << 26;
/// `RXDCTL.VME`: strip the VLAN tag.
pub const RXDCTL_VME: u32 = 1 << 30;

/// DMA Tx Control.
pub const DMATXCTL: u32 = 0x0_4A80;
/// The field `DMATXCTL.TE`.
pub const DMATXCTL_TE: u32 = 1;
/// DMA Tx TCP Flags Control Low: first and middle segment.
pub const DTXTCPFLGL: u32 = 0x0_4A88;
/// DMA Tx TCP Flags Control High: last segment.
pub const DTXTCPFLGH: u32 = 0x0_4A8C;
/// DCB Transmit Descriptor Plane Control and Status.
pub const RTTDCS: u32 = 0x0_4900;
/// DMA Tx TCP Max Allow Size Requests.
pub const DTXMXSZRQ: u32 = 0x0_8100;

/// MAC Core Control 0.
pub const HLREG0: u32 = 0x0_4240;
/// The field `HLREG0.TXCRCEN`.
pub const HLREG0_TXCRCEN: u32 = 1;
/// The field `HLREG0.RXCRCSTRP`.
pub const HLREG0_RXCRCSTRP: u32 = 1 << 1;
/// The field `HLREG0.JUMBOEN`.
pub const HLREG0_JUMBOEN: u32 = 1 << 2;
/// The field `HLREG0.TXPADEN`.
pub const HLREG0_TXPADEN: u32 = 1 << 10;
/// The field `HLREG0.LPBK`.
pub const HLREG0_LPBK: u32 = 1 << 15;
/// Max Frame Size (bits 31:16, in bytes).
pub const MAXFRS: u32 = 0x0_4268;
/// MDI Single Command and Address.
pub const MSCA: u32 = 0x0_425C;
/// The field `MSCA.MDICMD`.
pub const MSCA_MDI_COMMAND: u32 = 1 << 30;
/// MDI Single Read and Write Data (read data in bits 31:16).
pub const MSRWD: u32 = 0x0_4260;
/// MAC Flow Control.
pub const MFLCN: u32 = 0x0_4294;
/// `MFLCN.PMCF`: pass MAC control frames.
pub const MFLCN_PMCF: u32 = 1;
/// `MFLCN.DPF`: discard pause frames.
pub const MFLCN_DPF: u32 = 1 << 1;
/// `MFLCN.RFCE`: receive (obey) link flow control.
pub const MFLCN_RFCE: u32 = 1 << 3;
/// The register Auto-Negotiation Control.
pub const AUTOC: u32 = 0x0_42A0;
/// Auto-Negotiation Control 2.
pub const AUTOC2: u32 = 0x0_42A8;
/// Auto-Negotiation Control 3.
pub const AUTOC3: u32 = 0x0_42AC;
/// The register Link Status.
pub const LINKS: u32 = 0x0_42A4;
/// Link Status 2.
pub const LINKS2: u32 = 0x0_4324;
/// Auto-Negotiation Link Partner Link Control Word 1.
pub const ANLP1: u32 = 0x0_42B0;
/// PCS-1G Link Status.
pub const PCS1GLSTA: u32 = 0x0_420C;
/// PCS-1G Link Control.
pub const PCS1GLCTL: u32 = 0x0_4208;
/// PCS-1 Gb/s Auto-Negotiation Advanced.
pub const PCS1GANA: u32 = 0x0_4218;
/// PCS-1 Gb/s Auto-Negotiation Link Partner Ability.
pub const PCS1GANLP: u32 = 0x0_421C;
/// Core Analog Configuration.
pub const CORECTL: u32 = 0x1_4F00;

/// Flow Control Configuration.
pub const FCCFG: u32 = 0x0_3D00;
/// `FCCFG.TFCE` 01b: link flow control.
pub const FCCFG_TFCE_802_3X: u32 = 1 << 3;
/// Flow Control Transmit Timer Value of classes 0 and 1.
pub const FCTTV0: u32 = 0x0_3200;
/// Flow Control Receive Threshold Low of packet buffer 0.
pub const FCRTL0: u32 = 0x0_3220;
/// Flow Control Refresh Threshold Value.
pub const FCRTV: u32 = 0x0_32A0;
/// The field `FCRTL.XONE`.
pub const FCRTL_XONE: u32 = 1 << 31;
/// Flow Control Receive Threshold High of packet buffer 0.
pub const FCRTH0: u32 = 0x0_3260;
/// The field `FCRTH.FCEN`.
pub const FCRTH_FCEN: u32 = 1 << 31;
/// The threshold in FCRTL and FCRTH (bits 18:5, units of 32 bytes), in bytes.
pub const FCRT_BYTES: u32 = 0x0007_FFE0;
/// Transmit Flow Control Status.
pub const TFCS: u32 = 0x0_CE00;
/// `TFCS.TC_XON`: transmission is not paused, by link flow control.
pub const TFCS_TC_XON: u32 = 1;
/// The same for the eight traffic classes, by priority flow control.
pub const TFCS_TC_XON_ALL: u32 = 0xFF << 8;
/// Priority Flow Control Type Opcode.
pub const PFCTOP: u32 = 0x0_3008;

/// The register EEPROM/Flash Control.
pub const EEC: u32 = 0x1_0010;
/// The field `EEC.EE_REQ`.
pub const EEC_REQ: u32 = 1 << 6;
/// The field `EEC.EE_GNT`.
pub const EEC_GNT: u32 = 1 << 7;
/// The field `EEC.EE_PRES`.
pub const EEC_PRES: u32 = 1 << 8;
/// The field `EEC.Auto_RD`.
pub const EEC_ARD: u32 = 1 << 9;
/// The field `EEC.EE_ADDR_SIZE`.
pub const EEC_ADDR_SIZE: u32 = 1 << 10;
/// The register EEPROM Read.
pub const EERD: u32 = 0x1_0014;
/// EEPROM Write (not in every revision of the datasheet).
pub const EEWR: u32 = 0x1_0018;
/// The field `EERD.START`.
pub const EERD_START: u32 = 1;
/// The field `EERD.DONE`.
pub const EERD_DONE: u32 = 1 << 1;
/// The register Software Semaphore.
pub const SWSM: u32 = 0x1_0140;
/// The field `SWSM.SMBI`.
pub const SWSM_SMBI: u32 = 1;
/// The field `SWSM.SWESMBI`.
pub const SWSM_SWESMBI: u32 = 1 << 1;
/// The register Firmware Semaphore.
pub const FWSM: u32 = 0x1_0148;
/// Function Active and Power State to Manageability.
pub const FACTPS: u32 = 0x1_0150;
/// Software-Firmware Synchronization (the driver's GSSR).
pub const SW_FW_SYNC: u32 = 0x1_0160;
/// General Receive Control.
pub const GRC: u32 = 0x1_0200;
/// PCIe Control Extended.
pub const GCR_EXT: u32 = 0x1_1050;

/// Flow Director Filters Control.
pub const FDIRCTRL: u32 = 0x0_EE00;
/// The field `FDIRCTRL.PBALLOC`.
pub const FDIRCTRL_PBALLOC: u32 = 3;
/// The field `FDIRCTRL.INIT_Done`.
pub const FDIRCTRL_INIT_DONE: u32 = 1 << 3;
/// Flow Director Filters Command.
pub const FDIRCMD: u32 = 0x0_EE2C;
/// The field `FDIRCMD.CMD`.
pub const FDIRCMD_CMD: u32 = 3;
/// The field `FDIRCMD.CMD`: query.
pub const FDIRCMD_QUERY: u32 = 3;
/// Flow Director Filters Free.
pub const FDIRFREE: u32 = 0x0_EE38;
/// Flow Director Filters Length.
pub const FDIRLEN: u32 = 0x0_EE4C;
/// Flow Director Filters Usage Statistics.
pub const FDIRUSTAT: u32 = 0x0_EE50;
/// Flow Director Filters Failed Usage Statistics.
pub const FDIRFSTAT: u32 = 0x0_EE54;
/// Flow Director Filters Match Statistics.
pub const FDIRMATCH: u32 = 0x0_EE58;
/// Flow Director Filters Miss Match Statistics.
pub const FDIRMISS: u32 = 0x0_EE5C;

/// Wake Up Status: write 1 to clear.
pub const WUS: u32 = 0x0_5810;

/// What a receive or transmit queue's register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueRegister {
    /// RDLEN or TDLEN.
    Length,
    /// RDH or TDH.
    Head,
    /// RDT or TDT.
    Tail,
    /// RXDCTL or TXDCTL.
    Control,
    /// RDBAL, RDBAH, TDBAL or TDBAH.
    Base,
    /// The register SRRCTL.
    Split,
}

/// The receive queue and kind of register at `offset`, if it is one that
/// does more than store.
#[must_use]
pub fn receive_register(offset: u32) -> Option<(u16, QueueRegister)> {
    let queue = match offset {
        0x0_1000..0x0_2000 => (offset - 0x0_1000) / 0x40,
        0x0_D000..0x0_E000 => (offset - 0x0_D000) / 0x40 + 64,
        _ => return None,
    };
    match offset % 0x40 {
        0x14 => Some((u16::try_from(queue).ok()?, QueueRegister::Split)),
        _ => queue_register(queue, offset),
    }
}

/// The transmit queue and kind of register at `offset`, likewise.
#[must_use]
pub fn transmit_register(offset: u32) -> Option<(u16, QueueRegister)> {
    match offset {
        0x0_6000..0x0_8000 => queue_register((offset - 0x0_6000) / 0x40, offset),
        _ => None,
    }
}

fn queue_register(queue: u32, offset: u32) -> Option<(u16, QueueRegister)> {
    let queue = u16::try_from(queue).ok()?;
    let kind = match offset % 0x40 {
        0x00 | 0x04 => QueueRegister::Base,
        0x08 => QueueRegister::Length,
        0x10 => QueueRegister::Head,
        0x18 => QueueRegister::Tail,
        0x28 => QueueRegister::Control,
        _ => return None,
    };
    Some((queue, kind))
}

/// The one offset of a register that has two: RAL and RAH, PSRTYPE, SRRCTL
/// and DCA_RXCTRL of the first sixteen, QPTC, and CTRL.
#[must_use]
pub const fn canonical(offset: u32) -> u32 {
    match offset {
        CTRL_DUP => CTRL,
        0x0_2100..0x0_2140 => 0x0_1014 + (offset - 0x0_2100) / 4 * 0x40,
        0x0_2200..0x0_2240 => 0x0_100C + (offset - 0x0_2200) / 4 * 0x40,
        0x0_5400..0x0_5480 => 0x0_A200 + (offset - 0x0_5400),
        0x0_5480..0x0_54C0 => 0x0_EA00 + (offset - 0x0_5480),
        0x0_8680..0x0_86C0 => 0x0_6030 + (offset - 0x0_8680) / 4 * 0x40,
        _ => offset,
    }
}

/// The memory behind the registers. Offsets are canonical and below [`SPACE`].
#[derive(Debug)]
pub struct Registers {
    words: Box<[u32]>,
}

impl Registers {
    /// Makes all registers zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            words: vec![0; (SPACE / 4) as usize].into_boxed_slice(),
        }
    }

    /// What is stored; 0 outside of the register space.
    #[must_use]
    pub fn get(&self, offset: u32) -> u32 {
        let word = self.words.get((canonical(offset) / 4) as usize);
        word.copied().unwrap_or(0)
    }

    /// Stores; nothing outside of the register space.
    pub fn set(&mut self, offset: u32, value: u32) {
        if let Some(word) = self.words.get_mut((canonical(offset) / 4) as usize) {
            *word = value;
        }
    }

    /// Adds to a register, wrapping.
    pub fn add(&mut self, offset: u32, count: u32) {
        self.set(offset, self.get(offset).wrapping_add(count));
    }

    /// Whether any of `bits` is set.
    #[must_use]
    pub fn has(&self, offset: u32, bits: u32) -> bool {
        self.get(offset) & bits != 0
    }

    /// All zero but `kept` offsets.
    pub fn clear_but(&mut self, kept: &dyn Fn(u32) -> bool) {
        let offsets = (0..).step_by(4);
        for (word, offset) in self.words.iter_mut().zip(offsets) {
            if !kept(offset) {
                *word = 0;
            }
        }
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_with_two_addresses_are_one() {
        for (second, first) in [
            (0x0_0004, CTRL),
            (0x0_2100, srrctl(0)),
            (0x0_213C, srrctl(15)),
            (0x0_2204, dca_rxctrl(1)),
            (0x0_5400, ral(0)),
            (0x0_547C, rah(15)),
            (0x0_5480, 0x0_EA00),
        ] {
            assert_eq!(canonical(second), first, "{second:#x}");
            assert_eq!(canonical(first), first);
        }
    }

    #[test]
    fn every_queue_register_is_found_again() {
        for queue in 0..QUEUES {
            for (offset, kind) in [
                (rdbal(queue), QueueRegister::Base),
                (rdbah(queue), QueueRegister::Base),
                (rdlen(queue), QueueRegister::Length),
                (rdh(queue), QueueRegister::Head),
                (rdt(queue), QueueRegister::Tail),
                (rxdctl(queue), QueueRegister::Control),
            ] {
                assert_eq!(receive_register(offset), Some((queue, kind)));
                assert_eq!(transmit_register(offset), None);
            }
            for (offset, kind) in [
                (tdbal(queue), QueueRegister::Base),
                (tdlen(queue), QueueRegister::Length),
                (tdh(queue), QueueRegister::Head),
                (tdt(queue), QueueRegister::Tail),
                (txdctl(queue), QueueRegister::Control),
            ] {
                assert_eq!(transmit_register(offset), Some((queue, kind)));
                assert_eq!(receive_register(offset), None);
            }
            let split = Some((queue, QueueRegister::Split));
            assert_eq!(receive_register(srrctl(queue)), split);
            assert_eq!(receive_register(dca_rxctrl(queue)), None);
        }
    }

    #[test]
    fn outside_of_the_space_is_nothing() {
        let mut registers = Registers::new();
        registers.set(SPACE, 1);
        registers.set(u32::MAX, 1);
        assert_eq!(registers.get(SPACE), 0);
        assert_eq!(registers.get(u32::MAX), 0);
        registers.set(SPACE - 4, 7);
        assert_eq!(registers.get(SPACE - 4), 7);
    }
}

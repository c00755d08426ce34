//! A virtual function (VF), which has all of the port, and its mailbox.
//!
//! Datasheet: chapters 7.10 (Virtualization) and 8.3 (VF registers), and the
//! messages that Intel's drivers exchange over the mailbox (version 1.1 of
//! their interface). The driver of the physical function is part of the model:
//! it has enabled the port, and answers each message at once. What a VF's
//! register does is what the register of the same name of the NIC does, for
//! three vectors and eight queues.

use crate::host::Host;
use crate::nic::Nic;
use crate::registers::{
    DMATXCTL, DMATXCTL_TE, EIAC, EIAM, EICR, EICS, EIMC, EIMS, FCTRL, FCTRL_BAM, FRTIMER, GPIE,
    GPIE_EIAME, GPIE_MSIX_MODE, HLREG0, HLREG0_JUMBOEN, LINKS, MAXFRS, RAH_AV, RXCTRL, RXCTRL_RXEN,
    eitr, ivar, rah, ral,
};
use crate::reset::Reset;
use crate::statistics::{GORC, GOTC, GPRC, GPTC, MPRC};
use crate::violation::Violation;

/// The register Device Control.
pub const VFCTRL: u32 = 0x0000;
/// The register Device Status.
pub const VFSTATUS: u32 = 0x0008;
/// The register Link Status.
pub const VFLINKS: u32 = 0x0010;
/// Free Running Timer.
pub const VFFRTIMER: u32 = 0x0048;
/// Extended Interrupt Cause. Bit n is vector n.
pub const VTEICR: u32 = 0x0100;
/// Extended Interrupt Cause Set.
pub const VTEICS: u32 = 0x0104;
/// Extended Interrupt Mask Set/Read.
pub const VTEIMS: u32 = 0x0108;
/// Extended Interrupt Mask Clear.
pub const VTEIMC: u32 = 0x010C;
/// Extended Interrupt Auto Clear.
pub const VTEIAC: u32 = 0x0110;
/// Extended Interrupt Auto Mask Enable.
pub const VTEIAM: u32 = 0x0114;
/// Interrupt Vector Allocation of four queue pairs.
pub const VTIVAR: [u32; 4] = [0x0120, 0x0124, 0x0128, 0x012C];
/// Interrupt Vector Allocation of the mailbox.
pub const VTIVAR_MISC: u32 = 0x0140;
/// Extended Interrupt Throttle of three vectors.
pub const VTEITR: [u32; 3] = [0x0820, 0x0824, 0x0828];
/// The mailbox's memory.
pub const VFMBMEM: u32 = 0x0200;
/// Mailbox control and status.
pub const VFMAILBOX: u32 = 0x02FC;
/// Packet Split Receive Type.
pub const VFPSRTYPE: u32 = 0x0300;

/// The vectors, as bits of VTEICR and its like.
const VECTORS: u32 = 7;
/// `VFCTRL.RST`.
const RST: u32 = 1 << 26;
const IVAR_VALID: u32 = 0x80;

/// VFMAILBOX: the VF has written a message.
const REQ: u32 = 1;
/// The VF owns the memory.
const VFU: u32 = 1 << 2;
/// The physical function (PF) has written a message.
const PFSTS: u32 = 1 << 4;
/// The PF has read the message.
const PFACK: u32 = 1 << 5;
/// The PF has completed a reset.
const RSTD: u32 = 1 << 7;
/// The bits that a read clears.
const CLEARED: u32 = PFSTS | PFACK | RSTD;

/// Messages: bits 15:0 are the kind.
const KIND: u32 = 0xFFFF;
const RESET: u32 = 1;
const SET_ADDRESS: u32 = 2;
const SET_MULTICAST: u32 = 3;
const SET_VLAN: u32 = 4;
const SET_LONGEST: u32 = 5;
const NEGOTIATE: u32 = 8;
/// The versions 1.0 and 1.1.
const VERSIONS: [u32; 2] = [0, 2];
/// The message is accepted, or refused.
const SUCCESS: u32 = 1 << 31;
const FAILURE: u32 = 1 << 30;
/// The VF may send messages.
const CLEAR_TO_SEND: u32 = 1 << 29;
/// A message of the PF's own.
const PF_CONTROL: u32 = 0x100;

/// The mailbox of a VF.
#[derive(Debug, Default)]
pub struct Mailbox {
    memory: [u32; 16],
    status: u32,
    /// VTIVAR_MISC.
    vector: u32,
    address: [u8; 6],
}

impl Mailbox {
    /// The mailbox of a VF with this permanent address.
    pub fn new(address: [u8; 6]) -> Self {
        Self {
            address,
            ..Self::default()
        }
    }

    fn word(&mut self, register: u32) -> Option<&mut u32> {
        let offset = register.checked_sub(VFMBMEM)?;
        self.memory.get_mut((offset / 4) as usize)
    }
}

/// Returns the NIC's register that does what a VF's register does.
fn physical(register: u32) -> Option<u32> {
    Some(match register {
        VFLINKS => LINKS,
        VFFRTIMER => FRTIMER,
        VTEICR => EICR,
        VTEICS => EICS,
        VTEIMS => EIMS,
        VTEIMC => EIMC,
        VTEIAC => EIAC,
        VTEIAM => EIAM,
        VFPSRTYPE => 0xEA00,
        0x101C => GPRC,
        0x1020 => GORC,
        0x1024 => GORC + 4,
        0x1034 => MPRC,
        0x201C => GPTC,
        0x2020 => GOTC,
        0x2024 => GOTC + 4,
        0x1000..0x1200 => register,
        0x2000..0x2200 => register + 0x4000,
        _ => {
            let nth = |list: &[u32]| list.iter().position(|one| *one == register);
            if let Some(n) = nth(&VTIVAR) {
                ivar(u32::try_from(n).ok()?)
            } else {
                eitr(u16::try_from(nth(&VTEITR)?).ok()?)
            }
        }
    })
}

/// Whether the register has a bit for each vector.
const fn is_of_vectors(register: u32) -> bool {
    matches!(register, VTEICR..=VTEIAM)
}

impl Nic {
    /// Writes a message of the PF's own into the mailbox of a VF, which
    /// interrupts.
    pub fn notify_virtual_function(&mut self) {
        if let Some(mailbox) = &mut self.mailbox {
            mailbox.memory[0] = PF_CONTROL | CLEAR_TO_SEND;
        }
        self.interrupt_mailbox(PFSTS);
    }

    /// Sets bits of VFMAILBOX, which is a cause of the mailbox's vector.
    fn interrupt_mailbox(&mut self, status: u32) {
        let Some(mailbox) = &mut self.mailbox else {
            return;
        };
        mailbox.status |= status;
        if mailbox.vector & IVAR_VALID != 0 {
            self.interrupts.raise_vector(mailbox.vector & 3);
        }
    }

    /// What the PF's driver does before the VF's driver attaches.
    pub(crate) fn enable_port(&mut self) {
        self.interrupts.write(GPIE, GPIE_MSIX_MODE | GPIE_EIAME);
        for (register, bits) in [
            (FCTRL, FCTRL_BAM),
            (HLREG0, HLREG0_JUMBOEN),
            (DMATXCTL, DMATXCTL_TE),
            (RXCTRL, RXCTRL_RXEN),
        ] {
            let value = self.registers.get(register) | bits;
            self.registers.set(register, value);
        }
        self.registers.set(MAXFRS, 9728 << 16);
    }

    /// Reads a register of a VF.
    pub(crate) fn read_virtual(&mut self, register: u32) -> u32 {
        let Some(mailbox) = &mut self.mailbox else {
            return 0;
        };
        match register {
            VFCTRL | VFSTATUS => return 0,
            VTIVAR_MISC => return mailbox.vector,
            VFMAILBOX => {
                let status = mailbox.status;
                mailbox.status &= !CLEARED;
                return status;
            }
            _ => {}
        }
        if let Some(word) = mailbox.word(register) {
            return *word;
        }
        match physical(register) {
            // The VF's counters do not clear when they are read.
            Some(counter @ (GPRC | GPTC | MPRC)) => self.registers.get(counter),
            Some(octets) if (GORC..GOTC + 8).contains(&octets) => self.registers.get(octets),
            Some(of_vectors) if is_of_vectors(register) => self.read_physical(of_vectors) & VECTORS,
            Some(other) => self.read_physical(other),
            None => {
                self.violations.record(Violation::NoRegister { register });
                0
            }
        }
    }

    /// Writes a register of a VF.
    pub(crate) fn write_virtual(&mut self, register: u32, value: u32, host: &mut dyn Host) {
        let Some(mailbox) = &mut self.mailbox else {
            return;
        };
        if let Some(word) = mailbox.word(register) {
            *word = value;
            return;
        }
        match register {
            VFCTRL if value & RST != 0 => self.reset_virtual(),
            VFCTRL => {}
            VTIVAR_MISC => mailbox.vector = value & (IVAR_VALID | 3),
            VFMAILBOX => {
                mailbox.status = mailbox.status & CLEARED | value & VFU;
                if value & REQ != 0 {
                    self.answer();
                }
            }
            VFSTATUS | VFLINKS | VFFRTIMER => {
                self.violations
                    .record(Violation::ReadOnly { register, value });
            }
            _ => match physical(register) {
                Some(of_vectors) if is_of_vectors(register) => {
                    self.write_physical(of_vectors, value & VECTORS, host);
                }
                Some(other) => self.write_physical(other, value, host),
                None => self.violations.record(Violation::NoRegister { register }),
            },
        }
    }

    fn reset_virtual(&mut self) {
        self.reset_device(Reset::Device);
        self.enable_port();
        if let Some(mailbox) = &mut self.mailbox {
            *mailbox = Mailbox {
                status: RSTD,
                ..Mailbox::new(mailbox.address)
            };
        }
    }

    /// Answers the message of the VF.
    fn answer(&mut self) {
        let Some(mailbox) = &mut self.mailbox else {
            return;
        };
        let [message, low, high, ..] = mailbox.memory;
        let kind = message & KIND;
        let accepted = match kind {
            RESET => {
                let [a, b, c, d, e, f] = mailbox.address;
                let address = [
                    u32::from_le_bytes([a, b, c, d]),
                    u32::from_le_bytes([e, f, 0, 0]),
                ];
                mailbox.memory[..4].copy_from_slice(&[message, address[0], address[1], 0]);
                true
            }
            SET_ADDRESS => {
                self.registers.set(ral(0), low);
                self.registers.set(rah(0), high & 0xFFFF | RAH_AV);
                true
            }
            NEGOTIATE => VERSIONS.contains(&low),
            SET_MULTICAST | SET_VLAN | SET_LONGEST => true,
            _ => false,
        };
        let result = if accepted { SUCCESS } else { FAILURE };
        let allowed = if kind == RESET { 0 } else { CLEAR_TO_SEND };
        mailbox.memory[0] = message & KIND | result | allowed;
        self.interrupt_mailbox(PFSTS | PFACK);
    }
}

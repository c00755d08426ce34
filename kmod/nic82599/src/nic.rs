//! The NIC: its parts, and the effects of register accesses.

use alloc::boxed::Box;
use alloc::vec;

use crate::config::{Config, Medium};
use crate::config_space::ConfigSpace;
use crate::counters::{Counters, InvariantError};
use crate::eeprom::{self, Eeprom};
use crate::frame_queue::FrameQueue;
use crate::host::Host;
use crate::interrupt::Interrupts;
use crate::link::{AUTOC_RESTART, Link, Partner};
use crate::offload::Context;
use crate::owned_buffers::OwnedBuffers;
use crate::receive::{EmptyBuffer, FrameInfo};
use crate::registers::{
    ANLP1, AUTOC, AUTOC2, CTRL, CTRL_GIO_DIS, CTRL_LNK_RST, CTRL_RST, DMATXCTL, EEC, EEC_ADDR_SIZE,
    EEC_ARD, EEC_GNT, EEC_PRES, EEC_REQ, EERD, EEWR, EICR_LSC, FACTPS, FCCFG, FCRTH0, FCRTL0,
    FDIRCMD, FDIRCMD_CMD, FDIRCMD_QUERY, FDIRCTRL, FDIRCTRL_INIT_DONE, FDIRCTRL_PBALLOC, FDIRFREE,
    FRTIMER, FWSM, HLREG0, HLREG0_RXCRCSTRP, I2CCTL, LINKS, LINKS2, MRQC, MRQC_MRQE, MSCA,
    MSCA_MDI_COMMAND, MSRWD, PCS1GANLP, PCS1GLSTA, QDE, QUEUES, RDRXCTL, RDRXCTL_CRCSTRIP, RXCTRL,
    RXCTRL_RXEN, Registers, SEC_RDY, SECRXCTRL, SECRXCTRL_RX_DIS, SECRXSTAT, SECTXCTRL, SECTXSTAT,
    SPACE, STATUS, STATUS_GIO, SW_FW_SYNC, SWSM, TFCS, TFCS_TC_XON, TFCS_TC_XON_ALL, WUS,
    XDCTL_ENABLE, canonical, receive_register, rxdctl, transmit_register,
};
use crate::reset::{Reset, reset};
use crate::ring::Ring;
use crate::rss;
use crate::semaphore::Semaphores;
use crate::sfp::{self, Module};
use crate::statistics;
use crate::transmit::Transmitted;
use crate::violation::{Direction, Violation, Violations};
use crate::virtual_function::Mailbox;

/// The longest frame, with frame check sequence: 15.5 KB.
pub const MAX_FRAME: usize = 15_872;

/// The size of the receive packet buffer: the maximum of RXPBSIZE.
const PACKET_BUFFER: usize = 512 * 1024;
/// The number of shortest frames that fit into it.
const PACKET_BUFFER_FRAMES: usize = PACKET_BUFFER / 64;

/// The data of a read from an absent PHY.
const MSRWD_NO_PHY: u32 = 0xFFFF << 16;

/// An 82599 and the wire that it transmits to.
#[derive(Debug)]
pub struct Nic {
    pub(crate) registers: Registers,
    pub(crate) interrupts: Interrupts,
    pub(crate) link: Link,
    pub(crate) violations: Violations,
    pub(crate) counters: Counters,
    /// The receive packet buffer.
    pub(crate) buffer: FrameQueue<FrameInfo>,
    /// The bytes in it, with frame check sequences.
    pub(crate) buffered_bytes: u32,
    /// Transmitted frames that were not taken yet.
    pub(crate) wire: FrameQueue<Transmitted>,
    pub(crate) owned_buffers: OwnedBuffers,
    /// The driver posted an invalid buffer or changed an enabled ring, so that
    /// `owned_buffers` does not match the rings.
    pub(crate) ownership_unknown: bool,
    /// Two contexts of each transmit queue.
    pub(crate) contexts: Box<[[Context; 2]]>,
    /// Memory for the frame that is being processed.
    pub(crate) scratch: Box<[u8]>,
    /// QDE: queues that drop, one bit each.
    pub(crate) drops: u128,
    /// Queues that a test treats as if they had no descriptors.
    pub(crate) stalled: u128,
    /// Transmit queues of which the NIC fetches no descriptors until a reset.
    pub(crate) hung: u128,
    /// The wire had no room for a pause frame of the NIC.
    pub(crate) pause_waits: bool,
    /// The number of descriptors for the next longer frame.
    pub(crate) cut: Option<usize>,
    /// Where the next frame gets an empty buffer.
    pub(crate) empty: Option<EmptyBuffer>,
    /// XOFF was the last pause frame sent.
    pub(crate) partner_paused: bool,
    /// The time at which it was sent.
    pub(crate) partner_paused_at: u64,
    /// The end of the partner's XOFF, in microseconds.
    pub(crate) paused_until: Option<u64>,
    /// Microseconds since the NIC was made.
    pub(crate) now: u64,
    semaphores: Semaphores,
    eeprom: Eeprom,
    space: ConfigSpace,
    /// The module of a fibre NIC.
    module: Option<Module>,
    /// The mailbox of a virtual function. The driver sees a VF's registers.
    pub(crate) mailbox: Option<Mailbox>,
    /// The bit of CTRL of a reset in progress, and the number of reads that
    /// still return it.
    resetting: (u32, u32),
    reset_reads: u32,
}

impl Nic {
    /// Makes a NIC after power-up, with a connected cable. It allocates all
    /// memory of the model.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let eeprom = Eeprom::new(config.mac, config.medium);
        let mut registers = Registers::new();
        reset(&mut registers, Reset::Power, &eeprom);
        let mut nic = Self {
            registers,
            interrupts: Interrupts::new(config.moderation, config.other_gate),
            link: Link::new(),
            violations: Violations::new(),
            counters: Counters::new(),
            buffer: FrameQueue::new(PACKET_BUFFER, PACKET_BUFFER_FRAMES),
            buffered_bytes: 0,
            wire: FrameQueue::new(config.wire_bytes.max(MAX_FRAME), config.wire_frames.max(1)),
            owned_buffers: OwnedBuffers::new(config.owned_buffers),
            ownership_unknown: false,
            contexts: vec![[Context::default(); 2]; usize::from(QUEUES)].into_boxed_slice(),
            scratch: vec![0; MAX_FRAME + 8].into_boxed_slice(),
            drops: 0,
            stalled: 0,
            hung: 0,
            cut: None,
            empty: None,
            pause_waits: false,
            partner_paused: false,
            partner_paused_at: 0,
            paused_until: None,
            now: 0,
            semaphores: Semaphores::default(),
            eeprom,
            space: ConfigSpace::new(&config),
            module: (config.medium == Medium::Fibre).then(Module::new),
            mailbox: config.is_virtual.then(|| Mailbox::new(config.mac)),
            resetting: (0, 0),
            reset_reads: config.reset_reads,
        };
        if config.is_virtual {
            nic.enable_port();
        }
        nic
    }

    /// Reads the 4-byte register at the byte offset `register`, with all side
    /// effects of the read. An offset without a register reads as 0.
    pub fn read(&mut self, register: u32) -> u32 {
        if register >= SPACE || !register.is_multiple_of(4) {
            self.violations.record(Violation::NoRegister { register });
            return 0;
        }
        if self.mailbox.is_some() {
            return self.read_virtual(register);
        }
        self.read_physical(register)
    }

    pub(crate) fn read_physical(&mut self, register: u32) -> u32 {
        let register = canonical(register);
        if let Some(value) = self.interrupts.read(register) {
            return value;
        }
        if let Some(value) = statistics::read(&mut self.registers, register) {
            return value;
        }
        if register == SWSM {
            return self.semaphores.read_swsm();
        }
        if register == CTRL && self.resetting.1 > 0 {
            self.resetting.1 -= 1;
            return self.registers.get(CTRL) | self.resetting.0;
        }
        self.peek(register)
    }

    /// Returns the value of a register without the side effects of a read.
    /// Interrupt registers read as 0.
    #[must_use]
    pub fn peek(&self, register: u32) -> u32 {
        let register = canonical(register);
        let stored = self.registers.get(register);
        match register {
            STATUS => {
                let gio = if self.has_bus() { STATUS_GIO } else { 0 };
                gio | u32::from(self.space.port() & 1) << 2
            }
            I2CCTL => {
                // Without a module nothing pulls a line low.
                let lines = self.module.as_ref().map(Module::lines);
                stored & !sfp::LINES | lines.unwrap_or(sfp::LINES)
            }
            FRTIMER => (self.now & 0xFFFF_FFFF) as u32,
            LINKS => self.link.links(&self.registers),
            LINKS2 => self.link.links2(),
            ANLP1 => self.link.anlp1(),
            PCS1GLSTA => self.link.pcs1glsta(&self.registers),
            TFCS => {
                let on = self.paused_until.is_none();
                TFCS_TC_XON_ALL | if on { TFCS_TC_XON } else { 0 }
            }
            SECRXSTAT => self.registers.get(SECRXCTRL) >> 1 & SEC_RDY,
            SECTXSTAT => self.registers.get(SECTXCTRL) >> 1 & SEC_RDY,
            EEC => {
                let granted = if stored & EEC_REQ != 0 { EEC_GNT } else { 0 };
                stored & 0x7F | granted | EEC_PRES | EEC_ARD | EEC_ADDR_SIZE | eeprom::SIZE << 11
            }
            SW_FW_SYNC => self.semaphores.sync(),
            _ => stored,
        }
    }

    /// Writes the 4-byte register at the byte offset `register`, with all effects
    /// of the write, including DMA.
    pub fn write(&mut self, register: u32, value: u32, host: &mut impl Host) {
        self.write_with(register, value, host);
    }

    fn write_with(&mut self, register: u32, value: u32, host: &mut dyn Host) {
        if register >= SPACE || !register.is_multiple_of(4) {
            self.violations.record(Violation::NoRegister { register });
            return;
        }
        if self.mailbox.is_some() {
            return self.write_virtual(register, value, host);
        }
        self.write_physical(register, value, host);
    }

    pub(crate) fn write_physical(&mut self, register: u32, value: u32, host: &mut dyn Host) {
        let register = canonical(register);
        if register != CTRL && self.resetting.1 > 0 {
            let violation = Violation::WrittenDuringReset { register };
            self.violations.record(violation);
            return;
        }
        if self.interrupts.write(register, value) {
            return;
        }
        if let Some((queue, kind)) = receive_register(register) {
            return self.write_ring(Direction::Receive, queue, kind, register, value, host);
        }
        if let Some((queue, kind)) = transmit_register(register) {
            return self.write_ring(Direction::Transmit, queue, kind, register, value, host);
        }
        match register {
            CTRL => self.write_ctrl(value, host),
            STATUS | LINKS | LINKS2 | ANLP1 | PCS1GLSTA | PCS1GANLP | FWSM | FACTPS | SECRXSTAT
            | SECTXSTAT | TFCS | FRTIMER => {
                self.violations
                    .record(Violation::ReadOnly { register, value });
            }
            RXCTRL => self.write_rxctrl(value),
            SWSM => self.semaphores.write_swsm(value),
            SW_FW_SYNC => {
                if !self.semaphores.write_sync(value) {
                    let violation = Violation::SyncWithoutSemaphore { value };
                    self.violations.record(violation);
                }
            }
            EERD => self.registers.set(EERD, self.eeprom.read(value)),
            EEWR => self.registers.set(EEWR, self.eeprom.write(value)),
            AUTOC => {
                self.registers.set(AUTOC, value & !AUTOC_RESTART);
                // The link goes down and up again, without delay.
                if value & AUTOC_RESTART != 0 && self.link.is_up(&self.registers) {
                    self.interrupts.raise(EICR_LSC);
                }
            }
            AUTOC2 => self.change_link(host, |nic| nic.registers.set(AUTOC2, value)),
            MSCA => {
                self.registers.set(MSCA, value & !MSCA_MDI_COMMAND);
                // No PHY is on the management bus of a backplane card.
                self.registers.set(MSRWD, MSRWD_NO_PHY);
            }
            MRQC => {
                if !matches!(value & MRQC_MRQE, 0 | rss::RSS_ONLY) {
                    self.violations
                        .record(Violation::NotModelled { register, value });
                }
                self.registers.set(MRQC, value);
            }
            QDE => self.write_qde(value, host),
            FDIRCTRL => {
                let allocated = value & FDIRCTRL_PBALLOC;
                let done = if allocated == 0 {
                    0
                } else {
                    FDIRCTRL_INIT_DONE
                };
                self.registers
                    .set(FDIRCTRL, value & !FDIRCTRL_INIT_DONE | done);
                if allocated != 0 {
                    // 64, 128 or 256 KB; 8 K signature filters in 64 KB.
                    self.registers.set(FDIRFREE, (0x1000 << allocated) - 2);
                }
            }
            FDIRCMD => {
                // A filter that is added or removed never matches, as if the
                // table were full.
                if value & FDIRCMD_CMD == FDIRCMD_QUERY {
                    self.violations
                        .record(Violation::NotModelled { register, value });
                }
                self.registers.set(FDIRCMD, value & !FDIRCMD_CMD);
            }
            I2CCTL => {
                self.registers.set(I2CCTL, value);
                if let Some(module) = &mut self.module {
                    module.write(value);
                }
            }
            WUS => self.registers.set(WUS, self.registers.get(WUS) & !value),
            FCCFG | FCRTH0 | FCRTL0 => {
                self.registers.set(register, value);
                self.pause_partner();
            }
            DMATXCTL | SECTXCTRL => {
                self.registers.set(register, value);
                self.transmit_all(host);
            }
            _ => self.registers.set(register, value),
        }
    }

    /// Reads `width` bytes (1, 2 or 4) of configuration space.
    #[must_use]
    pub fn config_read(&self, offset: usize, width: usize) -> u32 {
        self.space.read(offset, width)
    }

    /// Writes `width` bytes (1, 2 or 4) of configuration space.
    pub fn config_write(&mut self, offset: usize, width: usize, value: u32) {
        self.space.write(offset, width, value);
    }

    /// Returns the MSI-X vector of the next message, or 0 without MSI-X. The
    /// caller fires it without its lock, and calls again.
    pub fn take_interrupt(&mut self) -> Option<u16> {
        self.interrupts.take()
    }

    /// Returns whether [`take_interrupt`](Self::take_interrupt) has a message.
    #[must_use]
    pub const fn has_interrupt(&self) -> bool {
        self.interrupts.has()
    }

    /// Connects or disconnects the link.
    pub fn set_link(&mut self, up: bool, host: &mut impl Host) {
        self.change_link(host, |nic| nic.link.connected = up);
    }

    /// Returns whether the link is up.
    #[must_use]
    pub fn link_is_up(&self) -> bool {
        self.link.is_up(&self.registers)
    }

    /// Sets the abilities of the link partner. They are negotiated when the link
    /// comes up, or when the driver restarts the negotiation.
    pub const fn set_partner(&mut self, partner: Partner) {
        self.link.partner = partner;
    }

    /// Sets what firmware owns: resources of SW_FW_SYNC, as bits 4:0, and whether
    /// software cannot acquire SWSM.SWESMBI.
    pub const fn set_firmware(&mut self, resources: u32, semaphore: bool) {
        self.semaphores.set_firmware(resources);
        self.semaphores.firmware_owns = semaphore;
    }

    /// Sets interrupt causes in EICR (bits 30:16).
    pub fn raise(&mut self, causes: u32) {
        self.interrupts.raise(causes);
    }

    /// Treats a receive queue as if it had no descriptors, or stops to.
    pub fn stall(&mut self, queue: u16, stalled: bool, host: &mut impl Host) {
        let bit = 1u128.checked_shl(u32::from(queue)).unwrap_or(0);
        if stalled {
            self.stalled |= bit;
        } else {
            self.stalled &= !bit;
        }
        self.pump(host);
    }

    /// Makes a transmit queue hang: the NIC fetches no descriptors of it until the
    /// next reset.
    pub fn hang(&mut self, queue: u16) {
        self.hung |= 1u128.checked_shl(u32::from(queue)).unwrap_or(0);
    }

    /// Truncates the next frame that needs more than `descriptors` descriptors, 1
    /// or more, to that number, as if a reset interrupted its DMA. The frame
    /// counts as delivered.
    pub fn truncate_next(&mut self, descriptors: usize) {
        self.cut = Some(descriptors);
    }

    /// Gives the next frame one more buffer, in which nothing is stored.
    pub fn empty_next(&mut self, buffer: EmptyBuffer) {
        self.empty = Some(buffer);
    }

    /// Advances the time of interrupt moderation and of the partner's pause.
    pub fn advance(&mut self, microseconds: u64, host: &mut impl Host) {
        self.now = self.now.saturating_add(microseconds);
        self.interrupts.advance(microseconds);
        if self.paused_until.is_some_and(|until| until <= self.now) {
            self.paused_until = None;
        }
        self.refresh_pause();
        self.pump(host);
    }

    /// Resumes transmission after frames were taken from a full wire.
    pub fn pump(&mut self, host: &mut impl Host) {
        self.pump_with(host);
    }

    pub(crate) fn pump_with(&mut self, host: &mut dyn Host) {
        self.drain(host);
        self.transmit_all(host);
    }

    /// Returns the violations of the driver.
    #[must_use]
    pub const fn violations(&self) -> &Violations {
        &self.violations
    }

    /// Clears the violations.
    pub fn clear_violations(&mut self) {
        self.violations.clear();
    }

    /// Returns the counters of frames.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the number of frames in the receive packet buffer.
    #[must_use]
    pub fn buffered_frames(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the number of descriptors of a queue that the NIC owns: from head
    /// to tail.
    #[must_use]
    pub fn owned(&self, direction: Direction, queue: u16) -> u32 {
        Ring::of(&self.registers, direction, queue).owned()
    }

    /// Checks that the model is consistent.
    ///
    /// # Errors
    /// Returns the inconsistency.
    pub fn invariants(&self) -> Result<(), InvariantError> {
        let (offered, accounted) = (self.counters.offered, self.counters.accounted());
        let buffered = self.buffer.len() as u64;
        if offered != accounted + buffered {
            return Err(InvariantError::Frames {
                offered,
                accounted,
                buffered,
            });
        }
        let owned = (0..QUEUES)
            .map(|queue| u64::from(self.owned(Direction::Receive, queue)))
            .sum();
        let watched = self.owned_buffers.count() as u64;
        if !self.ownership_unknown && watched != owned {
            return Err(InvariantError::Descriptors { watched, owned });
        }
        Ok(())
    }

    /// Returns whether the NIC may do DMA.
    pub(crate) fn has_bus(&self) -> bool {
        !self.registers.has(CTRL, CTRL_GIO_DIS)
    }

    fn change_link(&mut self, host: &mut dyn Host, change: impl FnOnce(&mut Self)) {
        let before = self.link_is_up();
        change(self);
        if self.link_is_up() != before {
            if !self.link_is_up() {
                self.paused_until = None;
            }
            self.interrupts.raise(EICR_LSC);
        }
        self.pump_with(host);
    }

    fn write_ctrl(&mut self, value: u32, host: &mut dyn Host) {
        let bits = value & (CTRL_RST | CTRL_LNK_RST);
        if bits == 0 {
            self.registers.set(CTRL, value);
            return self.pump_with(host);
        }
        let kind = if bits & CTRL_LNK_RST != 0 {
            Reset::Link
        } else {
            Reset::Device
        };
        self.reset_device(kind);
        self.resetting = (bits, self.reset_reads);
    }

    pub(crate) fn reset_device(&mut self, kind: Reset) {
        self.counters.resets += 1;
        self.counters.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffered_bytes = 0;
        self.owned_buffers.clear();
        self.ownership_unknown = false;
        self.contexts.fill([Context::default(); 2]);
        self.drops = 0;
        self.hung = 0;
        self.pause_waits = false;
        self.partner_paused = false;
        self.paused_until = None;
        self.interrupts.reset();
        reset(&mut self.registers, kind, &self.eeprom);
    }

    fn write_rxctrl(&mut self, value: u32) {
        self.registers.set(RXCTRL, value);
        let mac = self.registers.has(HLREG0, HLREG0_RXCRCSTRP);
        let dma = self.registers.has(RDRXCTL, RDRXCTL_CRCSTRIP);
        if value & RXCTRL_RXEN != 0 && mac != dma {
            self.violations.record(Violation::CrcStripDiffers);
        }
    }

    /// QDE: bits 14:8 are the queue, bit 0 its drop enable, bit 16 writes,
    /// bit 17 reads back.
    fn write_qde(&mut self, value: u32, host: &mut dyn Host) {
        let bit = 1u128 << (value >> 8 & 0x7F);
        if value & 1 << 16 != 0 {
            if value & 1 != 0 {
                self.drops |= bit;
            } else {
                self.drops &= !bit;
            }
        }
        let enabled = u32::from(self.drops & bit != 0);
        self.registers.set(QDE, value & !1 | enabled);
        self.pump_with(host);
    }

    /// Returns whether a receive queue is enabled.
    pub(crate) fn is_enabled(&self, queue: u16) -> bool {
        self.registers.has(rxdctl(queue), XDCTL_ENABLE)
    }

    /// Returns whether the link is up and the receiver enabled.
    pub(crate) fn can_receive(&self) -> bool {
        self.link_is_up()
            && self.registers.has(RXCTRL, RXCTRL_RXEN)
            && !self.registers.has(SECRXCTRL, SECRXCTRL_RX_DIS)
    }
}

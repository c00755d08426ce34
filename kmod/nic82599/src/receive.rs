//! The receive path: from the wire through filters and packet buffer to the
//! rings.
//!
//! Datasheet: chapter 7.1 (Receive Functionality). The packet buffer is one
//! first-in first-out queue: a frame whose ring has too few descriptors blocks
//! all frames behind it, on any ring, unless `SRRCTL.Drop_En` (or QDE) of its
//! queue drops it.

use core::mem;

use crate::checksum::fcs;
use crate::filter::{self, Passed};
use crate::flow_control::{self, Control, Word};
use crate::host::Host;
use crate::nic::{MAX_FRAME, Nic};
use crate::packet::Packet;
use crate::registers::{
    EICR_RX_MISS, FCRT_BYTES, FCRTL0, FCTRL, FCTRL_SBP, HLREG0, HLREG0_JUMBOEN, HLREG0_RXCRCSTRP,
    MAXFRS, MFLCN, MFLCN_DPF, MFLCN_PMCF, MFLCN_RFCE, MRQC, MRQC_MRQE, RXCSUM, RXCSUM_PCSD,
    RXDCTL_VME, RXPBSIZE_MASK, SRRCTL_BSIZEPACKET, SRRCTL_DROP_EN, VLNCTRL, rah, ral, rdh, rxdctl,
    rxpbsize, srrctl,
};
use crate::ring::Ring;
use crate::rss;
use crate::statistics;
use crate::transmit::Transmitted;
use crate::violation::{Direction, Violation};

/// Bytes of the frame check sequence.
const FCS: usize = 4;
/// The smallest frame and, without jumbo frames, the largest one without a
/// tag, in bytes with frame check sequence.
const SMALLEST: usize = 64;
const LARGEST: usize = 1518;

/// Status of the last descriptor of a frame: done, end of packet.
const DD: u32 = 1;
const EOP: u32 = 1 << 1;
/// VLAN packet.
const VP: u32 = 1 << 3;
/// UDP checksum calculated.
const UDPCS: u32 = 1 << 4;
/// Transport checksum looked at.
const L4I: u32 = 1 << 5;
/// IP checksum looked at.
const IPCS: u32 = 1 << 6;
/// Passed the multicast table's hash only.
const PIF: u32 = 1 << 7;

/// The receive errors of a frame. Errors of its length are not listed: the
/// model finds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameErrors {
    /// The frame check sequence is wrong (CRCERRS).
    pub crc: bool,
    /// A byte is illegal (ILLERRC, ERRBC).
    pub illegal_byte: bool,
    /// The length field is wrong (RLEC).
    pub length: bool,
    /// Bits to set in the status and error word of the last descriptor. With any
    /// error bit the frame is stored as if `FCTRL.SBP` were set.
    pub descriptor: u32,
}

impl FrameErrors {
    /// A frame without errors.
    pub const NONE: Self = Self {
        crc: false,
        illegal_byte: false,
        length: false,
        descriptor: 0,
    };
    /// Descriptor: IP checksum error.
    pub const IPE: u32 = 1 << 31;
    /// Descriptor: TCP or UDP checksum error (L4E).
    pub const L4E: u32 = 1 << 30;
    /// Descriptor: MAC error, the 82599's one bit for all of them. At the
    /// same place the 82598 has the undersize error (USE).
    pub const RXE: u32 = 1 << 29;
    /// Descriptor of the 82598: oversize error.
    pub const OSE: u32 = 1 << 28;
    /// Descriptor of the 82598: packet error.
    pub const PE: u32 = 1 << 27;
    /// Descriptor of the 82598: length error.
    pub const LE: u32 = 1 << 25;
    /// Descriptor of the 82598: CRC error.
    pub const CE: u32 = 1 << 24;

    /// All errors of a frame, in a descriptor.
    const FRAME: u32 = Self::RXE | Self::OSE | Self::PE | Self::LE | Self::CE;

    const fn any(self) -> bool {
        self.crc || self.illegal_byte || self.length
    }
}

/// The result of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It was written to host memory.
    Delivered {
        /// The number of the queue.
        queue: u16,
    },
    /// It is in the packet buffer, behind a queue without descriptors.
    Buffered {
        /// The frame's own queue.
        queue: u16,
    },
    /// It was dropped for want of descriptors (QPRDC).
    Dropped {
        /// The number of the queue.
        queue: u16,
    },
    /// Its queue is not enabled.
    QueueDisabled {
        /// The number of the queue.
        queue: u16,
    },
    /// The packet buffer had no room for it (RXMPC).
    Missed,
    /// It did not pass the filters.
    Filtered,
    /// It has an error and was discarded.
    Errored,
    /// It is a MAC control frame, which the MAC consumed.
    Control,
    /// The link is down or the receiver disabled.
    ReceiveDisabled,
}

/// The metadata of a frame in the packet buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo {
    queue: u16,
    tagged: Option<u16>,
    /// Bytes with frame check sequence.
    wire: u32,
    /// First and second word of the last descriptor.
    kind: u32,
    hash: u32,
    /// Status and errors of the last descriptor, without DD and EOP.
    status: u32,
}

/// The longest good frame, in bytes with frame check sequence.
const fn longest(hlreg0: u32, maxfrs: u32, tagged: bool) -> usize {
    let length = if hlreg0 & HLREG0_JUMBOEN != 0 {
        (maxfrs >> 16) as usize
    } else {
        LARGEST
    };
    length + if tagged { 4 } else { 0 }
}

/// The status of a packet's checksums, and their errors. UDPV is about the
/// checksum field of a first fragment: a complete datagram does not have it.
fn checksum_status(packet: &Packet) -> u32 {
    let ip = match packet.ip_checksum {
        None => 0,
        Some(true) => IPCS,
        Some(false) => IPCS | FrameErrors::IPE,
    };
    let udp = packet.l4 == crate::packet::L4::Udp;
    let l4 = match packet.l4_checksum {
        None => 0,
        Some(true) if udp => L4I | UDPCS,
        Some(false) if udp => L4I | UDPCS | FrameErrors::L4E,
        Some(true) => L4I,
        Some(false) => L4I | FrameErrors::L4E,
    };
    ip | l4
}

/// The place of a buffer in which nothing of a frame is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyBuffer {
    /// The first buffer of the frame.
    First,
    /// The last buffer of the frame.
    Last,
}

impl Nic {
    /// Receives a frame from the wire: from the destination address to the end
    /// of the padded payload, without frame check sequence. A frame that is
    /// buffered is delivered when its queue has descriptors.
    pub fn receive(&mut self, frame: &[u8], errors: FrameErrors, host: &mut impl Host) -> Received {
        self.receive_with(frame, errors, host)
    }

    fn receive_with(&mut self, frame: &[u8], errors: FrameErrors, host: &mut dyn Host) -> Received {
        self.counters.offered += 1;
        if !self.can_receive() {
            self.counters.receive_disabled += 1;
            return Received::ReceiveDisabled;
        }
        let wire = u32::try_from(frame.len() + FCS).unwrap_or(u32::MAX);
        statistics::arrived(&mut self.registers, wire);
        let packet = Packet::of(frame, (self.registers.get(VLNCTRL) & 0xFFFF) as u16);
        let destination = frame.first_chunk::<6>().copied();
        let passed = destination.and_then(|to| filter::address(to, &self.registers));
        let bad = self.count_errors(frame, errors, &packet, passed.is_some());
        let forced = errors.descriptor & FrameErrors::FRAME != 0;
        let stored = forced || self.registers.has(FCTRL, FCTRL_SBP);
        let Some(destination) = destination else {
            self.counters.errored += 1;
            return Received::Errored;
        };
        if bad && !stored || frame.len() + FCS > MAX_FRAME {
            self.counters.errored += 1;
            return Received::Errored;
        }
        let good = !bad && !forced;
        if good
            && let Some(control) = flow_control::parse(frame)
            && self.consume(control, host)
        {
            self.counters.control += 1;
            return Received::Control;
        }
        let passed = passed.filter(|_| filter::vlan(packet.vlan, &self.registers));
        let Some(passed) = passed else {
            self.counters.filtered += 1;
            return Received::Filtered;
        };
        if good {
            statistics::received(&mut self.registers, destination, wire);
        }
        let mut status = checksum_status(&packet);
        if status & (FrameErrors::IPE | FrameErrors::L4E) != 0 {
            self.registers.add(statistics::XEC, 1);
        }
        if passed == Passed::ByHash {
            status |= PIF;
        }
        if bad {
            status |= FrameErrors::RXE;
        }
        let info = self.classify(&packet, wire, status | errors.descriptor);
        self.enqueue(frame, info, host)
    }

    /// Counts the errors of a frame: those of its length only if it `passed` the
    /// address filter. Returns whether it has any.
    fn count_errors(
        &mut self,
        frame: &[u8],
        errors: FrameErrors,
        packet: &Packet,
        passed: bool,
    ) -> bool {
        let length = frame.len() + FCS;
        let (hlreg0, maxfrs) = (self.registers.get(HLREG0), self.registers.get(MAXFRS));
        let short = length < SMALLEST;
        let long = length > longest(hlreg0, maxfrs, packet.vlan.is_some());
        let mut count = |wrong: bool, counter| self.registers.add(counter, u32::from(wrong));
        count(passed && short && !errors.crc, statistics::RUC);
        count(passed && short && errors.crc, statistics::RFC);
        count(passed && long && !errors.crc, statistics::ROC);
        count(passed && long && errors.crc, statistics::RJC);
        count(errors.crc && !short, statistics::CRCERRS);
        count(errors.illegal_byte, statistics::ILLERRC);
        count(errors.illegal_byte, statistics::ERRBC);
        count(errors.length, statistics::RLEC);
        short || long || errors.any()
    }

    /// Handles a MAC control frame. Returns `false` if it goes to the host.
    fn consume(&mut self, control: Control, host: &mut dyn Host) -> bool {
        let mflcn = self.registers.get(MFLCN);
        let Control::Pause(quanta) = control else {
            return mflcn & MFLCN_PMCF == 0;
        };
        let counter = if quanta == 0 {
            statistics::LXONRXCNT
        } else {
            statistics::LXOFFRXCNT
        };
        self.registers.add(counter, 1);
        if mflcn & MFLCN_RFCE != 0 {
            self.paused_until =
                (quanta != 0).then(|| self.now.saturating_add(flow_control::duration(quanta)));
            self.transmit_all(host);
        }
        // DPF has no effect on a NIC that does not obey pause frames.
        mflcn & MFLCN_DPF != 0 && mflcn & MFLCN_RFCE != 0
    }

    /// Returns the queue of a frame, if it passes the filters.
    #[must_use]
    pub fn queue_of(&self, frame: &[u8]) -> u16 {
        let packet = Packet::of(frame, (self.registers.get(VLNCTRL) & 0xFFFF) as u16);
        self.classify(&packet, 0, 0).queue
    }

    /// Returns the queue and the descriptor fields of a frame.
    fn classify(&self, packet: &Packet, wire: u32, status: u32) -> FrameInfo {
        let mrqc = self.registers.get(MRQC);
        let scaled = if mrqc & MRQC_MRQE == rss::RSS_ONLY {
            rss::scale(packet, mrqc, &self.registers)
        } else {
            rss::Scaled::default()
        };
        // Without PCSD the word has a fragment's IP identification and
        // checksum, which is left at 0.
        let hash = if self.registers.has(RXCSUM, RXCSUM_PCSD) {
            scaled.hash
        } else {
            0
        };
        FrameInfo {
            queue: scaled.queue,
            tagged: packet.vlan,
            wire,
            kind: packet.descriptor_type() | scaled.kind,
            hash,
            status,
        }
    }

    /// Puts a frame into the packet buffer, and drains the buffer.
    fn enqueue(&mut self, frame: &[u8], info: FrameInfo, host: &mut dyn Host) -> Received {
        let queue = info.queue;
        if !self.is_enabled(queue) {
            self.violations
                .record(Violation::FrameForDisabledQueue { queue });
            self.counters
                .of_queue(queue, |counters| counters.queue_disabled += 1);
            return Received::QueueDisabled { queue };
        }
        let size = self.registers.get(rxpbsize(0)) & RXPBSIZE_MASK;
        if self.buffered_bytes.saturating_add(info.wire) > size || !self.buffer.push(frame, info) {
            self.counters.missed += 1;
            self.registers.add(statistics::RXMPC0, 1);
            self.interrupts.raise(EICR_RX_MISS);
            return Received::Missed;
        }
        self.buffered_bytes += info.wire;
        self.pause_partner();
        let last = self.drain(host);
        match last {
            Some(last) if self.buffer.len() == 0 => last,
            _ => Received::Buffered { queue },
        }
    }

    /// Removes frames from the packet buffer, in order, until one has to wait.
    /// Returns the result of the last one.
    pub(crate) fn drain(&mut self, host: &mut dyn Host) -> Option<Received> {
        let mut last = None;
        while let Some((length, info)) = self.buffer.front() {
            let Some(went) = self.forward(length, info, host) else {
                break;
            };
            self.buffer.pop();
            self.buffered_bytes -= info.wire;
            last = Some(went);
        }
        if last.is_some() {
            self.pause_partner();
        }
        last
    }

    fn forward(&mut self, length: usize, info: FrameInfo, host: &mut dyn Host) -> Option<Received> {
        let queue = info.queue;
        if !self.is_enabled(queue) {
            self.counters.flushed += 1;
            return Some(Received::QueueDisabled { queue });
        }
        if !self.has_bus() {
            return None;
        }
        let control = self.registers.get(srrctl(queue));
        let buffer = match (control & SRRCTL_BSIZEPACKET) as usize {
            0 => 2 * 1024,
            size => size * 1024,
        };
        let strips = self.registers.has(rxdctl(queue), RXDCTL_VME) && info.tagged.is_some();
        let keeps_fcs = !self.registers.has(HLREG0, HLREG0_RXCRCSTRP);
        let stored = length + if keeps_fcs { FCS } else { 0 } - if strips { 4 } else { 0 };
        let ring = Ring::of(&self.registers, Direction::Receive, queue);
        let stalled = self.stalled >> queue & 1 != 0;
        let empty = usize::from(self.empty.is_some());
        if stalled || stored.div_ceil(buffer) + empty > ring.owned() as usize {
            let drops = control & SRRCTL_DROP_EN != 0 || self.drops >> queue & 1 != 0;
            if !drops {
                return None;
            }
            statistics::queue_dropped(&mut self.registers, queue);
            self.counters
                .of_queue(queue, |counters| counters.dropped += 1);
            return Some(Received::Dropped { queue });
        }
        let mut scratch = mem::take(&mut self.scratch);
        self.buffer.copy(0, &mut scratch);
        if keeps_fcs {
            let sequence = fcs(&scratch[..length]);
            scratch[length..length + FCS].copy_from_slice(&sequence);
        }
        if strips {
            scratch.copy_within(16..stored + 4, 12);
        }
        let tag = info.tagged.filter(|_| strips).unwrap_or(0);
        self.deliver(&scratch[..stored], buffer, info, tag, host);
        self.scratch = scratch;
        Some(Received::Delivered { queue })
    }

    /// Writes a frame to its descriptors, of which there are enough.
    fn deliver(
        &mut self,
        frame: &[u8],
        buffer: usize,
        info: FrameInfo,
        tag: u16,
        host: &mut dyn Host,
    ) {
        let queue = info.queue;
        let ring = Ring::of(&self.registers, Direction::Receive, queue);
        let mut index = ring.head;
        let empty = self.empty.take();
        let none = |at| (empty == Some(at)).then_some(&frame[..0]);
        let parts = none(EmptyBuffer::First).into_iter();
        let parts = parts.chain(frame.chunks(buffer));
        let mut parts = parts.chain(none(EmptyBuffer::Last)).peekable();
        let cut = self.cut.take_if(|cut| frame.len().div_ceil(buffer) > *cut);
        let mut left = cut.unwrap_or(usize::MAX);
        while left > 0
            && let Some(part) = parts.next()
        {
            left -= 1;
            let descriptor = ring.address(index);
            let mut bytes = [0; 8];
            host.dma_read(descriptor, &mut bytes);
            let address = u64::from_le_bytes(bytes);
            if !self.owned_buffers.remove(address, queue) && !self.ownership_unknown {
                self.ownership_unknown = true;
                self.violations.record(Violation::ChangedWhileOwned {
                    queue,
                    index,
                    address,
                });
            }
            if address != 0 {
                host.dma_write(address, part);
            }
            let length = (part.len() & 0xFFFF) as u16;
            let (low, status, tag) = if parts.peek().is_none() {
                let packet = info.tagged.map_or(0, |_| VP);
                let low = u64::from(info.hash) << 32 | u64::from(info.kind);
                (low, info.status | packet | DD | EOP, tag)
            } else {
                (0, DD, 0)
            };
            let high = u64::from(tag) << 48 | u64::from(length) << 32 | u64::from(status);
            // The driver polls DD, so the half with DD is written last.
            host.dma_write(descriptor, &low.to_le_bytes());
            host.dma_write(descriptor + 8, &high.to_le_bytes());
            index = ring.next(index);
        }
        self.registers.set(rdh(queue), index);
        statistics::queue_received(&mut self.registers, queue, info.wire);
        self.counters
            .of_queue(queue, |counters| counters.delivered += 1);
        self.interrupts.queue_event(Direction::Receive, queue);
    }

    /// Sends XOFF again if the partner's pause ends soon and the packet buffer is
    /// still above its low mark.
    pub(crate) fn refresh_pause(&mut self) {
        let age = self.now.saturating_sub(self.partner_paused_at);
        let due = flow_control::refresh(&self.registers).is_some_and(|after| age >= after);
        let low = self.registers.get(FCRTL0) & FCRT_BYTES;
        if self.partner_paused && due && self.buffered_bytes > low {
            self.send_pause(Word::Xoff(flow_control::pause_time(&self.registers)));
        }
    }

    /// Sends XOFF or XON by the fill level of the packet buffer.
    pub(crate) fn pause_partner(&mut self) {
        let wanted =
            flow_control::wanted(&self.registers, self.buffered_bytes, self.partner_paused);
        self.pause_waits = false;
        if let Some(word) = wanted {
            self.send_pause(word);
        }
    }

    fn send_pause(&mut self, word: Word) {
        if !self.link_is_up() {
            return;
        }
        let (quanta, counter) = match word {
            Word::Xoff(quanta) => (quanta, statistics::LXOFFTXC),
            Word::Xon => (0, statistics::LXONTXC),
        };
        let [a, b, c, d] = self.registers.get(ral(0)).to_le_bytes();
        let [e, f, ..] = self.registers.get(rah(0)).to_le_bytes();
        let frame = flow_control::pause([a, b, c, d, e, f], quanta);
        let info = Transmitted {
            length: frame.len(),
            queue: None,
        };
        self.pause_waits = !self.wire.push(&frame, info);
        if !self.pause_waits {
            self.partner_paused = word != Word::Xon;
            self.partner_paused_at = self.now;
            self.counters.pauses_sent += 1;
            self.registers.add(counter, 1);
            let wire = u32::try_from(frame.len() + FCS).unwrap_or(u32::MAX);
            statistics::sent(&mut self.registers, flow_control::ADDRESS, wire);
        }
    }
}

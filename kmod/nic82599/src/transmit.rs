//! The transmit path: from the rings to the wire.
//!
//! Datasheet: chapter 7.2 (Transmit Functionality). A doorbell sends all that
//! can be sent before it returns. Descriptors with RS are written back at
//! once; WTHRESH, which allows the NIC to wait, is not used.

use core::mem;

use crate::host::Host;
use crate::nic::{MAX_FRAME, Nic};
use crate::offload::{self, Context};
use crate::registers::{
    DMATXCTL, DMATXCTL_TE, HLREG0, HLREG0_LPBK, HLREG0_TXPADEN, QUEUES, SECTXCTRL,
    TDWBAL_HEAD_WB_EN, tdh, tdwbah, tdwbal,
};
use crate::ring::Ring;
use crate::statistics;
use crate::tso::Plan;
use crate::violation::{BadTransmit, Direction, Violation};

const FCS: usize = 4;
/// The smallest frame, in bytes without frame check sequence.
const SMALLEST: usize = 60;
/// `SECTXCTRL.TX_DIS`.
const TX_DIS: u32 = 1 << 1;

/// A transmitted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmitted {
    /// Bytes, without frame check sequence.
    pub length: usize,
    /// Its queue, or `None` for a pause frame of the NIC.
    pub queue: Option<u16>,
}

/// An advanced transmit descriptor, as the driver wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Descriptor {
    bytes: [u8; 16],
}

impl Descriptor {
    fn read(address: u64, host: &mut dyn Host) -> Self {
        let mut bytes = [0; 16];
        host.dma_read(address, &mut bytes);
        Self { bytes }
    }

    const fn word(&self, at: usize) -> u32 {
        let bytes = &self.bytes;
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }

    fn address(&self) -> u64 {
        u64::from(self.word(4)) << 32 | u64::from(self.word(0))
    }

    const fn length(&self) -> usize {
        (self.word(8) & 0xFFFF) as usize
    }

    const fn is(&self, bit: u32) -> bool {
        self.word(8) >> bit & 1 != 0
    }

    const fn ends(&self) -> bool {
        self.is(24)
    }

    const fn reports(&self) -> bool {
        self.is(27)
    }

    const fn kind(&self) -> Kind {
        match (self.is(29), self.word(8) >> 20 & 0xF) {
            (false, _) => Kind::Legacy,
            (true, 2) => Kind::Context,
            (true, 3) => Kind::Data,
            (true, _) => Kind::Unknown,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Legacy,
    Context,
    Data,
    Unknown,
}

/// A complete packet in a ring.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Index of its first descriptor, and of the one after its last.
    first: u32,
    after: u32,
    /// Bytes in its buffers.
    total: usize,
    /// Whether any of its descriptors has RS.
    reports: bool,
}

/// Reads a packet's bytes from its buffers, one piece after another.
struct Gather {
    ring: Ring,
    index: u32,
    /// The index after the packet's last descriptor.
    after: u32,
    /// Bytes taken of the buffer at `index`.
    taken: usize,
}

impl Gather {
    fn fill(&mut self, mut into: &mut [u8], host: &mut dyn Host) {
        while !into.is_empty() {
            let descriptor = Descriptor::read(self.ring.address(self.index), host);
            let left = descriptor.length().saturating_sub(self.taken);
            if left == 0 {
                self.index = self.ring.next(self.index);
                self.taken = 0;
                if self.index == self.after {
                    // The driver has changed its descriptors meanwhile.
                    into.fill(0);
                    return;
                }
                continue;
            }
            let count = left.min(into.len());
            let (now, later) = into.split_at_mut(count);
            host.dma_read(descriptor.address() + self.taken as u64, now);
            self.taken += count;
            into = later;
        }
    }
}

impl Nic {
    /// Removes the oldest transmitted frame and copies it to `into`, which should
    /// have room for [`MAX_FRAME`] bytes: a longer frame is truncated.
    /// Call [`pump`](Self::pump) afterwards if the wire may have been full.
    pub fn take_transmitted(&mut self, into: &mut [u8]) -> Option<Transmitted> {
        let (_, frame) = self.wire.front()?;
        self.wire.copy(0, into);
        self.wire.pop();
        // Only then: with the low mark above the high one there would be
        // another one to send, for ever.
        if self.pause_waits {
            self.pause_partner();
        }
        Some(frame)
    }

    /// Returns the number of transmitted frames that were not taken yet.
    #[must_use]
    pub fn on_wire(&self) -> usize {
        self.wire.len()
    }

    pub(crate) fn transmit_all(&mut self, host: &mut dyn Host) {
        if self.may_transmit() {
            for queue in 0..QUEUES {
                self.transmit(queue, host);
            }
        }
    }

    fn may_transmit(&self) -> bool {
        self.link_is_up()
            && self.has_bus()
            && self.paused_until.is_none()
            && self.registers.has(DMATXCTL, DMATXCTL_TE)
            && !self.registers.has(SECTXCTRL, TX_DIS)
    }

    /// Transmits the packets of a queue, until one has to wait.
    pub(crate) fn transmit(&mut self, queue: u16, host: &mut dyn Host) {
        if !self.may_transmit() || self.hung >> queue & 1 != 0 {
            return;
        }
        let mut ring = Ring::of(&self.registers, Direction::Transmit, queue);
        while ring.owned() > 0 {
            let descriptor = Descriptor::read(ring.address(ring.head), host);
            let span = match descriptor.kind() {
                Kind::Context => {
                    let context = Context::from_bytes(&descriptor.bytes);
                    self.contexts[usize::from(queue)][context.index()] = context;
                    Span {
                        first: ring.head,
                        after: ring.next(ring.head),
                        total: 0,
                        reports: descriptor.reports(),
                    }
                }
                Kind::Legacy => self.step_over(queue, ring, BadTransmit::Legacy),
                Kind::Unknown => self.step_over(queue, ring, BadTransmit::Type),
                Kind::Data => match self.packet(queue, ring, host) {
                    Some(span) => span,
                    None => return,
                },
            };
            self.complete(queue, ring, span, host);
            ring.head = span.after;
        }
    }

    /// Skips an invalid descriptor at the head.
    fn step_over(&mut self, queue: u16, ring: Ring, why: BadTransmit) -> Span {
        self.note_bad(queue, ring, why);
        Span {
            first: ring.head,
            after: ring.next(ring.head),
            total: 0,
            reports: true,
        }
    }

    fn note_bad(&mut self, queue: u16, ring: Ring, why: BadTransmit) {
        self.violations.record(Violation::BadTransmit {
            queue,
            index: ring.head,
            why,
        });
    }

    /// Transmits the packet at the head, or records its error. Returns `None` if
    /// the packet is incomplete, or the wire has no room for it.
    fn packet(&mut self, queue: u16, ring: Ring, host: &mut dyn Host) -> Option<Span> {
        let (span, why) = match self.span(queue, ring, host)? {
            Ok(span) => match self.send(queue, ring, span, host) {
                Ok(true) => return Some(span),
                Ok(false) => return None,
                Err(why) => (span, why),
            },
            Err(bad) => bad,
        };
        self.note_bad(queue, ring, why);
        Some(span)
    }

    /// Returns the packet at the head, if it is complete, and its error.
    fn span(
        &mut self,
        queue: u16,
        ring: Ring,
        host: &mut dyn Host,
    ) -> Option<Result<Span, (Span, BadTransmit)>> {
        let mut span = Span {
            first: ring.head,
            after: ring.head,
            total: 0,
            reports: false,
        };
        let mut wrong = None;
        for _ in 0..ring.owned() {
            let descriptor = Descriptor::read(ring.address(span.after), host);
            if descriptor.kind() != Kind::Data {
                return Some(Err((span, BadTransmit::Type)));
            }
            if descriptor.length() == 0 {
                wrong = Some(BadTransmit::Empty);
            } else if descriptor.address() == 0 {
                self.violations.record(Violation::NullAddress {
                    direction: Direction::Transmit,
                    queue,
                    index: span.after,
                });
                wrong = Some(BadTransmit::Empty);
            }
            span.total += descriptor.length();
            span.reports |= descriptor.reports();
            span.after = ring.next(span.after);
            if descriptor.ends() {
                return Some(match wrong {
                    Some(why) => Err((span, why)),
                    None => Ok(span),
                });
            }
        }
        None
    }

    /// Transmits a packet. Returns `false` if the wire has no room for it.
    fn send(
        &mut self,
        queue: u16,
        ring: Ring,
        span: Span,
        host: &mut dyn Host,
    ) -> Result<bool, BadTransmit> {
        let first = Descriptor::read(ring.address(span.first), host);
        let options = first.word(12);
        let context = self.contexts[usize::from(queue)][(options >> 4 & 1) as usize];
        let popts = options >> 8 & 0x3F;
        let payload = (options >> 14) as usize;
        let tag = first.is(30).then_some(context.vlan());
        let mut gather = Gather {
            ring,
            index: span.first,
            after: span.after,
            taken: 0,
        };
        if !first.is(31) {
            if payload != span.total {
                return Err(BadTransmit::Length);
            }
            if span.total + 4 + FCS > MAX_FRAME {
                return Err(BadTransmit::TooLong);
            }
            if !self.wire.fits(1, span.total.max(SMALLEST) + 4) {
                return Ok(false);
            }
            let mut scratch = mem::take(&mut self.scratch);
            gather.fill(&mut scratch[..span.total], host);
            let result = offload::insert(&mut scratch[..span.total], &context, popts);
            if result.is_ok() {
                self.put_on_wire(&mut scratch, span.total, tag, queue);
            }
            self.scratch = scratch;
            return result.map(|()| true);
        }
        let plan = Plan::new(context, popts, span.total)?;
        if payload != plan.payload {
            return Err(BadTransmit::Length);
        }
        if plan.header + context.mss() + 4 + FCS > MAX_FRAME {
            return Err(BadTransmit::TooLong);
        }
        let bytes = plan.payload + plan.segments * (plan.header.max(SMALLEST) + 4);
        if !self.wire.fits(plan.segments, bytes) {
            return Ok(false);
        }
        let mut headers = [0; 1024];
        let headers = &mut headers[..plan.header];
        gather.fill(headers, host);
        let mut scratch = mem::take(&mut self.scratch);
        let mut result = Ok(true);
        for nth in 0..plan.segments {
            let segment = plan.segment(nth);
            let length = plan.header + segment.length;
            scratch[..plan.header].copy_from_slice(headers);
            gather.fill(&mut scratch[plan.header..length], host);
            let finished = plan.finish(&mut scratch[..length], segment, &self.registers);
            if let Err(why) = finished {
                result = Err(why);
                break;
            }
            self.put_on_wire(&mut scratch, length, tag, queue);
        }
        self.scratch = scratch;
        result
    }

    /// Tags, pads, counts and sends the first `length` bytes of `scratch`,
    /// which has room for more.
    fn put_on_wire(&mut self, scratch: &mut [u8], length: usize, tag: Option<u16>, queue: u16) {
        let mut length = length;
        if let Some(tag) = tag.filter(|_| length >= 12) {
            let kind = self.registers.get(DMATXCTL) >> 16;
            scratch.copy_within(12..length, 16);
            scratch[12..16].copy_from_slice(&(kind << 16 | u32::from(tag)).to_be_bytes());
            length += 4;
        }
        if self.registers.has(HLREG0, HLREG0_TXPADEN) && length < SMALLEST {
            scratch[length..SMALLEST].fill(0);
            length = SMALLEST;
        }
        let mut destination = [0; 6];
        destination.copy_from_slice(&scratch[..6]);
        let wire = u32::try_from(length + FCS).unwrap_or(u32::MAX);
        statistics::sent(&mut self.registers, destination, wire);
        statistics::queue_sent(&mut self.registers, queue, wire);
        self.counters.of_queue(queue, |counters| counters.sent += 1);
        // Loopback mode transmits nothing. The loopback is not modelled.
        if !self.registers.has(HLREG0, HLREG0_LPBK) {
            let info = Transmitted {
                length,
                queue: Some(queue),
            };
            self.wire.push(&scratch[..length], info);
        }
    }

    /// Reports a packet's or context's descriptors as done.
    fn complete(&mut self, queue: u16, ring: Ring, span: Span, host: &mut dyn Host) {
        self.registers.set(tdh(queue), span.after);
        if !span.reports {
            return;
        }
        let low = self.registers.get(tdwbal(queue));
        if low & TDWBAL_HEAD_WB_EN != 0 {
            let high = self.registers.get(tdwbah(queue));
            let address = u64::from(high) << 32 | u64::from(low & !3);
            host.dma_write(address, &span.after.to_le_bytes());
        } else {
            let mut index = span.first;
            while index != span.after {
                let address = ring.address(index);
                if Descriptor::read(address, host).reports() {
                    // Reserved, then status: DD, which comes last.
                    host.dma_write(address, &[0; 8]);
                    host.dma_write(address + 8, &(1u64 << 32).to_le_bytes());
                }
                index = ring.next(index);
            }
        }
        self.interrupts.queue_event(Direction::Transmit, queue);
    }
}

//! TCP segmentation: the headers of each segment.
//!
//! Datasheet: chapter 7.2.4 (TCP/UDP Segmentation); registers DTXTCPFLGL and
//! DTXTCPFLGH. UDP fragmentation by the NIC is not modelled.

use crate::offload::{
    Context, POPTS_IXSM, POPTS_TXSM, Transport, put_ip_checksum, put_transport_checksum,
};
use crate::registers::{DTXTCPFLGH, DTXTCPFLGL, Registers};
use crate::violation::BadTransmit;

/// A request to segment, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    context: Context,
    popts: u32,
    /// Bytes of headers that each segment repeats.
    pub header: usize,
    /// Bytes after the headers, of all segments.
    pub payload: usize,
    /// The number of segments.
    pub segments: usize,
}

/// One segment of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which, from 0.
    pub nth: usize,
    /// The offset of its payload in the payload of the packet.
    pub offset: usize,
    /// Bytes of its payload.
    pub length: usize,
}

impl Plan {
    /// Plans the segments of a packet of `total` bytes.
    ///
    /// # Errors
    /// If the context does not describe such a packet.
    pub fn new(context: Context, popts: u32, total: usize) -> Result<Self, BadTransmit> {
        let header = context.l4_offset() + context.l4_length();
        let smallest = if context.is_ipv4() { 20 } else { 40 };
        if context.transport() != Transport::Tcp {
            return Err(BadTransmit::NotModelled);
        }
        if context.mss() == 0
            || total <= header
            || context.mac_length() < 14
            || context.ip_length() < smallest
            || context.l4_length() < 20
        {
            return Err(BadTransmit::Segmentation);
        }
        let payload = total - header;
        Ok(Self {
            context,
            popts,
            header,
            payload,
            segments: payload.div_ceil(context.mss()),
        })
    }

    /// The segment `nth`, from 0 to `segments - 1`.
    #[must_use]
    pub fn segment(&self, nth: usize) -> Segment {
        let offset = nth * self.context.mss();
        Segment {
            nth,
            offset,
            length: self.context.mss().min(self.payload - offset),
        }
    }

    /// Makes the packet's headers those of `segment`, and puts the checksums
    /// in: `frame` is the headers as the driver gave them, then the segment's
    /// payload.
    ///
    /// The driver leaves the pseudo header's sum without length in the TCP
    /// checksum field; the NIC adds the length.
    ///
    /// # Errors
    /// As [`put_transport_checksum`].
    pub fn finish(
        &self,
        frame: &mut [u8],
        segment: Segment,
        registers: &Registers,
    ) -> Result<(), BadTransmit> {
        let context = &self.context;
        let (at, l4) = (context.mac_length(), context.l4_offset());
        let short = |value: usize| ((value & 0xFFFF) as u16).to_be_bytes();
        let length = context.l4_length() + segment.length;
        let ip = &mut frame[at..l4];
        let header = ip.len();
        if context.is_ipv4() {
            ip[2..4].copy_from_slice(&short(header + length));
            let id = u16::from_be_bytes([ip[4], ip[5]]);
            ip[4..6].copy_from_slice(&short(usize::from(id) + segment.nth));
            if self.popts & POPTS_IXSM != 0 {
                put_ip_checksum(ip);
            }
        } else {
            ip[4..6].copy_from_slice(&short(header - 40 + length));
        }
        let tcp = &mut frame[l4..];
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let sequence = sequence.wrapping_add((segment.offset & 0xFFFF_FFFF) as u32);
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        // Data offset (4 bits) is none of the 12 flag bits.
        let flags = self.flags(segment, registers) | 0xF000;
        let field = u16::from_be_bytes([tcp[12], tcp[13]]) & flags;
        tcp[12..14].copy_from_slice(&field.to_be_bytes());
        if self.popts & POPTS_TXSM != 0 {
            put_transport_checksum(tcp, Transport::Tcp, length as u64)?;
        }
        Ok(())
    }

    /// The TCP flags that this segment may have. The only segment is a last
    /// one.
    fn flags(&self, segment: Segment, registers: &Registers) -> u16 {
        let flags = if segment.nth + 1 == self.segments {
            registers.get(DTXTCPFLGH)
        } else if segment.nth == 0 {
            registers.get(DTXTCPFLGL)
        } else {
            registers.get(DTXTCPFLGL) >> 16
        };
        (flags & 0xFFF) as u16
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::checksum::{add, fold};
    use crate::offload::context_descriptor;
    use crate::packet::{L4, Packet};
    use std::vec::Vec;

    fn registers() -> Registers {
        let mut registers = Registers::new();
        registers.set(DTXTCPFLGL, 0x0F76_0FF6);
        registers.set(DTXTCPFLGH, 0x0000_0F7F);
        registers
    }

    fn context(ipv4: bool, mss: usize) -> Context {
        let ip = if ipv4 { 20 } else { 40 };
        let bytes = context_descriptor(0, (14, ip), ipv4, Transport::Tcp, (20, mss), 0);
        Context::from_bytes(&bytes)
    }

    /// Ethernet, IP and TCP headers as a driver leaves them for TSO.
    fn headers(ipv4: bool, flags: u8) -> Vec<u8> {
        let mut frame = Vec::from([2u8; 12]);
        let addresses = if ipv4 {
            frame.extend([8, 0, 0x45, 0, 0, 0, 0xFF, 0xFF, 0x40, 0, 64, 6, 0, 0]);
            Vec::from([10, 0, 0, 1, 10, 0, 0, 2])
        } else {
            frame.extend([0x86, 0xDD, 0x60, 0, 0, 0, 0, 0, 6, 64]);
            Vec::from([5; 32])
        };
        frame.extend(&addresses);
        let seed = fold(add(6, &addresses));
        frame.extend([0, 80, 1, 1, 0xFF, 0xFF, 0xFF, 0xF0, 0, 0, 0, 1]);
        frame.extend([0x50, flags, 4, 0]);
        frame.extend(seed.to_be_bytes());
        frame.extend([0, 0]);
        frame
    }

    #[test]
    fn segments_are_whole_packets() {
        let registers = registers();
        let payload: Vec<u8> = (0..=255).cycle().take(3000).collect();
        for ipv4 in [true, false] {
            let headers = headers(ipv4, 0x99);
            let l4 = headers.len() - 20;
            for mss in [1, 536, 1000, 1460, 2999, 3000, 9000] {
                let total = headers.len() + payload.len();
                let plan = Plan::new(context(ipv4, mss), 3, total).unwrap();
                assert_eq!(plan.segments, payload.len().div_ceil(mss));
                let mut joined: Vec<u8> = Vec::new();
                for nth in 0..plan.segments {
                    let segment = plan.segment(nth);
                    let data = &payload[segment.offset..segment.offset + segment.length];
                    let mut frame = [&headers[..], data].concat();
                    plan.finish(&mut frame, segment, &registers).unwrap();
                    let packet = Packet::of(&frame, 0x8100);
                    assert_eq!((packet.l4, packet.l4_checksum), (L4::Tcp, Some(true)));
                    assert_eq!(packet.ip_checksum, ipv4.then_some(true));
                    if ipv4 {
                        let id = u16::from_be_bytes([frame[18], frame[19]]);
                        assert_eq!(id, 0xFFFFu16.wrapping_add(u16::try_from(nth).unwrap()));
                    }
                    let sequence = u32::from_be_bytes(frame[l4 + 4..l4 + 8].try_into().unwrap());
                    let offset = u32::try_from(segment.offset).unwrap();
                    assert_eq!(sequence, 0xFFFF_FFF0u32.wrapping_add(offset));
                    // CWR only in the first, FIN and PSH only in the last.
                    let (first, last) = (nth == 0, nth + 1 == plan.segments);
                    let flags = match (first, last) {
                        (_, true) => 0x19,
                        (true, false) => 0x90,
                        (false, false) => 0x10,
                    };
                    assert_eq!(frame[l4 + 13], flags, "{nth} of {}", plan.segments);
                    assert_eq!(frame[l4 + 12], 0x50);
                    joined.extend(&frame[headers.len()..]);
                }
                assert_eq!(joined, payload);
            }
        }
    }

    #[test]
    fn what_cannot_be_cut() {
        use BadTransmit::{NotModelled, Segmentation};
        let of = |mac_ip, transport, l4_mss| {
            Context::from_bytes(&context_descriptor(0, mac_ip, true, transport, l4_mss, 0))
        };
        for (context, total, wrong) in [
            (context(true, 0), 100, Segmentation),
            (context(true, 1460), 54, Segmentation),
            (context(true, 1460), 0, Segmentation),
            (of((14, 20), Transport::Udp, (8, 100)), 200, NotModelled),
            (of((14, 19), Transport::Tcp, (20, 100)), 200, Segmentation),
            (of((14, 20), Transport::Tcp, (19, 100)), 200, Segmentation),
            (of((0, 20), Transport::Tcp, (20, 100)), 200, Segmentation),
        ] {
            assert_eq!(Plan::new(context, 3, total), Err(wrong));
        }
    }
}

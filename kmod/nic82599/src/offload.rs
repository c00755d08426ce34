//! Transmit offloads: checksums put into a frame by the context descriptor.
//!
//! Datasheet: chapter 7.2.5 (Transmit Checksum Offload) and the advanced
//! transmit context descriptor, chapter 7.2.3.2.3.

use crate::checksum::{add, crc32c, fold};
use crate::violation::BadTransmit;

/// POPTS of a data descriptor: insert the IP checksum.
pub const POPTS_IXSM: u32 = 1;
/// POPTS of a data descriptor: insert the TCP, UDP or SCTP checksum.
pub const POPTS_TXSM: u32 = 2;
/// POPTS of a data descriptor: IPsec.
pub const POPTS_IPSEC: u32 = 4;

/// Transport layer of a context (`L4T`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The value is 00b.
    Udp,
    /// The value is 01b.
    Tcp,
    /// The value is 10b.
    Sctp,
    /// The value is 11b.
    Reserved,
}

/// What an advanced context descriptor says. Lengths are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The four 32-bit words as the driver wrote them.
    words: [u32; 4],
}

impl Context {
    /// From the descriptor's bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let mut words = [0; 4];
        for (word, part) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
        }
        Self { words }
    }

    /// Which of the queue's two contexts it sets.
    #[must_use]
    pub const fn index(&self) -> usize {
        (self.words[3] >> 4 & 1) as usize
    }

    /// The tag that VLE inserts.
    #[must_use]
    pub const fn vlan(&self) -> u16 {
        (self.words[0] >> 16) as u16
    }

    /// Length of the Ethernet header.
    #[must_use]
    pub const fn mac_length(&self) -> usize {
        (self.words[0] >> 9 & 0x7F) as usize
    }

    /// Length of the IP header.
    #[must_use]
    pub const fn ip_length(&self) -> usize {
        (self.words[0] & 0x1FF) as usize
    }

    /// Whether the packet is IPv4.
    #[must_use]
    pub const fn is_ipv4(&self) -> bool {
        self.words[2] >> 10 & 1 != 0
    }

    /// The transport layer.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self.words[2] >> 11 & 3 {
            0 => Transport::Udp,
            1 => Transport::Tcp,
            2 => Transport::Sctp,
            _ => Transport::Reserved,
        }
    }

    /// Length of the transport header, for segmentation.
    #[must_use]
    pub const fn l4_length(&self) -> usize {
        (self.words[3] >> 8 & 0xFF) as usize
    }

    /// The largest payload of a segment.
    #[must_use]
    pub const fn mss(&self) -> usize {
        (self.words[3] >> 16) as usize
    }

    /// Where the transport header begins.
    #[must_use]
    pub const fn l4_offset(&self) -> usize {
        self.mac_length() + self.ip_length()
    }
}

/// Puts the checksums that `popts` asks for into an untagged frame.
///
/// The IP checksum counts its own field as zero. The TCP and UDP checksums
/// take the field as the driver left it as their seed: the pseudo header's
/// sum.
///
/// # Errors
/// What is wrong with the context or the request.
pub fn insert(frame: &mut [u8], context: &Context, popts: u32) -> Result<(), BadTransmit> {
    if popts & POPTS_IPSEC != 0 {
        return Err(BadTransmit::NotModelled);
    }
    let l4 = context.l4_offset();
    if popts & POPTS_IXSM != 0 {
        let ip = frame
            .get_mut(context.mac_length()..l4)
            .filter(|ip| context.is_ipv4() && ip.len() >= 20)
            .ok_or(BadTransmit::Headers)?;
        put_ip_checksum(ip);
    }
    if popts & POPTS_TXSM != 0 {
        let segment = frame
            .get_mut(l4..)
            .filter(|_| context.ip_length() >= 20)
            .ok_or(BadTransmit::Headers)?;
        put_transport_checksum(segment, context.transport(), 0)?;
    }
    Ok(())
}

/// The checksum of an IPv4 header of at least 20 bytes.
pub fn put_ip_checksum(ip: &mut [u8]) {
    ip[10..12].fill(0);
    let sum = !fold(add(0, ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The checksum of a transport header and its payload; `more` is added to the
/// seed in the field.
///
/// # Errors
/// If the segment is shorter than its header, or the transport is reserved.
pub fn put_transport_checksum(
    segment: &mut [u8],
    transport: Transport,
    more: u64,
) -> Result<(), BadTransmit> {
    let (header, at) = match transport {
        Transport::Tcp => (20, 16),
        Transport::Udp => (8, 6),
        Transport::Sctp => (12, 8),
        Transport::Reserved => return Err(BadTransmit::Headers),
    };
    if segment.len() < header {
        return Err(BadTransmit::Headers);
    }
    if transport == Transport::Sctp {
        segment[at..at + 4].fill(0);
        let sum = crc32c(segment);
        segment[at..at + 4].copy_from_slice(&sum);
        return Ok(());
    }
    let mut sum = !fold(add(more, segment));
    if transport == Transport::Udp && sum == 0 {
        // RFC 768: zero says that there is none.
        sum = 0xFFFF;
    }
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// A context descriptor's bytes.
#[cfg(test)]
pub fn context_descriptor(
    vlan: u16,
    mac_ip: (usize, usize),
    ipv4: bool,
    transport: Transport,
    l4_mss: (usize, usize),
    index: u32,
) -> [u8; 16] {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let l4t = match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Sctp => 2,
        Transport::Reserved => 3,
    };
    let words = [
        u32::from(vlan) << 16 | number(mac_ip.0) << 9 | number(mac_ip.1),
        0,
        1 << 29 | 2 << 20 | u32::from(ipv4) << 10 | l4t << 11,
        number(l4_mss.1) << 16 | number(l4_mss.0) << 8 | index << 4,
    ];
    let mut bytes = [0; 16];
    for (part, word) in bytes.chunks_exact_mut(4).zip(words) {
        part.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::packet::Packet;
    use std::vec::Vec;

    /// An IPv4 frame with a pseudo header's sum as seed.
    fn frame(protocol: u8, header: usize, at: usize, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::from([2u8; 12]);
        frame.extend([8, 0]);
        let length = u16::try_from(header + payload.len()).unwrap();
        let mut ip = Vec::from([0x45, 0, 0, 0, 1, 2, 0, 0, 64, protocol, 0xEE, 0xEE]);
        ip.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        ip[2..4].copy_from_slice(&(length + 20).to_be_bytes());
        let seed = fold(add(u64::from(protocol) + u64::from(length), &ip[12..20]));
        frame.extend(ip);
        let start = frame.len();
        frame.resize(start + header, 0);
        frame[start..start + 4].copy_from_slice(&[0, 80, 1, 1]);
        if at != 0 {
            frame[start + at..start + at + 2].copy_from_slice(&seed.to_be_bytes());
        }
        frame.extend(payload);
        frame
    }

    fn context(transport: Transport) -> Context {
        Context::from_bytes(&context_descriptor(
            7,
            (14, 20),
            true,
            transport,
            (20, 1460),
            1,
        ))
    }

    #[test]
    fn fields_of_a_context() {
        let context = context(Transport::Tcp);
        assert_eq!((context.vlan(), context.index()), (7, 1));
        assert_eq!((context.mac_length(), context.ip_length()), (14, 20));
        assert_eq!((context.l4_length(), context.mss()), (20, 1460));
        assert!(context.is_ipv4());
    }

    #[test]
    fn checksums_hold_that_were_inserted() {
        for (protocol, transport, header, at) in
            [(6, Transport::Tcp, 20, 16), (17, Transport::Udp, 8, 6)]
        {
            for payload in [&[][..], b"x", b"payload"] {
                for (popts, ip_holds, l4_holds) in
                    [(1, true, false), (2, false, true), (3, true, true)]
                {
                    let mut frame = frame(protocol, header, at, payload);
                    insert(&mut frame, &context(transport), popts).unwrap();
                    let packet = Packet::of(&frame, 0x8100);
                    assert_eq!(packet.ip_checksum, Some(ip_holds));
                    assert_eq!(packet.l4_checksum, Some(l4_holds));
                }
            }
        }
    }

    #[test]
    fn sctp() {
        let mut sctp = frame(132, 12, 0, b"abcd");
        insert(&mut sctp, &context(Transport::Sctp), 2).unwrap();
        let mut zeroed = sctp[34..].to_vec();
        zeroed[8..12].fill(0);
        assert_eq!(sctp[42..46], crc32c(&zeroed));
    }

    #[test]
    fn a_udp_sum_of_zero_is_sent_as_ones() {
        // The seed makes the sum 0xFFFF, whose complement is 0.
        let mut udp = frame(17, 8, 6, b"ab");
        let segment = &udp[34..];
        let rest = fold(add(0, segment));
        let seed = u16::from_be_bytes([segment[6], segment[7]]);
        let wanted = 0xFFFFu16.wrapping_sub(rest).wrapping_add(seed);
        udp[40..42].copy_from_slice(&wanted.to_be_bytes());
        insert(&mut udp, &context(Transport::Udp), 2).unwrap();
        assert_eq!(udp[40..42], [0xFF, 0xFF]);
    }

    #[test]
    fn what_cannot_be() {
        use BadTransmit::{Headers, NotModelled};
        let six = Context::from_bytes(&context_descriptor(
            0,
            (14, 20),
            false,
            Transport::Tcp,
            (0, 0),
            0,
        ));
        let far = Context::from_bytes(&context_descriptor(
            0,
            (127, 511),
            true,
            Transport::Tcp,
            (0, 0),
            0,
        ));
        for (context, popts, wrong) in [
            (context(Transport::Reserved), POPTS_TXSM, Headers),
            (context(Transport::Tcp), POPTS_IPSEC, NotModelled),
            (six, POPTS_IXSM, Headers),
            (far, POPTS_IXSM, Headers),
            (far, POPTS_TXSM, Headers),
            (Context::default(), POPTS_IXSM, Headers),
            (Context::default(), POPTS_TXSM, Headers),
        ] {
            let mut frame = frame(6, 20, 16, b"");
            assert_eq!(insert(&mut frame, &context, popts), Err(wrong));
        }
        let mut short = frame(6, 20, 16, b"")[..50].to_vec();
        assert_eq!(
            insert(&mut short, &context(Transport::Tcp), 2),
            Err(Headers)
        );
    }
}

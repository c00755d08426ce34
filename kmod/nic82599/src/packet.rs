//! The parser of received headers.
//!
//! Datasheet: chapter 7.1 (Receive Functionality): packet type, checksum
//! validation, fields for the RSS hash.

use crate::checksum::{add, fold};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// Network layer header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L3 {
    /// None that is known.
    #[default]
    None,
    /// IPv4, perhaps with options.
    V4 {
        /// Whether the header is longer than 20 bytes.
        options: bool,
    },
    /// IPv6, perhaps with extension headers.
    V6 {
        /// Whether an extension header follows.
        extensions: bool,
    },
}

/// Transport layer header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4 {
    /// None that is known, or a fragment.
    #[default]
    None,
    /// The protocol is TCP.
    Tcp,
    /// The protocol is UDP.
    Udp,
    /// The protocol is SCTP.
    Sctp,
}

/// A parsed frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Tag control information of the VLAN tag, if there is one.
    pub vlan: Option<u16>,
    /// The network layer header.
    pub l3: L3,
    /// The transport layer header.
    pub l4: L4,
    /// Source and destination address, `address` bytes each.
    pub addresses: [u8; 32],
    /// 0, 4 or 16.
    pub address: usize,
    /// Source and destination port, of TCP and UDP.
    pub ports: Option<[u8; 4]>,
    /// Whether the checksum of the IPv4 header is valid.
    pub ip_checksum: Option<bool>,
    /// Whether the TCP, UDP or SCTP checksum is valid, or `None` if it was not
    /// checked.
    pub l4_checksum: Option<bool>,
}

impl Packet {
    /// Parses a frame without frame check sequence. `vlan_type` is the EtherType
    /// of tags (`VLNCTRL.VET`).
    #[must_use]
    pub fn of(frame: &[u8], vlan_type: u16) -> Self {
        let mut packet = Self::default();
        let mut at = ETHERNET;
        let mut ether_type = word(frame, 12);
        if ether_type == Some(vlan_type) {
            packet.vlan = word(frame, 14);
            ether_type = word(frame, 16);
            at += 4;
        }
        match ether_type {
            Some(IPV4) => packet.ipv4(frame.get(at..).unwrap_or(&[])),
            Some(IPV6) => packet.ipv6(frame.get(at..).unwrap_or(&[])),
            _ => {}
        }
        packet
    }

    fn ipv4(&mut self, ip: &[u8]) {
        let Some(&first) = ip.first() else { return };
        let header = usize::from(first & 0xF) * 4;
        let total = usize::from(word(ip, 2).unwrap_or(0));
        if first >> 4 != 4 || header < 20 || total < header || ip.len() < total {
            return;
        }
        self.l3 = L3::V4 {
            options: header > 20,
        };
        self.ip_checksum = Some(fold(add(0, &ip[..header])) == 0xFFFF);
        self.set_addresses(&ip[12..20]);
        let fragment = word(ip, 6).unwrap_or(0) & 0x3FFF != 0;
        if !fragment {
            self.transport(ip[9], &ip[header..total]);
        }
    }

    fn ipv6(&mut self, ip: &[u8]) {
        let length = usize::from(word(ip, 4).unwrap_or(0));
        if ip.len() < 40 + length || ip[0] >> 4 != 6 {
            return;
        }
        self.set_addresses(&ip[8..40]);
        let mut next = ip[6];
        let mut rest = &ip[40..40 + length];
        let mut extensions = false;
        // Hop-by-hop, routing and destination options.
        while matches!(next, 0 | 43 | 60) {
            extensions = true;
            let Some((&following, size)) = rest.first().zip(rest.get(1)) else {
                break;
            };
            let Some(after) = rest.get(usize::from(*size) * 8 + 8..) else {
                break;
            };
            (next, rest) = (following, after);
        }
        // A fragment header ends it: no transport layer is looked at.
        extensions |= next == 44;
        self.l3 = L3::V6 { extensions };
        self.transport(next, rest);
    }

    fn set_addresses(&mut self, both: &[u8]) {
        self.addresses[..both.len()].copy_from_slice(both);
        self.address = both.len() / 2;
    }

    fn transport(&mut self, protocol: u8, segment: &[u8]) {
        let (l4, header) = match protocol {
            TCP => (L4::Tcp, 20),
            UDP => (L4::Udp, 8),
            SCTP => (L4::Sctp, 12),
            _ => return,
        };
        if segment.len() < header {
            return;
        }
        self.l4 = l4;
        if l4 == L4::Sctp {
            return;
        }
        self.ports = Some([segment[0], segment[1], segment[2], segment[3]]);
        if l4 == L4::Udp && word(segment, 6) == Some(0) {
            return;
        }
        let length = segment.len() as u64;
        let pseudo = add(
            u64::from(protocol) + (length & 0xFFFF) + (length >> 16),
            &self.addresses[..2 * self.address],
        );
        self.l4_checksum = Some(fold(add(pseudo, segment)) == 0xFFFF);
    }

    /// The packet type of an advanced receive descriptor, in bits 15:4.
    #[must_use]
    pub const fn descriptor_type(&self) -> u32 {
        let l3 = match self.l3 {
            L3::None => 0,
            L3::V4 { options: false } => 0x10,
            L3::V4 { options: true } => 0x30,
            L3::V6 { extensions: false } => 0x40,
            L3::V6 { extensions: true } => 0xC0,
        };
        let l4 = match self.l4 {
            L4::None => 0,
            L4::Tcp => 0x100,
            L4::Udp => 0x200,
            L4::Sctp => 0x400,
        };
        l3 | l4
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn ethernet(ether_type: u16, rest: &[u8]) -> Vec<u8> {
        let mut frame = Vec::from([2u8; 12]);
        frame.extend(ether_type.to_be_bytes());
        frame.extend(rest);
        frame
    }

    fn put_checksum(bytes: &mut [u8], at: usize, seed: u64) {
        let sum = !fold(add(seed, bytes));
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    fn v4(protocol: u8, options: usize, fragment: u16, segment: &[u8]) -> Vec<u8> {
        let header = 20 + options;
        let mut ip = Vec::from([0u8; 20]);
        ip.resize(header, 1);
        ip[0] = 0x40 | u8::try_from(header / 4).unwrap();
        ip[2..4].copy_from_slice(&u16::try_from(header + segment.len()).unwrap().to_be_bytes());
        ip[6..8].copy_from_slice(&fragment.to_be_bytes());
        ip[8] = 64;
        ip[9] = protocol;
        ip[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        put_checksum(&mut ip, 10, 0);
        ip.extend(segment);
        ip
    }

    fn segment(protocol: u8, addresses: &[u8], payload: usize) -> Vec<u8> {
        let (header, at) = if protocol == TCP { (20, 16) } else { (8, 6) };
        let mut segment = Vec::from([7u8; 64]);
        segment.resize(header + payload, 9);
        segment[at..at + 2].fill(0);
        let seed = u64::from(protocol) + segment.len() as u64;
        let seed = add(seed, addresses);
        put_checksum(&mut segment, at, seed);
        segment
    }

    const V4_PAIR: [u8; 8] = [10, 0, 0, 1, 10, 0, 0, 2];

    #[test]
    fn ipv4_types_and_checksums() {
        for (protocol, options, fragment, l4, kind, checked) in [
            (TCP, 0, 0, L4::Tcp, 0x110, Some(true)),
            (UDP, 0, 0, L4::Udp, 0x210, Some(true)),
            (TCP, 8, 0, L4::Tcp, 0x130, Some(true)),
            // The flag "do not fragment" is none.
            (TCP, 0, 0x4000, L4::Tcp, 0x110, Some(true)),
            (TCP, 0, 0x2000, L4::None, 0x10, None),
            (UDP, 0, 0x0010, L4::None, 0x10, None),
        ] {
            let ip = v4(protocol, options, fragment, &segment(protocol, &V4_PAIR, 3));
            let frame = ethernet(IPV4, &ip);
            let packet = Packet::of(&frame, 0x8100);
            assert_eq!((packet.l4, packet.l4_checksum), (l4, checked));
            assert_eq!(packet.descriptor_type(), kind);
            assert_eq!(packet.ip_checksum, Some(true));
            assert_eq!(packet.addresses[..8], V4_PAIR);
            // Padding is not part of it.
            let mut padded = frame.clone();
            padded.resize(frame.len() + 7, 0xEE);
            assert_eq!(Packet::of(&padded, 0x8100), packet);
            // A wrong byte in the payload, and one in the IP header.
            let mut wrong = frame.clone();
            *wrong.last_mut().unwrap() ^= 1;
            let broken = Packet::of(&wrong, 0x8100);
            assert_eq!(broken.l4_checksum, checked.map(|_| false));
            assert_eq!(broken.ip_checksum, Some(true));
            let mut wrong = frame;
            wrong[ETHERNET + 8] ^= 1;
            assert_eq!(Packet::of(&wrong, 0x8100).ip_checksum, Some(false));
        }
    }

    #[test]
    fn udp_without_checksum_is_not_checked() {
        let mut udp = segment(UDP, &V4_PAIR, 4);
        udp[6..8].fill(0);
        let packet = Packet::of(&ethernet(IPV4, &v4(UDP, 0, 0, &udp)), 0x8100);
        assert_eq!((packet.l4, packet.l4_checksum), (L4::Udp, None));
    }

    #[test]
    fn ipv6_with_and_without_extensions() {
        let pair = [3u8; 32];
        let tcp = segment(TCP, &pair, 5);
        for (next, between, kind, checked) in [
            (TCP, &[][..], 0x140, Some(true)),
            (0, &[TCP, 0, 0, 0, 0, 0, 0, 0], 0x1C0, Some(true)),
            (44, &[TCP, 0, 0, 1, 0, 0, 0, 0], 0xC0, None),
            (60, &[TCP, 200, 0, 0, 0, 0, 0, 0], 0xC0, None),
            (59, &[], 0x40, None),
        ] {
            let mut ip = Vec::from([0x60, 0, 0, 0, 0, 0, next, 64]);
            let length = u16::try_from(between.len() + tcp.len()).unwrap();
            ip[4..6].copy_from_slice(&length.to_be_bytes());
            ip.extend(pair);
            ip.extend(between);
            ip.extend(&tcp);
            let packet = Packet::of(&ethernet(IPV6, &ip), 0x8100);
            assert_eq!(packet.descriptor_type(), kind, "next header {next}");
            assert_eq!(packet.l4_checksum, checked);
            assert_eq!((packet.address, packet.ip_checksum), (16, None));
        }
    }

    #[test]
    fn a_tag_is_seen_by_its_type() {
        let ip = v4(UDP, 0, 0, &segment(UDP, &V4_PAIR, 4));
        let mut tagged = Vec::from(0x3123u16.to_be_bytes());
        tagged.extend(IPV4.to_be_bytes());
        tagged.extend(&ip);
        let frame = ethernet(0x8100, &tagged);
        let packet = Packet::of(&frame, 0x8100);
        assert_eq!((packet.vlan, packet.l4), (Some(0x3123), L4::Udp));
        assert_eq!(Packet::of(&frame, 0x88A8), Packet::default());
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        for ip in [
            v4(TCP, 0, 0, &segment(TCP, &V4_PAIR, 3)),
            v4(UDP, 12, 0, &segment(UDP, &V4_PAIR, 0)),
        ] {
            let frame = ethernet(IPV4, &ip);
            for length in 0..frame.len() {
                assert_eq!(Packet::of(&frame[..length], 0x8100).l4, L4::None);
                let mut six = frame[..length].to_vec();
                if length > 14 {
                    six[12..14].copy_from_slice(&IPV6.to_be_bytes());
                    six[14] = 0x60;
                }
                assert_eq!(Packet::of(&six, 0x8100).l4, L4::None);
            }
        }
    }
}

//! Receive-Side Scaling: from addresses and ports to a queue.
//!
//! Datasheet: chapter 7.1.2 (Rx Queues Assignment), Receive-Side Scaling;
//! registers MRQC, RSSRK, RETA. The hash is Toeplitz, as Microsoft specified.

use crate::packet::{L3, L4, Packet};
use crate::registers::{Registers, reta, rssrk};

/// `MRQC.MRQE` 0001b: RSS with one set of queues.
pub const RSS_ONLY: u32 = 1;

/// Bytes of the key in RSSRK.
const KEY: usize = 40;

/// RSS types of the advanced receive descriptor with the MRQC bit that
/// enables each.
mod field {
    pub const IPV4_TCP: (u32, u32) = (1, 1 << 16);
    pub const IPV4: (u32, u32) = (2, 1 << 17);
    pub const IPV6_TCP: (u32, u32) = (3, 1 << 21);
    pub const IPV6_EX: (u32, u32) = (4, 1 << 19);
    pub const IPV6: (u32, u32) = (5, 1 << 20);
    pub const IPV6_TCP_EX: (u32, u32) = (6, 1 << 18);
    pub const IPV4_UDP: (u32, u32) = (7, 1 << 22);
    pub const IPV6_UDP: (u32, u32) = (8, 1 << 23);
    pub const IPV6_UDP_EX: (u32, u32) = (9, 1 << 24);
}

/// The result of RSS for a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scaled {
    /// RSS type of the descriptor; 0: not hashed.
    pub kind: u32,
    /// The value of the hash.
    pub hash: u32,
    /// The queue, 0 without a hash.
    pub queue: u16,
}

/// The type to hash by and whether ports count, by MRQC's fields. The `EX`
/// types are taken for packets with extension headers; a home address or a
/// routing header's address is not looked for.
fn kind(packet: &Packet, mrqc: u32) -> Option<(u32, bool)> {
    use field::{
        IPV4, IPV4_TCP, IPV4_UDP, IPV6, IPV6_EX, IPV6_TCP, IPV6_TCP_EX, IPV6_UDP, IPV6_UDP_EX,
    };
    let candidates: &[((u32, u32), bool)] = match (packet.l3, packet.l4) {
        (L3::None, _) => &[],
        (L3::V4 { .. }, L4::Tcp) => &[(IPV4_TCP, true), (IPV4, false)],
        (L3::V4 { .. }, L4::Udp) => &[(IPV4_UDP, true), (IPV4, false)],
        (L3::V4 { .. }, _) => &[(IPV4, false)],
        (L3::V6 { extensions: false }, L4::Tcp) => {
            &[(IPV6_TCP, true), (IPV6, false), (IPV6_EX, false)]
        }
        (L3::V6 { extensions: false }, L4::Udp) => {
            &[(IPV6_UDP, true), (IPV6, false), (IPV6_EX, false)]
        }
        (L3::V6 { extensions: false }, _) => &[(IPV6, false), (IPV6_EX, false)],
        (L3::V6 { extensions: true }, L4::Tcp) => {
            &[(IPV6_TCP_EX, true), (IPV6_EX, false), (IPV6, false)]
        }
        (L3::V6 { extensions: true }, L4::Udp) => {
            &[(IPV6_UDP_EX, true), (IPV6_EX, false), (IPV6, false)]
        }
        (L3::V6 { extensions: true }, _) => &[(IPV6_EX, false), (IPV6, false)],
    };
    candidates
        .iter()
        .find(|((_, bit), _)| mrqc & bit != 0)
        .map(|((kind, _), ports)| (*kind, *ports))
}

/// The packet's hash and queue. `mrqc` is MRQC's value, with RSS on.
#[must_use]
pub fn scale(packet: &Packet, mrqc: u32, registers: &Registers) -> Scaled {
    let Some((kind, with_ports)) = kind(packet, mrqc) else {
        return Scaled::default();
    };
    let mut key = [0; KEY];
    for (nth, bytes) in (0..).zip(key.chunks_exact_mut(4)) {
        bytes.copy_from_slice(&registers.get(rssrk(nth)).to_le_bytes());
    }
    let ports = packet.ports.filter(|_| with_ports);
    let addresses = packet.addresses.iter().take(2 * packet.address);
    let hash = toeplitz(&key, addresses.chain(ports.iter().flatten()).copied());
    let entry = hash & 0x7F;
    let queue = registers.get(reta(entry / 4)) >> (8 * (entry % 4)) & 0xF;
    Scaled {
        kind,
        hash,
        queue: (queue & 0xF) as u16,
    }
}

/// The Toeplitz hash of at most 36 bytes of input.
#[must_use]
pub fn toeplitz(key: &[u8; KEY], input: impl Iterator<Item = u8>) -> u32 {
    let mut window = u32::from_be_bytes([key[0], key[1], key[2], key[3]]);
    let mut following = key[4..].iter().copied();
    let mut hash = 0;
    for byte in input {
        let next = following.next().unwrap_or(0);
        for bit in (0..8).rev() {
            if byte >> bit & 1 != 0 {
                hash ^= window;
            }
            window = window << 1 | u32::from(next >> bit & 1);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and vectors of Microsoft's "Verifying the RSS Hash
    /// Calculation".
    const KEY_BYTES: [u8; KEY] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn registers() -> Registers {
        let mut registers = Registers::new();
        for (nth, bytes) in (0..).zip(KEY_BYTES.chunks_exact(4)) {
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            registers.set(rssrk(nth), word);
        }
        for nth in 0..32 {
            registers.set(reta(nth), 0x0302_0100 + 0x0404_0404 * (nth % 4));
        }
        registers
    }

    fn v4(source: [u8; 4], destination: [u8; 4], ports: [u16; 2], l4: L4) -> Packet {
        let mut packet = Packet {
            l3: L3::V4 { options: false },
            l4,
            address: 4,
            ..Packet::default()
        };
        packet.addresses[..4].copy_from_slice(&source);
        packet.addresses[4..8].copy_from_slice(&destination);
        let [from, to] = ports.map(u16::to_be_bytes);
        packet.ports = Some([from[0], from[1], to[0], to[1]]);
        packet
    }

    #[test]
    fn vectors_for_ipv4() {
        let registers = registers();
        for (source, destination, ports, with_ports, without) in [
            (
                [66, 9, 149, 187],
                [161, 142, 100, 80],
                [2794, 1766],
                0x51cc_c178,
                0x323e_8fc2u32,
            ),
            (
                [199, 92, 111, 2],
                [65, 69, 140, 83],
                [14230, 4739],
                0xc626_b0ea,
                0xd718_262a,
            ),
            (
                [24, 19, 198, 95],
                [12, 22, 207, 184],
                [12898, 38024],
                0x5c2b_394a,
                0xd2d0_a5de,
            ),
            (
                [38, 27, 205, 30],
                [209, 142, 163, 6],
                [48228, 2217],
                0xafc7_327f,
                0x8298_9176,
            ),
            (
                [153, 39, 163, 191],
                [202, 188, 127, 2],
                [44251, 1303],
                0x10e8_28a2,
                0x5d18_09c5,
            ),
        ] {
            let packet = v4(source, destination, ports, L4::Tcp);
            let queue = |hash: u32| u16::try_from(hash & 0xF).unwrap();
            for (mrqc, kind, hash) in [
                (1 << 16, 1, with_ports),
                (3 << 16, 1, with_ports),
                (1 << 17, 2, without),
            ] {
                let queue = queue(hash);
                assert_eq!(
                    scale(&packet, mrqc, &registers),
                    Scaled { kind, hash, queue }
                );
            }
            let udp = v4(source, destination, ports, L4::Udp);
            assert_eq!(scale(&udp, 1 << 16, &registers), Scaled::default());
            assert_eq!(scale(&udp, 1 << 22, &registers).hash, with_ports);
            assert_eq!(scale(&udp, 3 << 16, &registers).hash, without);
        }
    }

    #[test]
    fn vectors_for_ipv6() {
        let registers = registers();
        let destination = [
            0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1,
        ];
        let source = [
            0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7,
        ];
        let mut packet = Packet {
            l3: L3::V6 { extensions: false },
            l4: L4::Tcp,
            address: 16,
            ports: Some([0x0a, 0xea, 0x06, 0xe6]),
            ..Packet::default()
        };
        packet.addresses[..16].copy_from_slice(&source);
        packet.addresses[16..].copy_from_slice(&destination);
        for (extensions, mrqc, kind, hash) in [
            (false, 1 << 21, 3, 0x4020_7d3d),
            (false, 1 << 20, 5, 0x2cc1_8cd5),
            (false, 1 << 19, 4, 0x2cc1_8cd5),
            (true, 1 << 18 | 1 << 21, 6, 0x4020_7d3d),
            (true, 1 << 19 | 1 << 20, 4, 0x2cc1_8cd5),
            (true, 1 << 21, 0, 0),
        ] {
            packet.l3 = L3::V6 { extensions };
            let scaled = scale(&packet, mrqc, &registers);
            assert_eq!((scaled.kind, scaled.hash), (kind, hash));
        }
    }
}

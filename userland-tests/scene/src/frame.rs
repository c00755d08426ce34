//! Frames of Ethernet's, as a machine at the other end of a wire makes them.

use alloc::vec::Vec;

/// An Ethernet address.
pub type Mac = [u8; 6];
/// An IPv4 address.
pub type Ip = [u8; 4];

/// Everyone.
pub const BROADCAST: Mac = [0xff; 6];
/// A type that is for experiments.
pub const EXPERIMENT: u16 = 0x88b5;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const UDP: u8 = 17;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 address.
    pub ip: Ip,
}

/// A frame that carries `payload`.
pub fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

fn arp(operation: u16, from: Station, to: Station) -> Vec<u8> {
    // Ethernet, IPv4, and the lengths of their addresses.
    let head = [0, 1, 8, 0, 6, 4];
    let operation = operation.to_be_bytes();
    [&head[..], &operation, &from.mac, &from.ip, &to.mac, &to.ip].concat()
}

/// Who has `ip`?
pub fn arp_request(from: Station, ip: Ip) -> Vec<u8> {
    let nobody = Station { mac: [0; 6], ip };
    ethernet(BROADCAST, from.mac, ARP, &arp(REQUEST, from, nobody))
}

/// `from` has.
pub fn arp_reply(from: Station, to: Station) -> Vec<u8> {
    ethernet(to.mac, from.mac, ARP, &arp(REPLY, from, to))
}

/// A datagram from a port to a port.
pub fn udp(from: (Station, u16), to: (Station, u16), payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let [source, target, length, none] = [from.1, to.1, length, 0].map(u16::to_be_bytes);
    let datagram = [&source[..], &target, &length, &none, payload].concat();
    let total = ((20 + datagram.len()) as u16).to_be_bytes();
    let mut head = [
        &[0x45, 0][..],
        &total,
        &[0, 0, 0, 0, 64, UDP, 0, 0],
        &from.0.ip,
        &to.0.ip,
    ]
    .concat();
    let sum = checksum(&head).to_be_bytes();
    head[10..12].copy_from_slice(&sum);
    ethernet(to.0.mac, from.0.mac, IPV4, &[head, datagram].concat())
}

/// The Internet checksum.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// What a frame says, as far as these tests care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Someone asks who has an address.
    ArpRequest(Station, Ip),
    /// Someone has an address.
    ArpReply(Station),
    /// A datagram: who, ports from and to, payload.
    Udp(Station, u16, u16, Vec<u8>),
    /// Something else.
    Other,
}

/// Reads a frame.
pub fn read(frame: &[u8]) -> Said {
    said(frame).unwrap_or(Said::Other)
}

fn said(frame: &[u8]) -> Option<Said> {
    let short = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    let station = |mac: usize, ip: usize| {
        Some(Station {
            mac: *frame.get(mac..)?.first_chunk()?,
            ip: *frame.get(ip..)?.first_chunk()?,
        })
    };
    match (short(12)?, frame.get(23)?) {
        (ARP, _) => match short(20)? {
            REQUEST => Some(Said::ArpRequest(
                station(22, 28)?,
                *frame.get(38..)?.first_chunk()?,
            )),
            REPLY => Some(Said::ArpReply(station(22, 28)?)),
            _ => None,
        },
        (IPV4, &UDP) => {
            let length = usize::from(short(38)?);
            let payload = frame.get(42..34 + length)?.to_vec();
            Some(Said::Udp(station(6, 26)?, short(34)?, short(36)?, payload))
        }
        _ => None,
    }
}

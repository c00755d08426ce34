//! Frames, as a machine at the other end of the wire makes them.

use alloc::vec::Vec;

/// An Ethernet address of that other machine.
pub const PEER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
const IPV4: u16 = 0x0800;
#[cfg(iflib)]
const TCP: u8 = 6;
const UDP: u8 = 17;
/// `EtherType` for experiments (IEEE Std 802).
const EXPERIMENT: u16 = 0x88b5;

/// A frame that is not IP's, with `length` bytes in all, 14 or more, that
/// differ from those of another `seed`.
pub fn raw(to: [u8; 6], length: usize, seed: u8) -> Vec<u8> {
    let mut frame = [&to[..], &PEER, &EXPERIMENT.to_be_bytes()].concat();
    let payload = (frame.len()..length).map(|at| at.to_le_bytes()[0].wrapping_mul(31) ^ seed);
    frame.extend(payload);
    frame
}

/// A UDP datagram without a checksum of its own (RFC 768), from the `flow`th
/// of many addresses.
pub fn udp(to: [u8; 6], flow: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let [source, target, length, none] = [4000, 5000, length, 0].map(u16::to_be_bytes);
    let datagram = [&source[..], &target, &length, &none, payload].concat();
    [
        &ethernet(to)[..],
        &ipv4(flow, UDP, datagram.len()),
        &datagram,
    ]
    .concat()
}

/// Bytes of the headers of what [`tcp`] makes.
#[cfg(iflib)]
pub const TCP_HEADERS: usize = 14 + 20 + 20;

/// A TCP segment (RFC 9293) with an acknowledgment, from the `flow`th of many
/// addresses. All checksums are right; the payload's length is even.
#[cfg(iflib)]
pub fn tcp(to: [u8; 6], flow: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let [source, target, window, none] = [4000, 5000, 0xffff, 0].map(u16::to_be_bytes);
    let (sequence, acknowledged) = (sequence.to_be_bytes(), 1_u32.to_be_bytes());
    let mut segment = [&source[..], &target, &sequence, &acknowledged].concat();
    // Five words of header; ACK.
    segment.extend([0x50, 0x10]);
    segment.extend([window, none, none].concat());
    segment.extend(payload);
    let head = ipv4(flow, TCP, segment.len());
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let pseudo = [&head[12..], &[0, TCP], &length.to_be_bytes(), &segment].concat();
    segment[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    [&ethernet(to)[..], &head, &segment].concat()
}

fn ethernet(to: [u8; 6]) -> Vec<u8> {
    [&to[..], &PEER, &IPV4.to_be_bytes()].concat()
}

/// The header of a packet with so many bytes of payload.
fn ipv4(flow: u16, protocol: u8, payload: usize) -> Vec<u8> {
    let total = u16::try_from(20 + payload).unwrap_or(u16::MAX);
    let [flow_high, flow_low] = flow.to_be_bytes();
    let mut head = [
        &[0x45, 0][..],
        &total.to_be_bytes(),
        &[0, 0, 0, 0, 64, protocol, 0, 0],
        &[10, 1, flow_high, flow_low],
        &[10, 2, 0, 1],
    ]
    .concat();
    let sum = checksum(&head).to_be_bytes();
    head[10..12].copy_from_slice(&sum);
    head
}

/// Which flow [`udp`] has made a datagram of.
pub fn flow(frame: &[u8]) -> Option<u16> {
    frame.get(28..30)?.try_into().ok().map(u16::from_be_bytes)
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded & 0xffff).unwrap_or(0)
}

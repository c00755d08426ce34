//! Frames of a machine at the other end of the wire.

use alloc::vec::Vec;

/// The Ethernet address of that machine.
pub const PEER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
const IPV4: u16 = 0x0800;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// `EtherType` for experiments (IEEE Std 802).
const EXPERIMENT: u16 = 0x88b5;

/// Makes a frame without an IP header, of `length` bytes, at least 14. Its
/// payload depends on `seed`.
#[must_use]
pub fn raw(to: [u8; 6], length: usize, seed: u8) -> Vec<u8> {
    let mut frame = [&to[..], &PEER, &EXPERIMENT.to_be_bytes()].concat();
    let payload = (frame.len()..length).map(|at| at.to_le_bytes()[0].wrapping_mul(31) ^ seed);
    frame.extend(payload);
    frame
}

/// The offset of the payload in a frame of [`udp`].
pub const UDP_PAYLOAD: usize = 14 + 20 + 8;

/// Makes a UDP datagram without a UDP checksum (RFC 768). The source address
/// depends on the flow.
#[must_use]
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

/// Sets the UDP checksum of a datagram of [`udp`], to a valid or an invalid
/// value.
pub fn set_udp_checksum(frame: &mut [u8], right: bool) {
    const SUM: usize = UDP_PAYLOAD - 2;
    let (Some(addresses), Some(datagram)) = (frame.get(26..34), frame.get(34..)) else {
        return;
    };
    // A checksum of 0 means that there is none (RFC 768).
    let sum = match transport_checksum(addresses, UDP, datagram) {
        0 => 0xffff,
        sum => sum,
    };
    let sum = if right { sum } else { sum ^ 0x0101 };
    if let Some(field) = frame.get_mut(SUM..SUM + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// Makes the checksum of the IP header invalid.
pub fn corrupt_ip_checksum(frame: &mut [u8]) {
    if let Some(byte) = frame.get_mut(25) {
        *byte ^= 1;
    }
}

/// The bytes before the number in a payload.
const MARK: &[u8] = b"kdk!";

/// Makes a payload with a number. It is padded for a frame of `length` bytes.
#[must_use]
pub fn payload(number: u32, length: usize) -> Vec<u8> {
    let mut payload = [MARK, &number.to_be_bytes()].concat();
    let filler = (0_u8..=255).cycle().map(|at| at ^ number.to_le_bytes()[0]);
    let more = length.saturating_sub(UDP_PAYLOAD + payload.len());
    payload.extend(filler.take(more));
    payload
}

/// Returns the number in the payload of a frame.
#[must_use]
pub fn number(frame: &[u8]) -> Option<u32> {
    let number = frame.get(UDP_PAYLOAD..)?.strip_prefix(MARK)?;
    number.first_chunk().copied().map(u32::from_be_bytes)
}

/// The length of the headers of a frame of [`tcp`].
pub const TCP_HEADERS: usize = 14 + 20 + 20;

/// Makes a TCP segment (RFC 9293) with the ACK flag and valid checksums. The
/// source address depends on the flow.
#[must_use]
pub fn tcp(to: [u8; 6], flow: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let [source, target, window, none] = [4000, 5000, 0xffff, 0].map(u16::to_be_bytes);
    let (sequence, acknowledged) = (sequence.to_be_bytes(), 1_u32.to_be_bytes());
    let mut segment = [&source[..], &target, &sequence, &acknowledged].concat();
    // Data offset: 5 words. Flags: ACK.
    segment.extend([0x50, 0x10]);
    segment.extend([window, none, none].concat());
    segment.extend(payload);
    let head = ipv4(flow, TCP, segment.len());
    let sum = transport_checksum(&head[12..], TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    [&ethernet(to)[..], &head, &segment].concat()
}

fn ethernet(to: [u8; 6]) -> Vec<u8> {
    [&to[..], &PEER, &IPV4.to_be_bytes()].concat()
}

/// Makes the IPv4 header of a packet with `payload` bytes of payload.
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

/// Moves a datagram that [`udp`] has made to another flow, without updating
/// its checksums.
pub fn set_flow(frame: &mut [u8], flow: u16) {
    if let Some(field) = frame.get_mut(28..30) {
        field.copy_from_slice(&flow.to_be_bytes());
    }
}

/// Returns the flow of a datagram of [`udp`].
#[must_use]
pub fn flow(frame: &[u8]) -> Option<u16> {
    frame.get(28..30)?.try_into().ok().map(u16::from_be_bytes)
}

/// Returns the checksum of a TCP segment or UDP datagram between two IPv4
/// addresses: it includes a pseudo-header (RFC 9293, 3.1).
fn transport_checksum(addresses: &[u8], protocol: u8, segment: &[u8]) -> u16 {
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    checksum(&[addresses, &[0, protocol], &length.to_be_bytes(), segment].concat())
}

/// Returns the Internet checksum (RFC 1071), which pads an odd number of bytes
/// with a zero.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u16::from_be_bytes([high, low]),
        [high] => u16::from_be_bytes([high, 0]),
        _ => 0,
    };
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(word(pair))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn sum_holds(bytes: &[u8]) -> bool {
        checksum(bytes) == 0
    }

    #[test]
    fn a_datagram_says_its_flow_and_its_number() {
        for (number, length) in [(0, 0), (7, 60), (0x0102_0304, 1514)] {
            let frame = udp(CARD, 300, &payload(number, length));
            assert_eq!(frame.len(), length.max(UDP_PAYLOAD + 8));
            assert_eq!(flow(&frame), Some(300));
            assert_eq!(super::number(&frame), Some(number));
        }
        assert_eq!(super::number(&raw(CARD, 100, 0)), None);
    }

    #[test]
    fn checksums_hold_or_do_not() {
        for length in [60, 61, 1000, 1513] {
            for right in [true, false] {
                let mut frame = udp(CARD, 5, &payload(1, length));
                assert!(sum_holds(&frame[14..34]));
                set_udp_checksum(&mut frame, right);
                let datagram = &frame[34..];
                let length = u16::try_from(datagram.len()).unwrap().to_be_bytes();
                let pseudo = [&frame[26..34], &[0, UDP], &length, datagram].concat();
                assert_eq!(sum_holds(&pseudo), right, "{length:?}");
            }
        }
        let mut frame = udp(CARD, 5, &[]);
        corrupt_ip_checksum(&mut frame);
        assert!(!sum_holds(&frame[14..34]));
    }
}

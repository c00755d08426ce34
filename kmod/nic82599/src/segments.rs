//! The order of TCP segments on a wire, by connection (RFC 9293). Segments that
//! are out of order here were so before the receiving NIC.

/// The most directions of connections that are tracked.
const FLOWS: usize = 16;
const IPV4: [u8; 2] = [0x08, 0x00];
const ETHERNET: usize = 14;
const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;

/// Counts of IPv4 segments with data, SYN or FIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentCounts {
    /// Segments in order, and the first of each connection.
    pub in_order: u64,
    /// Segments after a gap.
    pub out_of_order: u64,
    /// Segments with no new data: retransmissions.
    pub retransmitted: u64,
    /// Segments of connections that are not tracked.
    pub untracked: u64,
}

/// Addresses and ports, from and to.
type Key = [u8; 12];

struct Segment {
    key: Key,
    sequence: u32,
    /// The number of its sequence numbers.
    length: u32,
    flags: u8,
}

/// The segments of one direction of a wire. It never allocates.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    flows: [Option<(Key, u32)>; FLOWS],
    counts: SegmentCounts,
}

impl Segments {
    /// Makes an empty record.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            flows: [None; FLOWS],
            counts: SegmentCounts {
                in_order: 0,
                out_of_order: 0,
                retransmitted: 0,
                untracked: 0,
            },
        }
    }

    /// Returns the counts.
    #[must_use]
    pub const fn counts(&self) -> SegmentCounts {
        self.counts
    }

    /// Records a frame, without frame check sequence.
    pub fn record(&mut self, frame: &[u8]) {
        let Some(segment) = read(frame) else { return };
        if segment.length == 0 || segment.flags & RST != 0 {
            return;
        }
        let its = |place: &Option<(Key, u32)>| place.is_some_and(|(key, _)| key == segment.key);
        let place = match self.flows.iter().position(its) {
            Some(known) => Some(known),
            None => self.flows.iter().position(Option::is_none),
        };
        let Some(place) = place.and_then(|nth| self.flows.get_mut(nth)) else {
            self.counts.untracked += 1;
            return;
        };
        let end = segment.sequence.wrapping_add(segment.length);
        let begins = segment.flags & SYN != 0;
        let next = match place {
            Some((_, next)) if !begins => next,
            place => {
                *place = Some((segment.key, end));
                self.counts.in_order += 1;
                return;
            }
        };
        // Differences of sequence numbers are signed (RFC 9293, 3.4).
        if end.wrapping_sub(*next).cast_signed() <= 0 {
            self.counts.retransmitted += 1;
        } else if segment.sequence.wrapping_sub(*next).cast_signed() > 0 {
            self.counts.out_of_order += 1;
            *next = end;
        } else {
            self.counts.in_order += 1;
            *next = end;
        }
    }
}

/// Parses a TCP segment in an IPv4 datagram that is not a fragment.
fn read(frame: &[u8]) -> Option<Segment> {
    let ip = frame.get(ETHERNET..)?;
    let header = usize::from(*ip.first()? & 0xF) * 4;
    let word = |at: usize| Some(u16::from_be_bytes(*ip.get(at..)?.first_chunk()?));
    let is_whole = word(6)? & 0x3FFF == 0;
    if frame.get(12..ETHERNET)? != IPV4 || *ip.get(9)? != TCP || !is_whole {
        return None;
    }
    let tcp = ip.get(header..usize::from(word(2)?))?;
    let data = tcp.get(usize::from(*tcp.get(12)? >> 4) * 4..)?;
    let flags = *tcp.get(13)?;
    let mut key = [0; 12];
    key[..8].copy_from_slice(ip.get(12..20)?);
    key[8..].copy_from_slice(tcp.get(..4)?);
    let extra = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    Some(Segment {
        key,
        sequence: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
        length: u32::try_from(data.len()).ok()?.wrapping_add(extra),
        flags,
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const ACK: u8 = 1 << 4;

    /// A segment from a port, padded as short frames are.
    fn segment(port: u8, sequence: u32, flags: u8, data: usize) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 20 + data + 6];
        frame[12..14].copy_from_slice(&IPV4);
        frame[14] = 0x45;
        let total = u16::try_from(40 + data).unwrap();
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame[23] = TCP;
        frame[35] = port;
        frame[38..42].copy_from_slice(&sequence.to_be_bytes());
        frame[46] = 5 << 4;
        frame[47] = flags;
        frame
    }

    fn counts(frames: &[Vec<u8>]) -> (u64, u64, u64, u64) {
        let mut segments = Segments::new();
        for frame in frames {
            segments.record(frame);
        }
        let SegmentCounts {
            in_order,
            out_of_order,
            retransmitted,
            untracked,
        } = segments.counts();
        (in_order, out_of_order, retransmitted, untracked)
    }

    #[test]
    fn a_connection_in_order() {
        let start = u32::MAX - 100;
        let after = start.wrapping_add(1);
        let frames = [
            segment(1, start, SYN, 0),
            segment(1, after, ACK, 0),
            segment(1, after, ACK, 200),
            segment(1, after.wrapping_add(200), ACK, 10),
            segment(1, after.wrapping_add(210), FIN | ACK, 0),
            segment(1, after.wrapping_add(211), RST, 0),
            // Another connection of the same ports.
            segment(1, 5, SYN, 0),
            segment(1, 6, ACK, 1),
        ];
        assert_eq!(counts(&frames), (6, 0, 0, 0));
    }

    #[test]
    fn segments_out_of_order() {
        for (what, order, seen) in [
            ("in order", &[0, 1, 2][..], (3, 0, 0, 0)),
            ("two swapped", &[0, 2, 1], (1, 1, 1, 0)),
            ("the second last", &[0, 2, 3, 1], (2, 1, 1, 0)),
            ("one lost", &[0, 2], (1, 1, 0, 0)),
            ("retransmitted", &[0, 1, 1, 0, 2], (3, 0, 2, 0)),
        ] {
            let frames: Vec<_> = order
                .iter()
                .map(|nth| segment(1, 1000 * nth, ACK, 1000))
                .collect();
            assert_eq!(counts(&frames), seen, "{what}");
        }
    }

    #[test]
    fn partly_new_is_next() {
        let frames = [segment(1, 0, ACK, 100), segment(1, 50, ACK, 100)];
        assert_eq!(counts(&frames), (2, 0, 0, 0));
    }

    #[test]
    fn connections_are_apart_and_not_endless() {
        let ports = 0..=u8::try_from(FLOWS).unwrap();
        let frames: Vec<_> = ports
            .flat_map(|port| [segment(port, 0, ACK, 10), segment(port, 10, ACK, 10)])
            .collect();
        assert_eq!(counts(&frames), (2 * FLOWS as u64, 0, 0, 2));
    }

    #[test]
    fn other_frames_are_nothing() {
        let good = segment(1, 0, ACK, 10);
        for length in 0..good.len() - 6 {
            assert_eq!(counts(&[good[..length].to_vec()]).0, 0, "{length} bytes");
        }
        for (at, byte) in [
            (12, 0x86),
            (23, 17),
            (20, 0x20),
            (21, 1),
            (14, 0x4f),
            (46, 0xf0),
        ] {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(counts(&[other]), (0, 0, 0, 0), "byte {at}");
        }
    }
}

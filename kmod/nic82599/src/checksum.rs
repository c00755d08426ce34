//! Checksums of packets: the Internet checksum (RFC 1071), CRC-32 of
//! Ethernet (IEEE 802.3) and CRC-32C of SCTP (RFC 9260, appendix A).

/// Adds the 16-bit words of `bytes` to a running sum; the last odd byte is
/// padded with a zero.
#[must_use]
pub fn add(sum: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        sum + u64::from(u16::from_be_bytes([pair[0], low]))
    })
}

/// A running sum's 16-bit ones' complement sum.
#[must_use]
pub const fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    (sum & 0xFFFF) as u16
}

/// The Ethernet frame check sequence, in the order of the wire.
#[must_use]
pub fn fcs(frame: &[u8]) -> [u8; 4] {
    crc(frame, 0xEDB8_8320).to_le_bytes()
}

/// SCTP's checksum, in the order of the wire. The field itself counts as the
/// caller left it.
#[must_use]
pub fn crc32c(packet: &[u8]) -> [u8; 4] {
    crc(packet, 0x82F6_3B78).to_le_bytes()
}

/// A reflected CRC-32 with this reversed polynomial.
fn crc(bytes: &[u8], polynomial: u32) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (polynomial & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_the_rfc() {
        // RFC 1071, section 3.
        let words = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
        assert_eq!(fold(add(0, &words)), 0xDDF2);
        assert_eq!(fold(add(0, &[0x12])), 0x1200);
        assert_eq!(fold(add(u64::from(u16::MAX), &[])), 0xFFFF);
        assert_eq!(fold(0x0002_FFFF), 2);
    }

    #[test]
    fn crcs_of_the_check_string() {
        assert_eq!(u32::from_le_bytes(fcs(b"123456789")), 0xCBF4_3926);
        assert_eq!(u32::from_le_bytes(crc32c(b"123456789")), 0xE306_9283);
    }
}

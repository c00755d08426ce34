//! Statistics registers: counted in the register memory, cleared when read.
//!
//! Datasheet: chapter 8.2.3.23 (Statistic Registers). The two halves of an
//! octet count are cleared together, when the upper one is read.

use crate::registers::{QUEUE_COUNTERS, Registers, rqsmr, tqsm};

/// CRC Error Count.
pub const CRCERRS: u32 = 0x0_4000;
/// Illegal Byte Error Count.
pub const ILLERRC: u32 = 0x0_4004;
/// Error Byte Count.
pub const ERRBC: u32 = 0x0_4008;
/// MAC Short Packet Discard Count.
pub const MSPDC: u32 = 0x0_4010;
/// Rx Missed Packets Count of packet buffer 0 (the driver's MPC(0)).
pub const RXMPC0: u32 = 0x0_3FA0;
/// MAC Local Fault Count.
pub const MLFC: u32 = 0x0_4034;
/// MAC Remote Fault Count.
pub const MRFC: u32 = 0x0_4038;
/// Receive Length Error Count.
pub const RLEC: u32 = 0x0_4040;
/// Link XON Transmitted Count.
pub const LXONTXC: u32 = 0x0_3F60;
/// Link XOFF Transmitted Count.
pub const LXOFFTXC: u32 = 0x0_3F68;
/// Link XON Received Count.
pub const LXONRXCNT: u32 = 0x0_41A4;
/// Link XOFF Received Count.
pub const LXOFFRXCNT: u32 = 0x0_41A8;
/// Packets Received [64 bytes] Count, the first of six by size.
pub const PRC64: u32 = 0x0_405C;
/// Good Packets Received Count.
pub const GPRC: u32 = 0x0_4074;
/// Broadcast Packets Received Count.
pub const BPRC: u32 = 0x0_4078;
/// Multicast Packets Received Count.
pub const MPRC: u32 = 0x0_407C;
/// Good Packets Transmitted Count.
pub const GPTC: u32 = 0x0_4080;
/// Good Octets Received Count.
pub const GORC: u32 = 0x0_4088;
/// Good Octets Transmitted Count.
pub const GOTC: u32 = 0x0_4090;
/// Receive Undersize Count.
pub const RUC: u32 = 0x0_40A4;
/// Receive Fragment Count.
pub const RFC: u32 = 0x0_40A8;
/// Receive Oversize Count.
pub const ROC: u32 = 0x0_40AC;
/// Receive Jabber Count.
pub const RJC: u32 = 0x0_40B0;
/// Total Octets Received.
pub const TOR: u32 = 0x0_40C0;
/// Total Packets Received.
pub const TPR: u32 = 0x0_40D0;
/// Total Packets Transmitted.
pub const TPT: u32 = 0x0_40D4;
/// Packets Transmitted [64 bytes] Count, the first of six by size.
pub const PTC64: u32 = 0x0_40D8;
/// Multicast Packets Transmitted Count.
pub const MPTC: u32 = 0x0_40F0;
/// Broadcast Packets Transmitted Count.
pub const BPTC: u32 = 0x0_40F4;
/// XSUM Error Count.
pub const XEC: u32 = 0x0_4120;

/// Queue Packets Received Count (0..16).
#[must_use]
pub const fn qprc(n: u32) -> u32 {
    0x0_1030 + 0x40 * n
}
/// Queue Bytes Received Count, low half (0..16).
#[must_use]
pub const fn qbrc(n: u32) -> u32 {
    0x0_1034 + 0x40 * n
}
/// Queue Packets Received Drop Count (0..16).
#[must_use]
pub const fn qprdc(n: u32) -> u32 {
    0x0_1430 + 0x40 * n
}
/// Queue Packets Transmitted Count (0..16).
#[must_use]
pub const fn qptc(n: u32) -> u32 {
    0x0_6030 + 0x40 * n
}
/// Queue Bytes Transmitted Count, low half (0..16).
#[must_use]
pub const fn qbtc(n: u32) -> u32 {
    0x0_8700 + 8 * n
}

/// The effect of a read of a statistics register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnRead {
    /// Clears it.
    Clear,
    /// Nothing: the low half of an octet count.
    Keep,
    /// Clears it and the low half, `by` bytes before it.
    ClearBoth { by: u32 },
}

const fn on_read(offset: u32) -> Option<OnRead> {
    use OnRead::{Clear, ClearBoth, Keep};
    match offset {
        0x0_4088 | 0x0_4090 | 0x0_40C0 => Some(Keep),
        0x0_408C | 0x0_4094 | 0x0_40C4 => Some(ClearBoth { by: 4 }),
        0x0_8700..0x0_8780 => Some(if offset.is_multiple_of(8) {
            Keep
        } else {
            ClearBoth { by: 4 }
        }),
        0x0_1030..0x0_1800 => match (offset % 0x40, offset < 0x0_1430) {
            (0x30, _) => Some(Clear),
            (0x34, true) => Some(Keep),
            (0x38, true) => Some(ClearBoth { by: 4 }),
            _ => None,
        },
        0x0_6030..0x0_6400 => match offset % 0x40 {
            0x30 | 0x34 => Some(Clear),
            _ => None,
        },
        // MAC, by function; reserved offsets in between read as 0.
        0x0_4000..0x0_40F8
        | 0x0_4120
        | 0x0_4140..0x0_41C0
        // Packet buffers, flow control.
        | 0x0_3F00..0x0_3F6C
        | 0x0_3FA0..0x0_3FE0
        | 0x0_3240..0x0_3260
        | 0x0_CF00..0x0_CF20
        | 0x0_CF90
        // DMA, FCoE, flow director.
        | 0x0_2F50..0x0_2F80
        | 0x0_87A0..0x0_87B0
        | 0x0_241C | 0x0_2424..0x0_2430
        | 0x0_8780..0x0_8790
        | 0x0_5118
        | 0x0_EE50..0x0_EE60 => Some(Clear),
        _ => None,
    }
}

/// Reads a statistics register, if it is one.
pub fn read(registers: &mut Registers, offset: u32) -> Option<u32> {
    let what = on_read(offset)?;
    let value = registers.get(offset);
    match what {
        OnRead::Keep => {}
        OnRead::Clear => registers.set(offset, 0),
        OnRead::ClearBoth { by } => {
            registers.set(offset, 0);
            registers.set(offset - by, 0);
        }
    }
    Some(value)
}

/// Adds to an octet count, whose low half is at `offset`.
fn add_octets(registers: &mut Registers, offset: u32, octets: u32) {
    let (sum, carry) = registers.get(offset).overflowing_add(octets);
    registers.set(offset, sum);
    registers.add(offset + 4, u32::from(carry));
}

/// Which of six counters by size, for a length with frame check sequence.
const fn by_size(length: u32) -> u32 {
    match length {
        0..=64 => 0,
        65..=127 => 1,
        128..=255 => 2,
        256..=511 => 3,
        512..=1023 => 4,
        _ => 5,
    }
}

/// Counts a frame on the wire, good or not. Lengths include the frame check
/// sequence, here and below.
pub fn arrived(registers: &mut Registers, length: u32) {
    registers.add(TPR, 1);
    add_octets(registers, TOR, length);
}

/// Counts a good frame that passed the filters.
pub fn received(registers: &mut Registers, destination: [u8; 6], length: u32) {
    registers.add(GPRC, 1);
    add_octets(registers, GORC, length);
    registers.add(PRC64 + 4 * by_size(length), 1);
    if destination == [0xFF; 6] {
        registers.add(BPRC, 1);
    } else if destination[0] & 1 != 0 {
        registers.add(MPRC, 1);
    }
}

/// Counts a transmitted frame.
pub fn sent(registers: &mut Registers, destination: [u8; 6], length: u32) {
    registers.add(TPT, 1);
    registers.add(GPTC, 1);
    add_octets(registers, GOTC, length);
    registers.add(PTC64 + 4 * by_size(length), 1);
    if destination == [0xFF; 6] {
        registers.add(BPTC, 1);
    } else if destination[0] & 1 != 0 {
        registers.add(MPTC, 1);
    }
}

/// Returns the set of queue counters of a receive queue.
fn receive_set(registers: &Registers, queue: u16) -> u32 {
    set(registers.get(rqsmr(u32::from(queue) / 4)), queue)
}

/// Counts a frame of a receive queue.
pub fn queue_received(registers: &mut Registers, queue: u16, length: u32) {
    let set = receive_set(registers, queue);
    registers.add(qprc(set), 1);
    add_octets(registers, qbrc(set), length);
}

/// Counts a frame that was dropped for want of descriptors.
pub fn queue_dropped(registers: &mut Registers, queue: u16) {
    let set = receive_set(registers, queue);
    registers.add(qprdc(set), 1);
}

/// Counts a frame of a transmit queue.
pub fn queue_sent(registers: &mut Registers, queue: u16, length: u32) {
    let set = set(registers.get(tqsm(u32::from(queue) / 4)), queue);
    registers.add(qptc(set), 1);
    add_octets(registers, qbtc(set), length);
}

fn set(map: u32, queue: u16) -> u32 {
    map >> (8 * u32::from(queue % 4)) & (QUEUE_COUNTERS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::{FDIRCTRL, FDIRMATCH, FDIRUSTAT};

    #[test]
    fn reads_clear() {
        for offset in [
            CRCERRS,
            ILLERRC,
            ERRBC,
            MSPDC,
            RXMPC0,
            RXMPC0 + 28,
            MLFC,
            MRFC,
            RLEC,
            LXONTXC,
            LXOFFTXC,
            LXONRXCNT,
            LXOFFRXCNT,
            PRC64,
            PRC64 + 20,
            GPRC,
            BPRC,
            MPRC,
            GPTC,
            RUC,
            RFC,
            ROC,
            RJC,
            TPR,
            TPT,
            PTC64,
            PTC64 + 20,
            MPTC,
            BPTC,
            XEC,
            qprc(0),
            qprc(15),
            qprdc(0),
            qprdc(15),
            qptc(0),
            qptc(15),
            FDIRUSTAT,
            FDIRMATCH,
            // PXONTXC, PXOFFTXC, PXONRXCNT, PXOFFRXCNT, PXON2OFFCNT, MNGPRC,
            // MNGPDC, MNGPTC.
            0x0_3F00,
            0x0_3F3C,
            0x0_4140,
            0x0_417C,
            0x0_3240,
            0x0_325C,
            0x0_40B4,
            0x0_40B8,
            0x0_CF90,
        ] {
            let mut registers = Registers::new();
            registers.set(offset, 7);
            assert_eq!(read(&mut registers, offset), Some(7), "{offset:#x}");
            assert_eq!(read(&mut registers, offset), Some(0), "{offset:#x}");
        }
    }

    #[test]
    fn octets_are_cleared_by_their_upper_half() {
        for (low, count) in [(GORC, 1), (GOTC, 1), (TOR, 1), (qbrc(0), 16), (qbtc(0), 16)] {
            for nth in 0..count {
                let step = if low == qbrc(0) { 0x40 } else { 8 };
                let low = low + step * nth;
                let mut registers = Registers::new();
                registers.set(low, u32::MAX);
                add_octets(&mut registers, low, 2);
                for (offset, value) in [(low, 1), (low, 1), (low + 4, 1), (low, 0), (low + 4, 0)] {
                    assert_eq!(read(&mut registers, offset), Some(value), "{offset:#x}");
                }
            }
        }
    }

    #[test]
    fn others_are_left_alone() {
        for offset in [
            0, 0x0_1010, 0x0_1438, 0x0_4240, 0x0_6028, 0x0_8600, FDIRCTRL,
        ] {
            assert_eq!(read(&mut Registers::new(), offset), None, "{offset:#x}");
        }
    }

    #[test]
    fn sizes() {
        for (length, nth) in [
            (60, 0),
            (64, 0),
            (65, 1),
            (127, 1),
            (128, 2),
            (255, 2),
            (256, 3),
            (511, 3),
            (512, 4),
            (1023, 4),
            (1024, 5),
            (9018, 5),
        ] {
            let mut registers = Registers::new();
            received(&mut registers, [2; 6], length);
            sent(&mut registers, [2; 6], length);
            for size in 0..6 {
                let expected = u32::from(size == nth);
                assert_eq!(registers.get(PRC64 + 4 * size), expected, "{length}");
                assert_eq!(registers.get(PTC64 + 4 * size), expected, "{length}");
            }
        }
    }

    #[test]
    fn casts() {
        for (destination, broadcasts, multicasts) in
            [([2; 6], 0, 0), ([3; 6], 0, 1), ([0xFF; 6], 1, 0)]
        {
            let mut registers = Registers::new();
            received(&mut registers, destination, 64);
            sent(&mut registers, destination, 64);
            for (broadcast, multicast) in [(BPRC, MPRC), (BPTC, MPTC)] {
                assert_eq!(registers.get(broadcast), broadcasts);
                assert_eq!(registers.get(multicast), multicasts);
            }
        }
    }

    #[test]
    fn queues_count_where_they_are_mapped() {
        let mut registers = Registers::new();
        // Queue 5 counts in set 9, all others in set 0.
        registers.set(rqsmr(1), 0x0900);
        registers.set(tqsm(1), 0x0900);
        for queue in [5, 6, 127] {
            queue_received(&mut registers, queue, 100);
            queue_dropped(&mut registers, queue);
            queue_sent(&mut registers, queue, 100);
        }
        for (set, count) in [(9, 1), (0, 2), (1, 0)] {
            for counter in [qprc, qprdc, qptc] {
                assert_eq!(registers.get(counter(set)), count);
            }
            for octets in [qbrc, qbtc] {
                assert_eq!(registers.get(octets(set)), 100 * count);
            }
        }
    }
}

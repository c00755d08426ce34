//! IEEE 802.3x link flow control: sent and received pause frames.
//!
//! Datasheet: chapter 3.7.7 (Flow Control); registers FCCFG, FCRTH, FCRTL,
//! FCTTV, FCRTV, MFLCN, TFCS. Priority flow control is not modelled.

use crate::registers::{
    FCCFG, FCCFG_TFCE_802_3X, FCRT_BYTES, FCRTH_FCEN, FCRTH0, FCRTL_XONE, FCRTL0, FCRTV, FCTTV0,
    Registers,
};

/// Destination of pause frames.
pub const ADDRESS: [u8; 6] = [0x01, 0x80, 0xC2, 0, 0, 1];
/// EtherType of MAC control frames.
pub const ETHER_TYPE: u16 = 0x8808;
/// Nanoseconds of a pause quantum (512 bit times) at 10 Gb/s, times 5.
const QUANTUM_FIFTHS_NS: u64 = 256;
/// Bytes of a pause frame, without frame check sequence.
pub const FRAME: usize = 60;

/// A MAC control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A pause frame, with its quanta; 0 is XON.
    Pause(u16),
    /// Any other control frame.
    Other,
}

/// Parses a MAC control frame.
#[must_use]
pub fn parse(frame: &[u8]) -> Option<Control> {
    let word = |at: usize| {
        let pair = frame.get(at..at + 2)?;
        Some(u16::from_be_bytes([pair[0], pair[1]]))
    };
    if word(12)? != ETHER_TYPE {
        return None;
    }
    match (word(14), word(16)) {
        (Some(1), Some(quanta)) if frame.starts_with(&ADDRESS) => Some(Control::Pause(quanta)),
        _ => Some(Control::Other),
    }
}

/// A pause frame from `source`.
#[must_use]
pub fn pause(source: [u8; 6], quanta: u16) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&ADDRESS);
    frame[6..12].copy_from_slice(&source);
    frame[12..14].copy_from_slice(&ETHER_TYPE.to_be_bytes());
    frame[15] = 1;
    frame[16..18].copy_from_slice(&quanta.to_be_bytes());
    frame
}

/// Converts `quanta` at 10 Gb/s to microseconds, rounded up.
#[must_use]
pub fn duration(quanta: u16) -> u64 {
    (u64::from(quanta) * QUANTUM_FIFTHS_NS).div_ceil(5000)
}

/// A pause frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Pause for this number of quanta.
    Xoff(u16),
    /// Resume the transmission (XON).
    Xon,
}

/// Returns the pause frame to send when `used` bytes are in the packet buffer.
/// `paused` is whether XOFF was sent last.
#[must_use]
pub fn wanted(registers: &Registers, used: u32, paused: bool) -> Option<Word> {
    let high = registers.get(FCRTH0);
    let on = registers.has(FCCFG, FCCFG_TFCE_802_3X) && high & FCRTH_FCEN != 0;
    let low = registers.get(FCRTL0);
    if !paused && on && used > high & FCRT_BYTES {
        Some(Word::Xoff(pause_time(registers)))
    } else if paused && low & FCRTL_XONE != 0 && used <= low & FCRT_BYTES {
        Some(Word::Xon)
    } else {
        None
    }
}

/// Returns the quanta of XOFF.
#[must_use]
pub fn pause_time(registers: &Registers) -> u16 {
    (registers.get(FCTTV0) & 0xFFFF) as u16
}

/// Returns the time after which XOFF is sent again, in microseconds, while the
/// packet buffer is not empty enough for XON. The partner still waits then.
/// `None`: it is sent once.
#[must_use]
pub fn refresh(registers: &Registers) -> Option<u64> {
    let [time, threshold] = [FCTTV0, FCRTV].map(|register| registers.get(register) & 0xFFFF);
    let quanta = u16::try_from(time.checked_sub(threshold)?).ok()?;
    (quanta != 0 && threshold != 0).then(|| duration(quanta))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn xoff_is_repeated_before_it_ends() {
        for (time, threshold, after) in [
            (0x680, 0x340, Some(43)),
            (0xFFFF, 0x7FFF, Some(1678)),
            (0x680, 0, None),
            (0x680, 0x680, None),
            (0x340, 0x680, None),
            (0, 0, None),
        ] {
            let mut registers = Registers::new();
            registers.set(FCTTV0, time << 16 | time);
            registers.set(FCRTV, threshold);
            assert_eq!(refresh(&registers), after, "{time:#x} {threshold:#x}");
        }
    }

    #[test]
    fn pause_frames_are_read_as_written() {
        for quanta in [0, 1, 0xFFFF] {
            let frame = pause([2; 6], quanta);
            assert_eq!(parse(&frame), Some(Control::Pause(quanta)));
            let mut other = frame;
            other[15] = 2;
            assert_eq!(parse(&other), Some(Control::Other));
            let mut other = frame;
            other[0] = 2;
            assert_eq!(parse(&other), Some(Control::Other));
            let mut other = frame;
            other[12] = 8;
            other[13] = 0;
            assert_eq!(parse(&other), None);
            assert_eq!(parse(&frame[..13]), None);
            assert_eq!(parse(&frame[..16]), Some(Control::Other));
        }
    }

    #[test]
    fn durations() {
        for (quanta, microseconds) in [(0, 0), (1, 1), (20, 2), (0x680, 86), (0xFFFF, 3356)] {
            assert_eq!(duration(quanta), microseconds, "{quanta}");
        }
    }

    #[test]
    fn xoff_above_the_high_and_xon_below_the_low_mark() {
        let on = (FCCFG_TFCE_802_3X, FCRTH_FCEN | 0x1000, FCRTL_XONE | 0x800);
        for ((fccfg, fcrth, fcrtl), used, paused, sent) in [
            (on, 0x1000, false, None),
            (on, 0x1001, false, Some(Word::Xoff(0x680))),
            (on, 0x2000, true, None),
            (on, 0x801, true, None),
            (on, 0x800, true, Some(Word::Xon)),
            (on, 0x800, false, None),
            ((0, on.1, on.2), 0x2000, false, None),
            ((on.0, 0x1000, on.2), 0x2000, false, None),
            ((on.0, on.1, 0x800), 0, true, None),
        ] {
            let mut registers = Registers::new();
            registers.set(FCCFG, fccfg);
            registers.set(FCRTH0, fcrth);
            registers.set(FCRTL0, fcrtl);
            registers.set(FCTTV0, 0x0680_0680);
            assert_eq!(wanted(&registers, used, paused), sent, "{used:#x} {paused}");
        }
    }
}

//! Two NICs, back to back.

use super::{Card, Setup, assert_no_violations, frame, leave, running, until};
use crate::kpi::interface::Tap;
use crate::kpi::nic::Wire;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};

/// The number of frames in each direction: more than a ring has descriptors.
const FRAMES: u16 = 3000;

/// Each NIC receives what the other transmits, in order.
pub fn both_ways() -> TestResult {
    let cards = [running(&Setup::nth(0))?, running(&Setup::nth(1))?];
    let wire = Wire::between(&cards[0], &cards[1])?;
    let [one, other] = &cards;
    let mut taps = [one.interface().tap()?, other.interface().tap()?];
    for nth in 0..FRAMES {
        send(one, other, nth)?;
        send(other, one, nth)?;
        // Wait, so that no ring overflows.
        if nth % 64 == 63 {
            arrived(&mut taps, &cards, nth - 63..nth + 1)?;
        }
    }
    arrived(&mut taps, &cards, FRAMES / 64 * 64..FRAMES)?;
    drop(taps);
    for card in &cards {
        assert_no_violations(card);
    }
    drop(wire);
    let [one, other] = cards;
    leave(one)?;
    leave(other)
}

fn payload(to: &Card, nth: u16) -> Vec<u8> {
    let length = 60 + usize::from(nth) % 1455;
    let mut frame = frame::raw(to.address(), length, nth.to_le_bytes()[0]);
    frame[14..16].copy_from_slice(&nth.to_be_bytes());
    frame
}

fn send(from: &Card, to: &Card, nth: u16) -> TestResult {
    Ok(from.interface().transmit(&payload(to, nth))?)
}

fn arrived(
    taps: &mut [Tap; 2],
    cards: &[Card; 2],
    expected: core::ops::Range<u16>,
) -> Result<(), Stop> {
    for (tap, card) in taps.iter_mut().zip(cards) {
        for nth in expected.clone() {
            let tapped = until("a frame does not arrive", || tap.take())?;
            assert_eq!(tapped.bytes, payload(card, nth), "frame {nth}");
        }
    }
    Ok(())
}

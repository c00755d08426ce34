//! The frames that the stack receives.

use super::quiesce::quiesce;
use super::{Card, until};
use crate::kpi::interface::{Tap, Tapped};
use kdk_harness::{Stop, TestResult};

/// Returns the next frame, and checks its metadata.
pub fn next(tap: &mut Tap) -> Result<Tapped, Stop> {
    let tapped = until("a frame does not reach the stack", || tap.take())?;
    assert_eq!(
        tapped.header,
        tapped.bytes.len(),
        "bytes by the packet header, and in the chain"
    );
    assert!(tapped.mine, "a frame of another interface");
    Ok(tapped)
}

/// Asserts that the next frame is this one.
pub fn expect(tap: &mut Tap, frame: &[u8]) -> TestResult {
    let tapped = next(tap)?;
    let differs = tapped.bytes.iter().zip(frame).position(|(a, b)| a != b);
    assert!(
        tapped.bytes.len() == frame.len() && differs.is_none(),
        "{} bytes instead of {}, the first that differs is {differs:?}",
        tapped.bytes.len(),
        frame.len()
    );
    Ok(())
}

/// Asserts that the driver has no more frames of these queues for the stack.
pub fn nothing_more(card: &Card, queues: &[u16], tap: &mut Tap) -> TestResult {
    quiesce(card, queues)?;
    let more = tap.take();
    assert!(more.is_none(), "a frame too many: {more:?}");
    assert_eq!(tap.lost(), 0, "frames that the tap had no room for");
    Ok(())
}

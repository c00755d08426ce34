//! Frames that the driver finds in a ring all at once, before it has looked.

use super::Card;
use super::quiesce::{bits, quiesce};
use kdk_harness::TestResult;
use kdk_nic82599::registers::{EIMC_EX, EIMS_EX};
use kdk_nic82599::{FrameErrors, Received};

/// Frames come in for these queues while their interrupts are masked, as their
/// driver would mask them; each has to be delivered. Then the interrupts are
/// unmasked: there is one for each queue, and none for any of these frames
/// later.
pub fn receive_batch<F: AsRef<[u8]>>(
    card: &Card,
    queues: &[u16],
    frames: &[(F, FrameErrors)],
) -> TestResult {
    quiesce(card, queues)?;
    let bits = bits(queues);
    card.with(|nic, memory| nic.write(EIMC_EX[0], bits, memory));
    for (nth, (frame, errors)) in frames.iter().enumerate() {
        match card.receive(frame.as_ref(), *errors) {
            Received::Delivered { queue } if queues.contains(&queue) => {}
            other => panic!("frame {nth} of a batch was {other:?}"),
        }
    }
    card.with(|nic, memory| nic.write(EIMS_EX[0], bits, memory));
    Ok(())
}

/// As [`receive_batch`], of good frames for queue 0.
#[cfg(iflib)]
pub fn receive_good<F: AsRef<[u8]>>(card: &Card, frames: &[F]) -> TestResult {
    let frames = frames.iter().map(|frame| (frame, FrameErrors::NONE));
    receive_batch(card, &[0], &frames.collect::<alloc::vec::Vec<_>>())
}

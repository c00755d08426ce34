//! Batches of frames that the driver finds in a ring at once.

use super::Card;
use super::quiesce::{bits, quiesce};
use kdk_harness::TestResult;
use kdk_nic82599::registers::{EIMC_EX, EIMS_EX};
use kdk_nic82599::{FrameErrors, Received};

/// Injects frames for these queues while their interrupts are masked. Each frame
/// has to be delivered. Then unmasks the interrupts, so that each queue has one
/// interrupt for all of its frames.
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

/// Injects a batch of good frames for queue 0: see [`receive_batch`].
#[cfg(iflib)]
pub fn receive_good<F: AsRef<[u8]>>(card: &Card, frames: &[F]) -> TestResult {
    let frames = frames.iter().map(|frame| (frame, FrameErrors::NONE));
    receive_batch(card, &[0], &frames.collect::<alloc::vec::Vec<_>>())
}

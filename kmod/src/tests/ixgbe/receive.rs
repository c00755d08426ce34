//! From the wire to the stack.

use super::{Setup, frame, leave, queues, running, until};
use alloc::collections::BTreeSet;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::{FrameErrors, Received};

/// Flows that are tried until each queue has had one.
const FLOWS: u16 = 512;

/// A frame on each queue of the card's reaches the stack, byte for byte.
pub fn each_queue() -> TestResult {
    let queues = queues() as usize;
    let card = running(&Setup::nth(0))?;
    let mut tap = card.interface().tap()?;
    let mut used = BTreeSet::new();
    for flow in 0..FLOWS {
        let frame = frame::udp(card.address(), flow, b"a datagram for one of the queues");
        match card.receive(&frame, FrameErrors::NONE) {
            Received::Delivered { queue } => used.insert(queue),
            other => panic!("flow {flow} was {other:?}"),
        };
        let tapped = until("a frame does not reach the stack", || tap.take())?;
        assert_eq!(tapped.bytes, frame, "of flow {flow}");
        if used.len() == queues {
            break;
        }
    }
    if used.len() < queues {
        return Err(Stop::Fail("no flow falls on one of the queues"));
    }
    drop(tap);
    leave(card)
}

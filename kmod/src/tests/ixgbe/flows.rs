//! Flows of datagrams, one for each queue of a NIC.

use super::{Card, frame, until};
use crate::kpi::interface::Tap;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::{FrameErrors, Received};

/// The number of flows that are tried to find one for each queue.
const TRIED: u16 = 512;
/// An odd factor, so that the flows differ in every bit of their number. Flows that
/// differ in nine bits are all on the same of two queues if nine bits of the
/// random RSS key are 0.
const SPREAD: u16 = 0x9e37;
/// Padding, which makes a frame long enough for Ethernet.
const PADDING: &[u8] = &[0x5a; 28];

/// Finds flows of which the `n`th is on queue `n`, until the next initialization
/// of the interface. The tap has to be empty, and is empty afterwards.
///
/// # Errors
/// Fails if a queue has no flow.
pub fn of_each_queue(card: &Card, tap: &mut Tap, queues: usize) -> Result<Vec<Flow>, Stop> {
    let mut found = Vec::new();
    found.resize_with(queues, || None);
    for number in (0..TRIED).map(|tried| tried.wrapping_mul(SPREAD)) {
        let mut flow = Flow::new(number);
        match flow.send(card) {
            Received::Delivered { queue } => {
                flow.arrived(tap)?;
                if let Some(slot) = found.get_mut(usize::from(queue)) {
                    slot.get_or_insert(flow);
                }
            }
            other => panic!("flow {number} was {other:?}"),
        }
        if found.iter().all(Option::is_some) {
            return Ok(found.into_iter().flatten().collect());
        }
    }
    Err(Stop::Fail("no flow falls on one of the queues"))
}

/// A flow, and its frames that have to arrive.
pub struct Flow {
    number: u16,
    sent: u32,
    due: Vec<Vec<u8>>,
}

impl Flow {
    fn new(number: u16) -> Self {
        Self {
            number,
            sent: 0,
            due: Vec::new(),
        }
    }

    /// Injects the next frame. It has to arrive if the NIC delivers or buffers
    /// it.
    pub fn send(&mut self, card: &Card) -> Received {
        let payload = [&self.sent.to_be_bytes()[..], PADDING].concat();
        let frame = frame::udp(card.address(), self.number, &payload);
        self.sent += 1;
        let received = card.receive(&frame, FrameErrors::NONE);
        if let Received::Delivered { .. } | Received::Buffered { .. } = received {
            self.due.push(frame);
        }
        received
    }

    /// Waits for all frames of this flow that have to arrive, and no other.
    pub fn arrived(&mut self, tap: &mut Tap) -> TestResult {
        all_arrived(core::slice::from_mut(self), tap)
    }

    fn has(&self, frame: &[u8]) -> bool {
        frame::flow(frame) == Some(self.number)
    }
}

/// Waits for all frames that have to arrive, those of a flow in order. No other
/// frame may arrive.
pub fn all_arrived(flows: &mut [Flow], tap: &mut Tap) -> TestResult {
    while flows.iter().any(|flow| !flow.due.is_empty()) {
        let tapped = until("a frame does not reach the stack", || tap.take())?;
        let flow = flows.iter_mut().find(|flow| flow.has(&tapped.bytes));
        let Some(flow) = flow.filter(|flow| !flow.due.is_empty()) else {
            panic!("a frame that was not sent: {:?}", tapped.bytes);
        };
        assert_eq!(tapped.bytes, flow.due.remove(0), "of flow {}", flow.number);
    }
    Ok(())
}

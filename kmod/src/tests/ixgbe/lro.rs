//! Large receive offload (LRO): the driver joins TCP segments in order.

use super::batch::receive_batch;
use super::tap::{next, nothing_more};
use super::{Setup, frame, leave, queues, running};
use alloc::vec::Vec;
use kdk_harness::TestResult;
use kdk_nic82599::FrameErrors;

const SEQUENCE: u32 = 1000;
/// The payload of a segment.
const BYTES: u32 = 600;
/// The number of segments that the driver finds at once.
const SEGMENTS: u32 = 4;

/// The stack receives segments that the driver finds together as one packet. The
/// packets of another flow in between are not part of it.
pub fn joins() -> TestResult {
    let card = running(&Setup::nth(0))?;
    card.interface().set_lro(true)?;
    let mut tap = card.interface().tap()?;
    let queues: Vec<u16> = (0..).take(queues() as usize).collect();
    let payload = |nth: u32| [0x30 + nth.to_le_bytes()[0]; BYTES as usize];
    let segment = |flow: u16, nth: u32| {
        let frame = frame::tcp(card.address(), flow, SEQUENCE + BYTES * nth, &payload(nth));
        (frame, FrameErrors::NONE)
    };
    for round in 0..3 {
        let numbers = round * SEGMENTS..(round + 1) * SEGMENTS;
        let segments: Vec<_> = numbers
            .clone()
            .flat_map(|nth| [segment(1, nth), segment(2, nth)])
            .collect();
        receive_batch(&card, &queues, &segments)?;
        let sent: Vec<u8> = numbers.flat_map(payload).collect();
        let mut flows = Vec::new();
        for _ in 0..2 {
            let tapped = next(&mut tap)?;
            assert_eq!(
                tapped.bytes.len() - frame::TCP_HEADERS,
                sent.len(),
                "bytes of {SEGMENTS} segments that are joined"
            );
            assert!(
                tapped.bytes.ends_with(&sent),
                "other bytes than sent in round {round}"
            );
            flows.extend(frame::flow(&tapped.bytes));
        }
        flows.sort_unstable();
        assert_eq!(flows, [1, 2], "one packet of each flow");
        nothing_more(&card, &queues, &mut tap)?;
    }
    drop(tap);
    leave(card)
}

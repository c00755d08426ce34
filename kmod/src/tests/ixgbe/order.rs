//! The order of frames.

use super::scenario::{Failure, Scenario, run};
use crate::kpi::notes::note;
use crate::kpi::seed::seed;
use kdk_harness::{Stop, TestResult};
use kdk_nic_oracle::{Mix, generate};

/// The number of operations in each half of a run.
const OPERATIONS: usize = 200;

/// The stack receives every flow in order, each frame once, and every frame that
/// the NIC did not discard. The frames are of many flows, in bursts and single,
/// while the test joins and leaves groups, brings the interface down and up,
/// disconnects the cable, fills queues, and moderates interrupts. The second
/// half uses large receive offload.
pub fn order() -> TestResult {
    let seed = seed().ok_or(Stop::Fail("the host has set no kdk.seed"))?;
    for (half, lro) in [(0, false), (1, true)] {
        let seed = seed.wrapping_add(half);
        let mut scenario = Scenario::new(seed, Mix::ORDER);
        scenario.setup.card.moderation = true;
        scenario.lro = lro;
        match run(&scenario, &generate(seed, OPERATIONS, Mix::ORDER)) {
            Ok(summary) => note("summary", &summary),
            Err(Failure::Stop(stop)) => return Err(stop),
            Err(Failure::Check(what)) => panic!("{what}"),
        }
    }
    Ok(())
}

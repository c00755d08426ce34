//! The order of frames.

use super::scenario::{Failure, Scenario, run};
use crate::kpi::notes::note;
use crate::kpi::seed::seed;
use kdk_harness::{Stop, TestResult};
use kdk_nic_oracle::{Mix, generate};

/// What happens in each half of a run.
const OPERATIONS: usize = 200;

/// Frames of many flows, in bursts and one by one, while groups are joined and
/// left, the interface goes down and up, the cable is pulled, queues are full,
/// and interrupts are moderated: the stack gets each flow in the order of the
/// wire, each frame once, and all that the NIC has not discarded and counted.
/// First as the rings have them, then as large receive offload sorts them.
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

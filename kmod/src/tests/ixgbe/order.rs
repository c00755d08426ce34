//! The order of frames.

use super::play::{Failure, Scene, play};
use crate::kpi::notes::note;
use crate::kpi::seed::seed;
use kdk_harness::{Stop, TestResult};
use kdk_nic_oracle::{Mix, generate};

/// What happens in a run.
const OPERATIONS: usize = 250;

/// Frames of many flows, in bursts and one by one, while groups are joined and
/// left, the interface goes down and up, the cable is pulled, queues are full,
/// and interrupts are moderated: the stack gets each flow in the order of the
/// wire, each frame once, and all that the card has not discarded and counted.
pub fn order() -> TestResult {
    let seed = seed().ok_or(Stop::Fail("the host has set no kdk.seed"))?;
    let mut scene = Scene::new(seed, Mix::ORDER);
    scene.setup.card.moderation = true;
    match play(&scene, &generate(seed, OPERATIONS, Mix::ORDER)) {
        Ok(played) => {
            note("played", &played);
            Ok(())
        }
        Err(Failure::Stop(stop)) => Err(stop),
        Err(Failure::Wrong(what)) => panic!("{what}"),
    }
}

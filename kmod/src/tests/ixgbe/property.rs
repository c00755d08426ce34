//! Whatever happens to card and driver, in whatever order.

use super::scenario::{Failure, Played, Scene, play};
use crate::kpi::console::say;
use crate::kpi::notes::note;
use crate::kpi::seed::seed;
use kdk_harness::{Stop, TestResult};
use kdk_nic_oracle::{Mix, Operation, generate, shrink};

/// What happens in a run.
const OPERATIONS: usize = 250;
/// Runs with less of it, when one has failed.
const TRIES: usize = 40;

/// Random operations on a card, errors and long frames included: the stack
/// gets what it should. When it does not, the shortest operations that were
/// found to do it are printed; `--seed` plays all of them again.
pub fn property() -> TestResult {
    let seed = seed().ok_or(Stop::Fail("the host has set no kdk.seed"))?;
    let scene = Scene::new(seed, Mix::ALL);
    let operations = generate(seed, OPERATIONS, Mix::ALL);
    let played = play(&scene, &operations);
    if let Ok(played) = &played {
        note("played", played);
    }
    let Some(what) = wrong(played)? else {
        return Ok(());
    };
    say(format_args!("with {OPERATIONS} operations: {what}"));
    let mut last = what;
    let fewer = shrink(operations, TRIES, |fewer: &[Operation]| {
        match wrong(play(&scene, fewer)) {
            Ok(Some(what)) => {
                last = what;
                true
            }
            // Not this, or it could not be played.
            Ok(None) | Err(_) => false,
        }
    });
    say(format_args!(
        "moderation {}, LRO {}, {:?}, and these {} operations:",
        scene.setup.card.moderation,
        scene.lro,
        scene.partner,
        fewer.len()
    ));
    for operation in &fewer {
        say(format_args!("    {operation:?}"));
    }
    panic!("{last} (see the console for all {})", fewer.len());
}

fn wrong(played: Result<Played, Failure>) -> Result<Option<alloc::string::String>, Stop> {
    match played {
        Ok(_) => Ok(None),
        Err(Failure::Wrong(what)) => Ok(Some(what)),
        Err(Failure::Stop(stop)) => Err(stop),
    }
}

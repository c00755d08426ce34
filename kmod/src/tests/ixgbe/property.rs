//! Whatever happens to card and driver, in whatever order.

use super::scenario::{Failure, Scenario, Summary, run};
use crate::kpi::console::say;
use crate::kpi::notes::note;
use crate::kpi::seed::seed;
use kdk_harness::{Stop, TestResult};
use kdk_nic_oracle::{Mix, Operation, generate, shrink};

/// What happens in a run.
const OPERATIONS: usize = 250;
/// Runs with less of it, when one has failed.
const TRIES: usize = 40;

/// Random operations on a NIC, errors and long frames included: the stack
/// gets what it should. When it does not, the shortest operations that were
/// found to do it are printed; `--seed` plays all of them again.
pub fn property() -> TestResult {
    let seed = seed().ok_or(Stop::Fail("the host has set no kdk.seed"))?;
    let scenario = Scenario::new(seed, Mix::ALL);
    let operations = generate(seed, OPERATIONS, Mix::ALL);
    let summary = run(&scenario, &operations);
    if let Ok(summary) = &summary {
        note("summary", summary);
    }
    let Some(what) = wrong(summary)? else {
        return Ok(());
    };
    say(format_args!("with {OPERATIONS} operations: {what}"));
    let mut last = what;
    let fewer = shrink(operations, TRIES, |fewer: &[Operation]| {
        match wrong(run(&scenario, fewer)) {
            Ok(Some(what)) => {
                last = what;
                true
            }
            // Not this, or it could not be summary.
            Ok(None) | Err(_) => false,
        }
    });
    say(format_args!(
        "moderation {}, LRO {}, {:?}, and these {} operations:",
        scenario.setup.card.moderation,
        scenario.lro,
        scenario.partner,
        fewer.len()
    ));
    for operation in &fewer {
        say(format_args!("    {operation:?}"));
    }
    panic!("{last} (see the console for all {})", fewer.len());
}

fn wrong(summary: Result<Summary, Failure>) -> Result<Option<alloc::string::String>, Stop> {
    match summary {
        Ok(_) => Ok(None),
        Err(Failure::Check(what)) => Ok(Some(what)),
        Err(Failure::Stop(stop)) => Err(stop),
    }
}

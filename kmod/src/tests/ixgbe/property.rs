//! Random operations on NIC and driver.

use super::patience;
use super::scenario::{Failure, Scenario, Summary, run};
use crate::kpi::console::say;
use crate::kpi::notes::note;
use crate::kpi::seed::seed;
use crate::kpi::time;
use core::time::Duration;
use kdk_harness::{Stop, TestResult};
use kdk_nic_oracle::{Mix, Operation, generate, shrink};

/// The number of operations in a run.
const OPERATIONS: usize = 250;
/// The most runs that shrink a failure, the time limit of each, and of all.
/// Shrinking changes no verdict.
const TRIES: usize = 40;
const TRY: Duration = Duration::from_secs(10);
const SHRINKING: Duration = Duration::from_secs(60);

/// The stack receives the expected frames during random operations, including
/// errors and jumbo frames. After a failure the test prints the shortest list of
/// operations that it found to fail. `--seed` repeats the run.
pub fn property() -> TestResult {
    let seed = seed().ok_or(Stop::Fail("the host has set no kdk.seed"))?;
    let mut scenario = Scenario::new(seed, Mix::ALL);
    // A wait that fails leaves time for shrinking.
    scenario.deadline = Some(time::uptime() + patience().saturating_sub(SHRINKING));
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
    let end = time::uptime() + SHRINKING.min(patience());
    let fewer = shrink(operations, TRIES, |fewer: &[Operation]| {
        let now = time::uptime();
        if now >= end {
            return false;
        }
        let scenario = Scenario {
            deadline: Some(end.min(now + TRY)),
            ..scenario
        };
        match wrong(run(&scenario, fewer)) {
            Ok(Some(what)) => {
                last = what;
                true
            }
            // It passes, or the scenario could not run.
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

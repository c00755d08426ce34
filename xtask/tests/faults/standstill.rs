//! The host stands still: kdk is stopped and continued, alone or with its QEMU,
//! or nothing reads its output. No verdict changes.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use kdk_vm::verdict::Verdict::Pass;
use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};

use crate::fault::{Fault, FaultResult, Stop, Want, ends, on_demand};
use crate::interruptions::eventually;
use crate::leftovers::signal_qemus;
use crate::sandbox::{Sandbox, Script};

/// Longer than the limit of a scripted test with the runner's own grace time,
/// and than the difference of clocks that the runner accepts.
const STANDSTILL: Duration = Duration::from_secs(8);

/// The test of the scripted guest.
const SCRIPTED: &str = "script/passes";

/// Returns all faults of this kind.
pub fn faults() -> Vec<Fault> {
    let passes = || ends(0, "").with(&[(SCRIPTED, Pass)]);
    let honest = "harness/leaks-are-reported";
    vec![
        on_demand("stopped while a test answers", passes(), |sandbox| {
            stopped_during(sandbox, "run", "")
        }),
        on_demand("stopped while the guest resumes", passes(), |sandbox| {
            stopped_during(sandbox, "resume", "")
        }),
        on_demand(
            "stopped while the console is flooded",
            passes(),
            |sandbox| {
                let flood = "yes 'the console says this over and over' | head -c 300000 >&10";
                stopped_during(sandbox, "run", flood)
            },
        ),
        on_demand("output that nothing reads", passes(), unread),
        on_demand(
            "stopped with its QEMU",
            Want {
                tests: vec![(honest.into(), Pass)],
                ..ends(0, "")
            },
            move |sandbox| stopped_together(sandbox, honest),
        ),
    ]
}

/// Stops kdk before the guest's answer to `moment` has arrived, and continues
/// it when the limit for that has passed.
fn stopped_during(sandbox: &Sandbox, moment: &str, more: &str) -> Result<FaultResult, Stop> {
    let [reached, stopped, answered] = ["reached", "stopped", "answered"].map(|n| sandbox.path(n));
    let wait = format!(
        "> {reached:?}; until [ -e {stopped:?} ]; do sleep 0.05; done; {}",
        if more.is_empty() { ":" } else { more }
    );
    let touch = format!("(sleep 0.2; > {answered:?}) &");
    let both = format!("{wait}\n{touch}");
    let script = match moment {
        "run" => Script {
            run: &both,
            ..Script::default()
        },
        _ => Script {
            resume: &both,
            ..Script::default()
        },
    };
    sandbox.scripted_guest(&script)?;
    let mut command = sandbox.vm_test_of_script();
    command.arg("-v");
    let mut running = sandbox.start(command)?;
    if moment == "run" {
        // The limit of the test has begun.
        running.until("# start")?;
    }
    eventually("the guest is not asked", || reached.exists())?;
    running.signal(SIGSTOP)?;
    mark(&stopped)?;
    if more.is_empty() {
        eventually("the guest does not answer", || answered.exists())?;
    }
    sleep(STANDSTILL);
    running.signal(SIGCONT)?;
    Ok(sandbox.result(running.finish(&mut |_| {})?))
}

/// Reads nothing for a while, with more output than a pipe keeps.
fn unread(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    sandbox.scripted_guest(&Script {
        run: "yes 'the console says this over and over' | head -c 1000000 >&10",
        ..Script::default()
    })?;
    let mut command = sandbox.vm_test_of_script();
    command.arg("-v");
    let mut running = sandbox.start(command)?;
    running.until("# start")?;
    sleep(STANDSTILL);
    Ok(sandbox.result(running.finish(&mut |_| {})?))
}

/// Stops kdk and its QEMU in a test, so that the guest's clock jumps.
fn stopped_together(sandbox: &Sandbox, test: &str) -> Result<FaultResult, Stop> {
    let mut running = sandbox.start(sandbox.vm_test(&[test]))?;
    running.until("# start")?;
    running.signal(SIGSTOP)?;
    if signal_qemus(sandbox.token(), SIGSTOP) == 0 {
        return Err("there is no QEMU to stop".to_owned().into());
    }
    sleep(STANDSTILL);
    signal_qemus(sandbox.token(), SIGCONT);
    running.signal(SIGCONT)?;
    Ok(sandbox.result(running.finish(&mut |_| {})?))
}

fn mark(path: &Path) -> Result<(), String> {
    fs::write(path, "").map_err(|error| format!("could not make {}: {error}", path.display()))
}

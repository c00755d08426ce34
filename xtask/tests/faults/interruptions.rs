//! QEMU is killed, and the run interrupted, at each moment of a run.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kdk_vm::verdict::Verdict::{self, NotRun, Pass};
use nix::sys::signal::Signal;

use crate::fault::{Fault, FaultResult, Stop, Want, daily, infra, injected_in};
use crate::leftovers::kill_qemus;
use crate::process::{Exit, Process};
use crate::sandbox::{Sandbox, io_error};

/// A moment of a run. The demo guest stays in it until it is ended.
#[derive(Clone, Copy)]
struct Moment {
    name: &'static str,
    /// The options of the guest.
    options: &'static str,
    /// The requested tests.
    tests: &'static [&'static str],
    /// The output that marks the moment.
    mark: &'static str,
    /// How the tests must end when the run ends here.
    ends: &'static [(&'static str, Verdict)],
}

const GOOD: &str = "harness/panics-nest";
const FIRST: &str = "fault/after-done";

const MOMENTS: &[Moment] = &[
    Moment {
        name: "before hello",
        options: "fault=no-hello",
        tests: &[GOOD],
        mark: "demo: still here",
        ends: &[],
    },
    Moment {
        name: "while listing",
        options: "fault=list-hang",
        tests: &[GOOD],
        mark: "demo: list-hang: still here",
        ends: &[],
    },
    IN_A_TEST,
    Moment {
        name: "between tests",
        options: "",
        tests: &[FIRST, "fault/deaf", GOOD],
        mark: "s  fault/deaf",
        ends: &[(FIRST, Pass), ("fault/deaf", Pass), (GOOD, NotRun)],
    },
    Moment {
        name: "while ending",
        options: "fault=end-hang",
        tests: &[GOOD],
        mark: "demo: end-hang: still here",
        ends: &[(GOOD, Pass)],
    },
];

const IN_A_TEST: Moment = Moment {
    name: "in a test",
    options: "",
    tests: &[FIRST, "fault/hang-alive", GOOD],
    mark: "demo: fault/hang-alive: still here",
    ends: &[(FIRST, Pass), ("fault/hang-alive", NotRun), (GOOD, NotRun)],
};

/// Returns all faults at these moments.
pub fn faults() -> Vec<Fault> {
    let killed = MOMENTS.iter().map(|moment| {
        let name = format!("QEMU killed {}", moment.name);
        let want = infra("QEMU died of signal 9").with(moment.ends);
        daily(name, want, |sandbox| kill_qemu(sandbox, moment))
    });
    let interrupted = MOMENTS.iter().map(|moment| {
        let name = format!("^C {}", moment.name);
        daily(name, infra("interrupted").with(moment.ends), |sandbox| {
            interrupt(sandbox, moment, Signal::SIGINT)
        })
    });
    let others = [Signal::SIGTERM, Signal::SIGHUP].map(|signal| {
        let name = format!("{signal} {}", IN_A_TEST.name);
        daily(
            name,
            infra("interrupted").with(IN_A_TEST.ends),
            move |sandbox| interrupt(sandbox, &IN_A_TEST, signal),
        )
    });
    let building = every_day_without_guest("^C while building", |sandbox| {
        let mut running = sandbox.start(sandbox.vm_test(&[GOOD]))?;
        running.until("building the demo guest")?;
        running.signal_all(Signal::SIGINT)?;
        Ok(sandbox.result(running.finish(&mut |_| {})?))
    });
    let waiting = every_day_without_guest("^C while another run has the lock", wait_for_a_lock);
    let twice = Want {
        exit: Exit::Signal(9),
        ..infra("demo: flood").without_report()
    };
    killed
        .chain(interrupted)
        .chain(others)
        .chain([building, waiting, daily("^C twice", twice, interrupt_twice)])
        .collect()
}

fn every_day_without_guest(
    name: &str,
    inject: impl Fn(&mut Sandbox) -> Result<FaultResult, Stop> + Send + Sync + 'static,
) -> Fault {
    Fault {
        daily: true,
        ..injected_in(Sandbox::without_guest, name, infra("interrupted"), inject)
    }
}

/// Locks the target directory of the demo guest in this process, so that a run
/// waits for it.
fn wait_for_a_lock(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    // The name is that of `build::guest`: one for each checkout of kdk.
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or_else(|| String::from("kdk has no folder"))?;
    let checkout = blake3::hash(checkout.as_os_str().as_encoded_bytes()).to_hex();
    let path = sandbox
        .home()
        .join(format!("locks/target-demo-{checkout:.8}.lock"));
    fs::create_dir_all(sandbox.home().join("locks"))
        .map_err(io_error("make the folder of", &path))?;
    let lock = fs::File::create(&path).map_err(io_error("make", &path))?;
    lock.lock().map_err(io_error("lock", &path))?;
    let mut running = sandbox.start(sandbox.vm_test(&[GOOD]))?;
    running.until("which uses target-demo")?;
    running.signal_all(Signal::SIGINT)?;
    let ran = running.finish(&mut |_| {})?;
    lock.unlock().map_err(io_error("unlock", &path))?;
    Ok(sandbox.result(ran))
}

fn begin(sandbox: &Sandbox, moment: &Moment) -> Result<Process, String> {
    sandbox.guest_options(moment.options)?;
    let mut running = sandbox.start(sandbox.vm_test(moment.tests))?;
    running.until(moment.mark)?;
    Ok(running)
}

fn kill_qemu(sandbox: &Sandbox, moment: &Moment) -> Result<FaultResult, Stop> {
    let running = begin(sandbox, moment)?;
    if kill_qemus(sandbox.token()) == 0 {
        return Err("there is no QEMU to kill".to_owned().into());
    }
    // The run must not continue with a later machine.
    let ran = running.finish(&mut |_| {
        kill_qemus(sandbox.token());
    })?;
    Ok(sandbox.result(ran))
}

fn interrupt(sandbox: &Sandbox, moment: &Moment, signal: Signal) -> Result<FaultResult, Stop> {
    let running = begin(sandbox, moment)?;
    running.signal_all(signal)?;
    let result = sandbox.result(running.finish(&mut |_| {})?);
    works_again(sandbox)?;
    Ok(result)
}

/// Checks that the next run in the same cache folder passes.
fn works_again(sandbox: &Sandbox) -> Result<(), String> {
    sandbox.guest_options("")?;
    let mut command = sandbox.vm_test(&[GOOD]);
    // A saved machine has the options that it was booted with.
    command.arg("--cold");
    let ran = sandbox.run(command)?;
    if ran.exit == Exit::Code(0) {
        return Ok(());
    }
    Err(format!(
        "the next run ended with {}:\n{}",
        ran.exit,
        ran.text()
    ))
}

/// Interrupts a run whose output has no reader: the first ^C ends its tests, and
/// it waits until its output is read.
fn interrupt_twice(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    let mut running = sandbox.start(sandbox.vm_test(&["fault/flood"]))?;
    running.until("demo: flood")?;
    // Nothing reads the output any more.
    eventually("the run does not wait for its reader", || {
        let threads = fs::read_dir(format!("/proc/{}/task", running.pid()));
        let waits = |wait: String| wait.contains("pipe");
        threads
            .into_iter()
            .flatten()
            .flatten()
            .any(|thread| fs::read_to_string(thread.path().join("wchan")).is_ok_and(waits))
    })?;
    running.signal(Signal::SIGINT)?;
    eventually("the first ^C is not taken", || {
        !is_pending(running.pid(), Signal::SIGINT)
    })?;
    running.signal(Signal::SIGINT)?;
    let result = sandbox.result(running.finish(&mut |_| {})?);
    works_again(sandbox)?;
    Ok(FaultResult {
        report: None,
        ..result
    })
}

/// Returns whether a signal is pending for a process (proc(5), ShdPnd).
fn is_pending(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("ShdPnd:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

/// Waits until `holds` returns true.
///
/// # Errors
/// Returns `otherwise` after a minute.
pub fn eventually(otherwise: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        if Instant::now() >= until {
            return Err(otherwise.to_owned());
        }
        std::thread::yield_now();
    }
    Ok(())
}

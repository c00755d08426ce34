//! `cargo xtask bench isolation`: the cost of a fresh kernel for every test, and
//! the gain of guests side by side.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use kdk_vm::clock;
use kdk_vm::machine::{self, Machine, Notice, Port};
use kdk_vm::plan::Durations;
use kdk_vm::qemu::{Access, Drive, Format, Qemu, QemuMachine, QemuPool, Spec};

use super::{CostRequest, median, not_good, ratio, seconds, time_goal, word};
use kdk_core::context::Context;
use kdk_core::event::{Event, Sink, milliseconds};
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_guest::build::state::State;
use kdk_guest::guest::Guest;
use kdk_guest::request::TestRequest;
use kdk_guest::run_tests::TestEnv;
use kdk_report::recorder::Recorder;

/// The goal for the cost of a fresh kernel for a test, in milliseconds.
const PER_TEST: u64 = 250;
/// The goal for the first verdict of a run with nothing changed, in
/// milliseconds.
const FIRST_VERDICT: u64 = 1000;
/// The goal for a load, relative to QEMU's bare one.
const LOAD: f64 = 2.0;
/// The goal for the speed of two guests, relative to one.
const TWO_JOBS: f64 = 1.6;
/// The longest time in which a machine has to come up.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The name of the state in a disk image.
const TAG: &str = "kdk";

/// Measures, and prints the results.
///
/// # Errors
/// The host failed, the machine cannot be saved, or a test did not pass.
pub fn run(cx: &Context, request: &CostRequest) -> Result<(), Failure> {
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let env = TestEnv::prepare(cx, &recorder, &request.guest, &request.base, &logs)?;
    let states = env.save(&recorder, &request.tests())?;
    if states.is_empty() {
        return Err(Failure::usage(
            "measure isolation",
            "this machine cannot be saved",
        ));
    }
    request.print_heading(cx);
    let load = per_test(cx, request, &env, &states)?;
    bare_load(cx, &env.guest, request.rounds, load)?;
    let mut first = Vec::new();
    for _ in 0..request.rounds {
        first.push(first_verdict(request)?);
    }
    cx.terminal.print(format!(
        "nothing changed: first verdict after {}",
        time_goal(median(&mut first), FIRST_VERDICT)
    ));
    Ok(())
}

/// Measures runs with one guest and with two in turn. Returns the time of a
/// load in milliseconds.
fn per_test(
    cx: &Context,
    request: &CostRequest,
    env: &TestEnv<'_>,
    states: &[State],
) -> Result<u64, Failure> {
    let (mut over, mut loads, mut one, mut two) = (vec![], vec![], vec![], vec![]);
    let mut durations = Durations::new();
    let (one_job, two_jobs) = (
        request.tests(),
        TestRequest {
            jobs: 2,
            ..request.tests()
        },
    );
    for _ in 0..request.rounds {
        let alone = isolated(env, states, &one_job, &durations)?;
        over.push(alone.over);
        loads.extend(alone.loads);
        one.push(alone.wall);
        durations = alone.durations;
        two.push(isolated(env, states, &two_jobs, &durations)?.wall);
    }
    let gain = ratio(median(&mut one) as f64, median(&mut two) as f64);
    cx.terminal.print(format!(
        "a fresh kernel for a test, beyond its own time {}\n\
         2 jobs, tests a second against 1 job: {gain:.2} times (goal {TWO_JOBS:.2}: {})",
        time_goal(median(&mut over), PER_TEST),
        word(gain >= TWO_JOBS)
    ));
    Ok(median(&mut loads))
}

/// A run of the tests, each on a fresh kernel; times in milliseconds.
struct Isolated {
    /// The time of the run.
    wall: u64,
    /// The time for each test beyond its own time.
    over: u64,
    /// The time from each machine's start until it ran.
    loads: Vec<u64>,
    /// Each test's own time.
    durations: Durations,
}

fn isolated(
    env: &TestEnv<'_>,
    states: &[State],
    tests: &TestRequest,
    last: &Durations,
) -> Result<Isolated, Failure> {
    let recorder = Recorder::new(&Silence);
    let begun = Instant::now();
    let report = env.run_on(&recorder, states, tests, last.clone())?;
    let wall = milliseconds(begun.elapsed());
    if report.exit_code() != 0 {
        return Err(not_good("not every test ended as expected"));
    }
    let own: u64 = report.outcomes.iter().map(|outcome| outcome.ms).sum();
    let count = u64::try_from(report.outcomes.len()).unwrap_or(1).max(1);
    let durations = report
        .outcomes
        .iter()
        .map(|o| ((o.name.clone(), o.cpus), o.ms));
    Ok(Isolated {
        wall,
        over: wall.saturating_sub(own) / count,
        durations: durations.collect(),
        loads: report.boots,
    })
}

/// Drops the progress of a run, which is not a result of the measurement.
struct Silence;

impl Sink for Silence {
    fn emit(&self, _: Event) {}
}

/// Measures QEMU's `-loadvm` of a state in a disk image, against `ours`.
fn bare_load(cx: &Context, guest: &Guest, rounds: usize, ours: u64) -> Result<(), Failure> {
    let Some(QemuPool { qemu, spec }) = guest.pool.qemu() else {
        return Ok(());
    };
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::infra("measure a load", "a temporary folder cannot be made").source(error)
    })?;
    let spec = with_state_inside(qemu, spec, folder.path())?;
    let mut bare = Vec::new();
    for _ in 0..rounds.max(5) {
        bare.push(until_it_runs(qemu, &spec)?);
    }
    let bare = median(&mut bare);
    let times = ratio(ours as f64, bare as f64);
    cx.terminal.print(format!(
        "loading the state {}, QEMU's bare -loadvm {}: {times:.2} times (goal {LOAD:.2}: {})",
        seconds(ours),
        seconds(bare),
        word(times <= LOAD)
    ));
    Ok(())
}

/// Returns a machine that starts from a state inside its disk image (`savevm`).
fn with_state_inside(qemu: &Qemu, spec: &Spec, folder: &Path) -> Result<Spec, Failure> {
    let mut spec = spec.clone();
    let disk = folder.join("disk.qcow2");
    let mut create = vec![
        OsString::from("create"),
        "-q".into(),
        "-f".into(),
        "qcow2".into(),
    ];
    match spec.drives.first() {
        Some(root) => create.extend([
            "-b".into(),
            root.path.clone().into(),
            "-F".into(),
            "raw".into(),
            disk.clone().into(),
        ]),
        // A guest without a disk gets one for its state.
        None => create.extend([disk.clone().into(), "1G".into()]),
    }
    duct::cmd("qemu-img", create).run().map_err(|error| {
        Failure::infra("make a disk image", "qemu-img cannot be run")
            .source(error)
            .help("install it: Debian's qemu-utils, Fedora's qemu-img")
    })?;
    spec.drives = vec![Drive {
        path: disk,
        format: Format::Qcow2,
        access: Access::Persistent,
    }];
    let mut machine = QemuMachine::start(qemu, &spec)?;
    let mut output = String::new();
    wait_for(&machine, &mut |event| {
        if let machine::Event::Output(Port::Result, bytes) = event {
            output.push_str(&String::from_utf8_lossy(bytes));
        }
        output.contains("# kdk-hello ")
    })?;
    machine
        .monitor()
        .save_inside(TAG)
        .map_err(|error| Failure::infra("save the machine", "QEMU refused").source(error))?;
    spec.extra.extend(["-loadvm".into(), TAG.into()]);
    Ok(spec)
}

/// Returns the time from QEMU's start until the machine runs, in milliseconds.
fn until_it_runs(qemu: &Qemu, spec: &Spec) -> Result<u64, Failure> {
    let begun = Instant::now();
    let machine = QemuMachine::start(qemu, spec)?;
    wait_for(&machine, &mut |event| {
        matches!(event, machine::Event::Notice(Notice::Running))
    })?;
    Ok(milliseconds(begun.elapsed()))
}

/// Waits for an event of a machine.
fn wait_for(
    machine: &QemuMachine,
    is_it: &mut dyn FnMut(&machine::Event) -> bool,
) -> Result<(), Failure> {
    let deadline = clock::Instant::now() + TIMEOUT;
    loop {
        match machine.inbox().next(deadline) {
            Some(machine::Event::Ended(exit)) => {
                return Err(Failure::infra("measure a machine", exit.to_string()));
            }
            Some(event) if is_it(&event) => return Ok(()),
            Some(_) => {}
            None => {
                return Err(Failure::infra(
                    "measure a machine",
                    "it did not come up in time",
                ));
            }
        }
    }
}

/// Returns the time from the start of `vm-test` as a user runs it to its first
/// verdict, in milliseconds.
fn first_verdict(request: &CostRequest) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| Failure::infra("run vm-test", error.to_string());
    let own = std::env::current_exe().map_err(failed)?;
    let begun = Instant::now();
    let output = duct::cmd(own, request.vm_test())
        .stdin_null()
        .stderr_to_stdout()
        .unchecked()
        .reader()
        .map_err(failed)?;
    for line in BufReader::new(&output).lines() {
        if line.map_err(failed)?.starts_with("     test  ") {
            let first = milliseconds(begun.elapsed());
            output.kill().map_err(failed)?;
            return Ok(first);
        }
    }
    Err(not_good("vm-test reported no verdict"))
}

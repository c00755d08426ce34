//! `cargo xtask bench isolation`: what a fresh kernel for every test costs, and
//! what guests side by side gain.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use kdk_vm::machine::{self, Machine, Notice, Port};
use kdk_vm::qemu::{Access, Drive, Format, Qemu, QemuMachine, QemuPool, Spec};

use super::{goal, median, ratio, seconds, word};
use kdk_core::context::Context;
use kdk_core::event::{Event, Sink, milliseconds};
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_guest::build::state::State;
use kdk_guest::guest::Guest;
use kdk_guest::request::GuestRequest;
use kdk_guest::request::TestRequest;
use kdk_guest::run_tests::TestEnv;
use kdk_report::recorder::Recorder;

/// What a fresh kernel may cost a test, milliseconds.
const PER_TEST: u64 = 250;
/// When a run with nothing changed has its first verdict, milliseconds.
const FIRST_VERDICT: u64 = 1000;
/// A load may take so many times QEMU's bare one.
const LOAD: f64 = 2.0;
/// Tests a second of two guests, against one.
const TWO_JOBS: f64 = 1.6;
/// How long a machine may take to be loaded here.
const PATIENCE: Duration = Duration::from_secs(60);
/// The name of the state in a disk image.
const TAG: &str = "kdk";

/// Measures and prints.
pub fn run(cx: &Context, wanted: &GuestRequest, name: &str, rounds: usize) -> Result<(), Failure> {
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let env = TestEnv::prepare(cx, &recorder, wanted, name, &logs)?;
    let Some(state) = env.save(&recorder, &all_tests(1))? else {
        return Err(Failure::usage(
            "measure isolation",
            "this machine cannot be saved",
        ));
    };
    println!("base {name}, {rounds} rounds; medians, seconds");
    let load = per_test(&env, &state, rounds)?;
    bare_load(&env.guest, rounds, load)?;
    let mut first = Vec::new();
    for _ in 0..rounds {
        first.push(first_verdict(wanted, name)?);
    }
    println!(
        "nothing changed: first verdict after {}",
        goal(median(&mut first), FIRST_VERDICT)
    );
    Ok(())
}

/// One guest and two in turn. Returns how long a load took, milliseconds.
fn per_test(env: &TestEnv<'_>, state: &State, rounds: usize) -> Result<u64, Failure> {
    let (mut over, mut loads, mut one, mut two) = (vec![], vec![], vec![], vec![]);
    let mut durations = BTreeMap::new();
    for _ in 0..rounds {
        let alone = isolated(env, state, 1, &durations)?;
        over.push(alone.over);
        loads.extend(alone.loads);
        one.push(alone.wall);
        durations = alone.durations;
        two.push(isolated(env, state, 2, &durations)?.wall);
    }
    println!(
        "a fresh kernel for a test, beyond its own time {}",
        goal(median(&mut over), PER_TEST)
    );
    let gain = ratio(median(&mut one), median(&mut two));
    println!(
        "2 jobs, tests a second against 1 job: {gain:.2} times (goal {TWO_JOBS:.2}: {})",
        word(gain >= TWO_JOBS)
    );
    Ok(median(&mut loads))
}

/// One run of all tests, each on a fresh kernel, milliseconds.
struct Isolated {
    /// All of it.
    wall: u64,
    /// Beyond the tests' own time, for each.
    over: u64,
    /// From each machine's start until it ran.
    loads: Vec<u64>,
    /// Each test's own time.
    durations: BTreeMap<String, u64>,
}

fn isolated(
    env: &TestEnv<'_>,
    state: &State,
    jobs: u16,
    last: &BTreeMap<String, u64>,
) -> Result<Isolated, Failure> {
    let wanted = all_tests(jobs);
    let recorder = Recorder::new(&Silence);
    let begun = Instant::now();
    let report = env.run_on(&recorder, Some(state), &wanted, last.clone())?;
    let wall = milliseconds(begun.elapsed());
    if report.exit_code() != 0 {
        return Err(
            Failure::tests("not every test was good, so their time says nothing")
                .help("run `cargo xtask vm-test` and mend that first"),
        );
    }
    let own: u64 = report.outcomes.iter().map(|outcome| outcome.ms).sum();
    let count = u64::try_from(report.outcomes.len()).unwrap_or(1).max(1);
    let durations = report.outcomes.iter().map(|o| (o.name.clone(), o.ms));
    Ok(Isolated {
        wall,
        over: wall.saturating_sub(own) / count,
        durations: durations.collect(),
        loads: report.boots,
    })
}

fn all_tests(jobs: u16) -> TestRequest {
    TestRequest {
        jobs,
        ..TestRequest::default()
    }
}

/// Nobody: a run's progress is no result of a measurement.
struct Silence;

impl Sink for Silence {
    fn emit(&self, _: Event) {}
}

/// QEMU's own `-loadvm` of a state in a disk image, against `ours`.
fn bare_load(guest: &Guest, rounds: usize, ours: u64) -> Result<(), Failure> {
    let Some(QemuPool { qemu, spec }) = guest.pool.qemu() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::infra("measure a load", "no folder for it").source(error))?;
    let spec = with_state_inside(qemu, spec, folder.path())?;
    let mut bare = Vec::new();
    for _ in 0..rounds.max(5) {
        bare.push(until_it_runs(qemu, &spec)?);
    }
    let bare = median(&mut bare);
    let times = ratio(ours, bare);
    println!(
        "loading the state {}, QEMU's bare -loadvm {}: {times:.2} times (goal {LOAD:.2}: {})",
        seconds(ours),
        seconds(bare),
        word(times <= LOAD)
    );
    Ok(())
}

/// A machine whose state is inside its disk image (`savevm`), and that starts
/// from there.
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
        // A guest without a disk gets one to hold its state.
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
    let mut heard = String::new();
    wait_for(&machine, &mut |event| {
        if let machine::Event::Output(Port::Result, bytes) = event {
            heard.push_str(&String::from_utf8_lossy(bytes));
        }
        heard.contains("# kdk-hello ")
    })?;
    machine
        .monitor()
        .save_inside(TAG)
        .map_err(|error| Failure::infra("save the machine", "QEMU refused").source(error))?;
    spec.extra.extend(["-loadvm".into(), TAG.into()]);
    Ok(spec)
}

/// From QEMU's start until the machine runs, milliseconds.
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
    let deadline = Instant::now() + PATIENCE;
    loop {
        match machine.inbox().next(deadline) {
            Some(machine::Event::Ended(exit)) => {
                return Err(Failure::infra("measure a machine", exit.to_string()));
            }
            Some(event) if is_it(&event) => return Ok(()),
            Some(_) => {}
            None => return Err(Failure::infra("measure a machine", "it was not up in time")),
        }
    }
}

/// From the start of `vm-test` as a user runs it to its first verdict,
/// milliseconds.
fn first_verdict(wanted: &GuestRequest, name: &str) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| Failure::infra("run vm-test", error.to_string());
    let own = std::env::current_exe().map_err(failed)?;
    let mut args = vec!["vm-test", "--base", name];
    if wanted.no_patches {
        args.push("--no-patches");
    }
    let begun = Instant::now();
    let output = duct::cmd(own, args)
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
    Err(Failure::tests("vm-test had no verdict at all")
        .help("run `cargo xtask vm-test` and mend that first"))
}

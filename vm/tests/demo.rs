//! Injects every fault of the demo guest in a real QEMU. Each must end in the
//! right verdict, without losing earlier results.
//!
//! `KDK_DEMO_GUEST` names the guest's ELF file, and without it every test here
//! fails; `cargo xtask test` builds the guest and sets it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod faults;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kdk_vm::console::log::Cap;
use kdk_vm::elf::{self, Role};
use kdk_vm::error::{BootError, InfraError, RunError};
use kdk_vm::hypervisor::MachineSize;
use kdk_vm::interrupt::Interrupt;
use kdk_vm::machine::Machine;
use kdk_vm::plan::{Isolation, Selection};
use kdk_vm::progress::Progress;
use kdk_vm::protocol::Guest;
use kdk_vm::qemu::{Boot, Engine, Qemu, QemuMachine, Spec};
use kdk_vm::run::{Guests, LogDir, Options, RunReport, SavedMachines, list_all, run_all};
use kdk_vm::session::{Limits, Logs, Setup};
use kdk_vm::snapshot::{Saved, save};
use kdk_vm::verdict::{Outcome, Verdict};

use Verdict::{Crash, Fail, NotRun, Pass, Timeout};
use faults::{AT_BOOT, IN_TESTS, InTest};

fn guest() -> PathBuf {
    let path = std::env::var_os("KDK_DEMO_GUEST");
    PathBuf::from(path.expect("KDK_DEMO_GUEST names the demo guest; `cargo xtask test` sets it"))
}

fn spec(cmdline: &str) -> Spec {
    let boot = Boot::Pvh {
        kernel: guest(),
        cmdline: cmdline.to_owned(),
    };
    let mut spec = Spec::new(Engine::Tcg, boot);
    spec.size.mem_mib = 64;
    spec
}

fn options(patterns: &[&str]) -> Options {
    Options {
        selection: Selection {
            patterns: patterns.iter().map(|p| (*p).to_owned()).collect(),
            ..Selection::default()
        },
        limits: Limits {
            boot: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            ..Limits::default()
        },
        ..Options::default()
    }
}

/// Runs tests of guests with this command line.
fn run_with(cmdline: &str, options: &Options) -> RunReport {
    run_machine(&spec(cmdline), options)
}

fn run_machine(spec: &Spec, options: &Options) -> RunReport {
    let qemu = Qemu::find().unwrap();
    let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        Ok(Box::new(QemuMachine::start(&qemu, spec)?))
    };
    run_all(Guests::Boot(&machines), options, &Interrupt::new(), &|_| {})
}

fn run(patterns: &[&str]) -> RunReport {
    run_with("", &options(patterns))
}

fn boot_error(fault: &str, limits: Limits) -> BootError {
    let options = Options {
        limits,
        ..options(&[])
    };
    let report = run_with(&format!("fault={fault}"), &options);
    assert!(report.outcomes.is_empty(), "{fault}: {:?}", report.outcomes);
    assert_eq!(report.exit_code(), 4, "{fault}: {:?}", report.error);
    match report.error {
        Some(RunError::Boot(error)) => *error,
        other => panic!("{fault}: {other:?}"),
    }
}

#[test]
fn the_guest_is_a_pvh_kernel() {
    elf::check(&guest(), Role::PvhKernel).unwrap();
}

#[test]
fn the_guests_own_tests_all_go_as_expected() {
    let report = run(&[]);
    let bad: Vec<&Outcome> = report
        .outcomes
        .iter()
        .filter(|o| !o.verdict.is_as_expected())
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(report.summary().total() > 0);
    assert!(report.error.is_none(), "{:?}", report.error);
    assert_eq!(report.exit_code(), 0);
    // One test needs a second kind of machine.
    assert_eq!(report.boots.len(), 2);
    let hello = report.hello.unwrap();
    assert_eq!((hello.guest, hello.osreldate), (Guest::Demo, None));
}

#[test]
fn fault_tests_run_only_when_named() {
    let qemu = Qemu::find().unwrap();
    let spec = spec("");
    let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        Ok(Box::new(QemuMachine::start(&qemu, &spec)?))
    };
    let (_, tests) = list_all(&machines, &options(&[]), &Interrupt::new(), &|_| {}).unwrap();
    let faults: Vec<_> = tests.iter().filter(|t| t.suite() == "fault").collect();
    assert!(faults.len() > 15 && faults.iter().all(|t| !t.default));
}

/// One run of all of them, so that each also has to leave the next one a
/// kernel that works.
#[test]
fn every_fault_has_its_verdict_and_takes_no_other_with_it() {
    let names: Vec<String> = IN_TESTS
        .iter()
        .map(|fault| format!("fault/{}", fault.name))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut options = options(&names);
    options.limits.test = Some(Duration::from_secs(2));
    options.limits.grace = Duration::from_secs(1);
    options.limits.debugger = Duration::from_secs(2);
    let report = run_with("", &options);
    assert!(report.error.is_none(), "{:?}", report.error);
    let mut wrong = Vec::new();
    for fault in IN_TESTS {
        let InTest {
            name,
            verdict,
            detail,
            frame,
        } = fault;
        let name = format!("fault/{name}");
        let outcome = report.outcomes.iter().find(|o| o.name == name);
        let outcome = outcome.unwrap_or_else(|| panic!("no outcome of {name}"));
        let frames = outcome.backtrace.join("\n");
        if outcome.verdict != *verdict
            || !outcome.detail.contains(detail)
            || !frames.contains(frame)
        {
            wrong.push(format!("{outcome:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(report.outcomes.len(), IN_TESTS.len());
    assert_eq!(report.exit_code(), 1);
    // Only what kills a guest costs a boot.
    let lost = report
        .outcomes
        .iter()
        .filter(|o| matches!(o.verdict, Crash | Timeout));
    let (boots, lost) = (report.boots.len(), lost.count());
    assert!(
        boots == lost || boots == lost + 1,
        "{boots} boots, {lost} lost guests"
    );
}

#[test]
fn a_guest_that_does_not_come_up_says_in_which_phase_and_why() {
    let quick = Limits {
        boot: Duration::from_secs(6),
        silence: Duration::from_secs(3),
        answer: Duration::from_secs(2),
        ..Limits::default()
    };
    for fault in AT_BOOT {
        let (fault, phase, want) = (fault.name, fault.phase, fault.says);
        let error = boot_error(fault, quick);
        assert_eq!(error.phase, phase, "{fault}: {error}");
        assert!(error.to_string().contains(want), "{fault}: {error}");
        assert!(
            error
                .console
                .iter()
                .any(|line| line.contains("kdk demo guest")),
            "{fault}: the console's last lines are lost"
        );
    }
}

#[test]
fn a_hang_is_explained_by_the_kernels_debugger_and_kept_in_a_file() {
    for cpus in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(&["fault/hang-cli"]);
        options.limits.test = Some(Duration::from_millis(200));
        options.limits.grace = Duration::from_millis(800);
        options.logs = Some(LogDir {
            path: dir.path().to_owned(),
            cap: Cap::default(),
        });
        let mut spec = spec("");
        spec.size.cpus = cpus;
        let report = run_machine(&spec, &options);
        let [outcome] = report.outcomes.as_slice() else {
            panic!("{report:?}")
        };
        assert_eq!(outcome.verdict, Timeout);
        assert_eq!(
            outcome.backtrace[0], "thread kdk test (100048) on cpu 0:",
            "{outcome:?}"
        );
        let path = dir.path().join("debugger.1.log");
        assert!(outcome.detail.contains(path.to_str().unwrap()));
        let kept = std::fs::read_to_string(path).unwrap();
        for command in ["show registers", "ps", "show alllocks", "alltrace"] {
            assert!(kept.contains(&format!("db> {command}\n")), "{kept}");
        }
        // What it said is not what the kernel said last.
        assert!(!outcome.console.iter().any(|line| line.contains("db>")));
    }
}

#[test]
fn a_boot_that_hangs_is_explained_by_the_kernels_debugger() {
    let quick = Limits {
        silence: Duration::from_secs(2),
        ..Limits::default()
    };
    let error = boot_error("boot-hang", quick);
    let frames = error.backtrace.join("\n");
    assert!(frames.contains("demo_hang() at demo_hang+"), "{error:?}");
}

#[test]
fn a_panic_at_the_end_is_reported_with_the_last_test() {
    let report = run_with("fault=end-panic", &options(&["harness/panics-nest"]));
    let [outcome] = report.outcomes.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!(outcome.verdict, Crash, "{outcome:?}");
    let detail = "after it had reported PASS: panic: demo: cannot unload the module";
    assert!(outcome.detail.contains(detail), "{outcome:?}");
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_panic_keeps_the_detail_and_the_last_console_lines() {
    let report = run(&["fault/panic"]);
    let [outcome] = report.outcomes.as_slice() else {
        panic!("{report:?}")
    };
    assert!(outcome.console.iter().any(|l| l.starts_with("panic: demo")));
    assert!(outcome.backtrace.iter().any(|l| l.contains("() at ")));
}

#[test]
fn a_qemu_killed_in_a_test_costs_that_tests_verdict_and_keeps_the_others() {
    let qemu = Qemu::find().unwrap();
    let spec = spec("");
    let pid = Arc::new(Mutex::new(0));
    let known = pid.clone();
    let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        let machine = QemuMachine::start(&qemu, &spec)?;
        *known.lock().unwrap() = machine.pid();
        Ok(Box::new(machine))
    };
    let sink = |progress: Progress<'_>| {
        // It has started for certain when it says so on the console.
        if let Progress::Console(line) = progress
            && line.contains("demo: fault/hang-alive")
        {
            let pid = i32::try_from(*pid.lock().unwrap()).unwrap();
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    };
    let options = options(&["fault/rust-panic", "fault/hang-alive", "fault/wrong-name"]);
    let report = run_all(Guests::Boot(&machines), &options, &Interrupt::new(), &sink);
    assert_eq!(report.exit_code(), 5);
    assert!(matches!(
        report.error,
        Some(RunError::Infra(InfraError::MachineKilled { signal: 9, .. }))
    ));
    let outcomes = &report.outcomes;
    let at = outcomes.iter().position(|o| o.name == "fault/hang-alive");
    for (n, outcome) in outcomes.iter().enumerate() {
        let want = if n < at.unwrap() { Fail } else { NotRun };
        assert_eq!(outcome.verdict, want, "{outcome:?}");
    }
    assert_eq!(report.outcomes.len(), 3);
}

#[test]
fn an_interruption_in_a_test_ends_the_run_at_once() {
    let interrupt = Interrupt::new();
    let trigger = interrupt.clone();
    let qemu = Qemu::find().unwrap();
    let spec = spec("");
    let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        Ok(Box::new(QemuMachine::start(&qemu, &spec)?))
    };
    let when = Mutex::new(None);
    let sink = |progress: Progress<'_>| {
        if let Progress::Started(_) = progress {
            when.lock().unwrap().replace(Instant::now());
            trigger.trigger();
        }
    };
    let report = run_all(
        Guests::Boot(&machines),
        &options(&["fault/hang-cli"]),
        &interrupt,
        &sink,
    );
    assert!(when.lock().unwrap().unwrap().elapsed() < Duration::from_secs(2));
    assert_eq!(report.exit_code(), 5);
    assert_eq!(report.outcomes[0].verdict, NotRun);
}

fn size_of(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_console_flood_is_bounded_on_disk_and_keeps_the_first_and_last_lines() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        logs: Some(LogDir {
            path: dir.path().to_owned(),
            cap: Cap {
                head: 64 << 10,
                tail: 64 << 10,
            },
        }),
        ..options(&["fault/flood"])
    };
    let report = run_with("flood_mib=1", &options);
    assert_eq!(report.outcomes[0].verdict, Pass, "{:?}", report.outcomes);
    assert!(size_of(dir.path()) < 160 << 10);
    let head = std::fs::read_to_string(dir.path().join("console.1.log")).unwrap();
    assert!(head.contains("] kdk demo guest"), "{}", &head[..200]);
    let tail = std::fs::read_to_string(dir.path().join("console.1.log.tail")).unwrap();
    assert!(tail.contains("demo: the end"));
    let results = std::fs::read_to_string(dir.path().join("result.1.log")).unwrap();
    assert!(results.contains("# kdk-hello") && results.contains("# bye"));
}

#[test]
fn a_result_line_of_a_megabyte_is_garbage_not_a_result() {
    let report = run(&["fault/megaline"]);
    let outcome = &report.outcomes[0];
    assert_eq!(outcome.verdict, Fail, "{outcome:?}");
    let garbage = "garbage inside of the document: \"mmmm";
    assert!(outcome.detail.contains(garbage), "{outcome:?}");
    assert!(outcome.detail.len() < 500);
}

/// A guest that is booted and saved into a folder, to be loaded.
struct SavedGuest {
    qemu: Qemu,
    spec: Spec,
    memory: PathBuf,
    saved: Saved,
    _folder: tempfile::TempDir,
}

impl SavedGuest {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (qemu, mut spec) = (Qemu::find().unwrap(), spec(""));
        let memory = folder.path().join("memory");
        let file = std::fs::File::create(&memory).unwrap();
        let setup = Setup {
            limits: options(&[]).limits,
            known: &[],
            interrupt: Interrupt::new(),
            sink: &|_| {},
        };
        let machine = Box::new(QemuMachine::start(&qemu, &spec).unwrap());
        let saved = save(machine, &file, Logs::default(), &setup).unwrap();
        spec.loads = true;
        Self {
            qemu,
            spec,
            memory,
            saved,
            _folder: folder,
        }
    }

    fn run(&self, options: &Options) -> RunReport {
        let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
            let memory = std::fs::File::open(&self.memory).unwrap();
            Ok(Box::new(QemuMachine::load(&self.qemu, &self.spec, memory)?))
        };
        let guests = [SavedMachines {
            size: self.spec.size,
            pool: &machines,
            saved: &self.saved,
        }];
        run_all(Guests::Load(&guests), options, &Interrupt::new(), &|_| {})
    }
}

#[test]
fn a_saved_guest_gives_every_test_a_fresh_kernel_even_side_by_side() {
    let guest = SavedGuest::make();
    let mut options = options(&[
        "harness/registry-*",
        "fault/panic",
        "fault/leak",
        "fault/triple",
    ]);
    options.isolation = Isolation::Test;
    options.jobs = 2;
    options.selection.repeat = 2;
    let report = guest.run(&options);
    assert!(report.error.is_none(), "{:?}", report.error);
    for outcome in &report.outcomes {
        let want = match outcome.name.as_str() {
            "fault/panic" | "fault/triple" => Crash,
            "fault/leak" => Fail,
            _ => Pass,
        };
        assert_eq!(outcome.verdict, want, "{outcome:?}");
    }
    // A machine each, none twice.
    let mut machines: Vec<_> = report.outcomes.iter().filter_map(|o| o.machine).collect();
    machines.sort_unstable();
    machines.dedup();
    assert_eq!(machines.len(), report.outcomes.len());
    assert_eq!(report.boots.len(), report.outcomes.len());
    let order: Vec<_> = report.outcomes.iter().map(|o| o.name.clone()).collect();
    let half = order.len() / 2;
    assert_eq!(order[..half], order[half..]);
}

#[test]
fn a_saved_state_that_is_cut_off_is_the_hosts_fault_and_no_verdict() {
    let guest = SavedGuest::make();
    let file = std::fs::File::options().write(true).open(&guest.memory);
    let file = file.unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let report = guest.run(&options(&["harness/registry-*"]));
    assert_eq!(report.exit_code(), 5, "{:?}", report.error);
    assert!(report.outcomes.iter().all(|o| o.verdict == NotRun));
}

#[test]
fn two_guests_at_once_share_nothing() {
    let runs: Vec<_> = (0..2)
        .map(|_| std::thread::spawn(|| run(&["fault/rust-panic", "fault/panic"])))
        .collect();
    for run in runs {
        let report = run.join().unwrap();
        let verdicts: Vec<Verdict> = report.outcomes.iter().map(|o| o.verdict).collect();
        assert!(
            verdicts.contains(&Fail) && verdicts.contains(&Crash),
            "{verdicts:?}"
        );
    }
}

//! Tests real QEMUs, with no guest but the probe's.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use kdk_vm::accel::{self, AccelChoice};
use kdk_vm::clock::Instant;
use kdk_vm::error::InfraError;
use kdk_vm::exit::Exit;
use kdk_vm::guard::Guard;
use kdk_vm::hypervisor::MachineSize;
use kdk_vm::interrupt::Interrupt;
use kdk_vm::machine::{Event, Machine};
use kdk_vm::qemu::{Boot, Engine, Qemu, QemuMachine, Spec};
use kdk_vm::run::{Guests, Options, run_all};

fn idle_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("idle")
}

/// Returns a machine that runs SeaBIOS and then waits for a disk forever.
fn idle() -> Spec {
    let mut spec = Spec::new(
        Engine::Tcg,
        Boot::Efi {
            firmware: "bios-256k.bin".into(),
            dir: idle_dir(),
        },
    );
    fs::create_dir_all(idle_dir()).unwrap();
    spec.size.mem_mib = 64;
    spec
}

fn qemu() -> Qemu {
    Qemu::find().unwrap()
}

fn end(machine: &QemuMachine) -> Exit {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match machine.inbox().next(deadline) {
            Some(Event::Ended(exit)) => return exit,
            Some(_) => {}
            None => panic!("it did not end"),
        }
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie runs no more.
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Processes below `pid`, for guards that stand between.
fn children(pid: u32) -> Vec<u32> {
    let list = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(list).unwrap_or_default();
    list.split_whitespace()
        .map(|p| p.parse().unwrap())
        .collect()
}

fn wait_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "{pid} is an orphan");
        std::thread::yield_now();
    }
}

#[test]
fn auto_always_finds_something_that_runs_a_guest() {
    let choice = accel::choose(&qemu(), AccelChoice::Auto, accel::DEADLINE).unwrap();
    if choice.engine == Engine::Tcg {
        assert!(
            choice.tried.iter().all(|a| a.why_not.is_some()),
            "{choice:?}"
        );
    }
    println!("{:?}: {:?}", choice.engine, choice.remark());
}

#[test]
fn an_accelerator_of_another_system_is_an_error_with_its_reason() {
    let error =
        accel::choose(&qemu(), AccelChoice::Exactly(Engine::Nvmm), accel::DEADLINE).unwrap_err();
    assert!(matches!(error, InfraError::Accel { .. }));
    assert!(error.to_string().contains("nvmm"), "{error}");
}

#[test]
fn what_qemu_says_about_a_missing_kernel_is_kept() {
    let boot = Boot::Pvh {
        kernel: "/nonexistent/kernel".into(),
        cmdline: String::new(),
    };
    let machine = QemuMachine::start(&qemu(), &Spec::new(Engine::Tcg, boot)).unwrap();
    let exit = end(&machine);
    let error = exit.infra().unwrap().to_string();
    assert!(error.contains("/nonexistent/kernel"), "{error}");
}

#[test]
fn a_qemu_that_cannot_be_started_is_an_infrastructure_error() {
    let gone = Qemu {
        path: PathBuf::from("/nonexistent/qemu"),
        ..qemu()
    };
    for guard in [Guard::detect(), Guard::Pipe] {
        let machine = QemuMachine::start_with(&gone, &idle(), guard).unwrap();
        assert!(end(&machine).infra().is_some());
    }
}

#[test]
fn the_monitor_answers_and_the_machine_stands_still_on_command() {
    let mut machine = QemuMachine::start(&qemu(), &idle()).unwrap();
    machine.monitor().pause().unwrap();
    assert!(!machine.monitor().is_running().unwrap());
    machine.monitor().resume().unwrap();
    assert!(machine.monitor().is_running().unwrap());
}

#[test]
fn killing_is_reported_as_ours() {
    for guard in [Guard::detect(), Guard::Pipe] {
        let mut machine = QemuMachine::start_with(&qemu(), &idle(), guard.clone()).unwrap();
        machine.kill();
        assert_eq!(end(&machine), Exit::Killed, "{guard:?}");
    }
}

#[test]
fn a_qemu_killed_by_somebody_else_is_an_infrastructure_error() {
    let mut machine = QemuMachine::start(&qemu(), &idle()).unwrap();
    assert!(machine.monitor().is_running().is_ok());
    let pid = nix::unistd::Pid::from_raw(machine.pid().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let error = end(&machine).infra().unwrap();
    assert!(
        matches!(error, InfraError::MachineKilled { signal: 9, .. }),
        "{error}"
    );
}

#[test]
fn dropping_a_machine_leaves_no_process() {
    for guard in [Guard::detect(), Guard::Pipe] {
        let mut machine = QemuMachine::start_with(&qemu(), &idle(), guard).unwrap();
        assert!(machine.monitor().is_running().is_ok());
        let mut pids = children(machine.pid());
        pids.push(machine.pid());
        drop(machine);
        for pid in pids {
            assert!(!is_alive(pid), "{pid} is an orphan");
        }
    }
}

/// Not a test of its own: the process that the next one kills.
#[test]
#[ignore = "the child of no_orphan_when_the_parent_is_killed"]
fn parent_to_be_killed() {
    let guard = match std::env::var("KDK_TEST_GUARD").as_deref() {
        Ok("pipe") => Guard::Pipe,
        _ => Guard::detect(),
    };
    let mut machine = QemuMachine::start_with(&qemu(), &idle(), guard).unwrap();
    assert!(machine.monitor().is_running().is_ok());
    let mut pids = children(machine.pid());
    pids.push(machine.pid());
    fs::write(
        std::env::var("KDK_TEST_PIDS").unwrap(),
        format!("{pids:?}\n"),
    )
    .unwrap();
    end(&machine);
}

#[test]
fn no_orphan_when_the_parent_is_killed() {
    for guard in ["setpriv", "pipe"] {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("pids");
        let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "parent_to_be_killed"])
            .env("KDK_TEST_PIDS", &list)
            .env("KDK_TEST_GUARD", guard)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let pids = loop {
            match fs::read_to_string(&list) {
                Ok(text) if text.ends_with('\n') => break text,
                _ => assert!(Instant::now() < deadline, "no QEMU was started"),
            }
            std::thread::yield_now();
        };
        parent.kill().unwrap();
        parent.wait().unwrap();
        let pids: Vec<u32> = serde_json::from_str(&pids).unwrap();
        for pid in pids {
            wait_gone(pid);
        }
    }
}

#[test]
fn firmware_that_finds_nothing_to_boot_is_a_boot_error_not_a_long_silence() {
    let dir = tempfile::tempdir().unwrap();
    let boot = Boot::Efi {
        firmware: kdk_vm::efi::find_firmware().unwrap(),
        dir: dir.path().to_owned(),
    };
    let (qemu, spec) = (qemu(), Spec::new(Engine::Tcg, boot));
    let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        Ok(Box::new(QemuMachine::start(&qemu, &spec)?))
    };
    let report = run_all(
        Guests::Boot(&machines),
        &Options::default(),
        &Interrupt::new(),
        &|_| {},
    );
    let error = report.error.as_ref().unwrap().to_string();
    assert!(
        error.contains("the firmware found nothing to boot"),
        "{error}"
    );
    assert_eq!(report.exit_code(), 4);
}

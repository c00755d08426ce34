//! Tests a bhyve machine with shell scripts instead of bhyve's programs. The
//! tests do not need FreeBSD; the terminals are real.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kdk_vm::bhyve::{self, Bhyve, BhyveMachine, Boot, Spec};
use kdk_vm::clock::Instant;
use kdk_vm::error::{InfraError, RunError};
use kdk_vm::exit::{Exit, Status};
use kdk_vm::guard::Guard;
use kdk_vm::hypervisor::MachineSize;
use kdk_vm::interrupt::Interrupt;
use kdk_vm::machine::{Event, Machine, Port};
use kdk_vm::progress::Progress;
use kdk_vm::qemu::{Access, Drive, Format};
use kdk_vm::run::{Guests, Options, run_all};
use kdk_vm::verdict::Verdict;

/// Creates a virtual machine in the fake /dev/vmm, as vmm(4) does.
const LOAD: &str = r#"
for name; do :; done
: > "$VMM/$name"
echo 'FreeBSD loader'
"#;

/// Finds the terminals and the first disk among bhyve's arguments, and opens
/// the terminals as 3 and 4.
const OPEN: &str = r#"
for arg; do
    case $arg in
    com1,*) com1=${arg#com1,} ;;
    com2,*) com2=${arg#com2,} ;;
    4,virtio-blk,*) disk=${arg#4,virtio-blk,}; disk=${disk%,ro} ;;
    esac
done
exec 3<>"$com1" 4<>"$com2"
"#;

/// A guest with two tests, of which one resets the machine.
const GUEST: &str = r##"
echo 'Copyright (c) 1992-2026 The FreeBSD Project.' >&3
echo '# kdk-hello protocol=2 guest=freebsd osreldate=1501000 kmod=0.1.0 uname=FreeBSD fake' >&4
while read -r command name <&4; do
    case $command in
    list)
        echo '# test a/passes where=kernel limit_ms=5000 expect=pass default=yes' >&4
        echo '# test a/resets where=kernel limit_ms=5000 expect=pass default=yes' >&4
        echo '# end list 2' >&4 ;;
    resume)
        echo "# resumed ${name% *} random=${name#*seed=}" >&4 ;;
    run)
        echo "# start $name" >&4
        case $name in *resets) exit 3 ;; esac
        printf 'KTAP version 1\n1..1\nok 1 %s\n# done 1\n' "$name" >&4 ;;
    end)
        echo '# bye' >&4
        exit 1 ;;
    esac
done
"##;

/// Shows that the guest runs, and waits to be killed.
const HANG: &str = "echo up >&3; exec tail -f /dev/null";

/// Scripts in a folder, and what they did.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new(bhyveload: &str, bhyve: &str) -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for sub in ["bin", "vmm", "tmp"] {
            fs::create_dir(host.path(sub)).unwrap();
        }
        host.script("bhyveload", bhyveload);
        host.script("bhyve", &format!("{OPEN}{bhyve}"));
        host.script(
            "bhyvectl",
            r#"case $2 in --destroy) rm "$VMM/${1#--vm=}" ;; esac"#,
        );
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Creates a program that logs its call and then runs `body`.
    fn script(&self, name: &str, body: &str) {
        let (log, vmm) = (self.path("calls"), self.path("vmm"));
        let text = format!(
            "#!/bin/sh\nVMM={}\necho {name} \"$@\" >> {}\n{body}\n",
            vmm.display(),
            log.display()
        );
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn bhyve(&self) -> Bhyve {
        Bhyve::at(&self.path("bin"), &self.path("vmm")).unwrap()
    }

    fn start(&self, spec: &Spec) -> BhyveMachine {
        self.guarded(spec, Guard::detect())
    }

    fn guarded(&self, spec: &Spec, guard: Guard) -> BhyveMachine {
        BhyveMachine::start_with(&self.bhyve(), spec, guard, &self.path("tmp")).unwrap()
    }

    /// Returns the programs that were called, in order, with their last
    /// argument.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let mut words = line.split(' ');
                let (first, last) = (words.next().unwrap(), words.next_back().unwrap());
                format!("{first} {last}")
            })
            .collect()
    }

    /// Returns the remaining virtual machines and files.
    fn left(&self) -> Vec<String> {
        let list = |sub| fs::read_dir(self.path(sub)).unwrap();
        let entries = list("vmm").chain(list("tmp"));
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn load() -> Spec {
    Spec::new(Boot::Load {
        dir: "/nonexistent".into(),
        env: Vec::new(),
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Reads a port until it contains `text`.
fn wait_for(machine: &dyn Machine, from: Port, text: &str) {
    let mut said = String::new();
    while !said.contains(text) {
        match machine.inbox().next(soon()) {
            Some(Event::Output(port, bytes)) if port == from => {
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
            Some(Event::Output(..)) => {}
            other => panic!("{other:?} after {said:?}"),
        }
    }
}

/// Waits for the end. Returns it, with the output of each port.
fn end(machine: &dyn Machine) -> (Exit, String, String) {
    let mut said = [String::new(), String::new()];
    loop {
        match machine.inbox().next(soon()) {
            Some(Event::Output(port, bytes)) => {
                let at = usize::from(port == Port::Result);
                said[at].push_str(&String::from_utf8_lossy(&bytes));
            }
            Some(Event::Ended(exit)) => {
                let [console, result] = said;
                return (exit, console, result);
            }
            Some(_) => {}
            None => panic!("it did not end: {said:?}"),
        }
    }
}

fn is_alive(pid: u32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), None).is_ok()
}

/// Returns the id of a process that has ended.
fn dead_pid() -> u32 {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

fn guards() -> Vec<Guard> {
    let mut guards = vec![Guard::Pipe, Guard::detect()];
    guards.dedup();
    guards
}

#[test]
fn a_machine_is_loaded_run_and_removed() {
    for guard in guards() {
        let host = Host::new(LOAD, GUEST);
        let mut machine = host.guarded(&load(), guard);
        let name = machine.name().to_owned();
        wait_for(&machine, Port::Result, "uname=FreeBSD fake\n");
        machine.send(Port::Result, b"end\n").unwrap();
        let (exit, _, result) = end(&machine);
        assert_eq!((exit, result.as_str()), (Exit::PowerOff, "# bye\n"));
        let calls = ["bhyveload ", "bhyve "].map(|it| format!("{it}{name}"));
        assert_eq!(host.calls()[..2], calls);
        assert_eq!(host.calls()[2..], ["bhyvectl --destroy"]);
        assert_eq!(host.left(), [""; 0]);
    }
}

#[test]
fn the_loaders_words_are_the_consoles_first() {
    let host = Host::new(LOAD, "echo kernel >&3; exit 0");
    let (exit, console, _) = end(&host.start(&load()));
    assert_eq!(
        (exit, console.as_str()),
        (Exit::Reset, "FreeBSD loader\nkernel\n")
    );
}

#[test]
fn a_loader_that_fails_says_why_and_nothing_runs() {
    for (script, want) in [
        (
            "echo 'bhyveload: vm_create: Permission denied' >&2; exit 1",
            "bhyveload: vm_create: Permission denied",
        ),
        (
            "echo \"can't find '/boot/kernel/kernel'\"; exit 1",
            "can't find '/boot/kernel/kernel'",
        ),
    ] {
        let host = Host::new(script, HANG);
        let (exit, _, _) = end(&host.start(&load()));
        assert_eq!(
            exit,
            Exit::Refused {
                vmm: bhyve::VMM,
                status: Status::Code(1),
                stderr: want.into(),
            }
        );
        let calls = host.calls();
        assert!(calls[0].starts_with("bhyveload "), "{calls:?}");
        assert_eq!(calls[1..], ["bhyvectl --destroy"]);
        assert_eq!(host.left(), [""; 0]);
    }
}

#[test]
fn bhyve_that_refuses_is_the_hosts_fault() {
    let host = Host::new(LOAD, "echo 'bhyve: vm_setup_memory: no' >&2; exit 4");
    let (exit, _, _) = end(&host.start(&load()));
    assert!(
        matches!(exit.infra(), Some(InfraError::MachineRefused { .. })),
        "{exit}"
    );
    assert_eq!(host.left(), [""; 0]);
}

#[test]
fn a_machine_that_is_dropped_is_gone() {
    for guard in guards() {
        let host = Host::new(LOAD, HANG);
        let machine = host.guarded(&load(), guard);
        wait_for(&machine, Port::Console, "up");
        let pid = machine.pid().unwrap();
        drop(machine);
        assert!(!is_alive(pid));
        assert_eq!(host.calls().last().unwrap(), "bhyvectl --destroy");
        assert_eq!(host.left(), [""; 0]);
    }
}

#[test]
fn a_machine_that_is_killed_is_nobodys_fault() {
    for guard in guards() {
        let host = Host::new(LOAD, HANG);
        let mut machine = host.guarded(&load(), guard);
        wait_for(&machine, Port::Console, "up");
        machine.kill();
        assert_eq!(end(&machine).0, Exit::Killed);
        assert_eq!(host.left(), [""; 0]);
    }
}

#[test]
fn a_loader_that_hangs_is_killed_and_nothing_runs() {
    let host = Host::new(&format!("{LOAD}exec tail -f /dev/null"), HANG);
    let machine = host.start(&load());
    wait_for(&machine, Port::Console, "FreeBSD loader");
    drop(machine);
    assert_eq!(host.calls()[1..], ["bhyvectl --destroy"]);
    assert_eq!(host.left(), [""; 0]);
}

#[test]
fn bhyve_that_somebody_kills_is_removed_and_reported() {
    let host = Host::new(LOAD, "echo up >&3; kill -KILL $$");
    let (exit, _, _) = end(&host.start(&load()));
    assert!(
        matches!(
            exit.infra(),
            Some(InfraError::MachineKilled { signal: 9, .. })
        ),
        "{exit}"
    );
    assert_eq!(host.left(), [""; 0]);
}

#[test]
fn firmware_needs_no_loader_and_gets_a_disk() {
    let host = Host::new(LOAD, r#"cp "$disk" "$VMM/../seen"; echo up >&3; exit 1"#);
    let esp = host.path("esp");
    fs::create_dir(&esp).unwrap();
    fs::write(esp.join("loader.rc"), "boot\n").unwrap();
    let spec = Spec::new(Boot::Efi {
        firmware: "/nonexistent/BHYVE_UEFI.fd".into(),
        dir: esp,
    });
    let (exit, _, _) = end(&host.start(&spec));
    assert_eq!(exit, Exit::PowerOff);
    assert!(host.calls()[0].starts_with("bhyve "));
    let image = fs::read(host.path("seen")).unwrap();
    assert_eq!(image[510..512], [0x55, 0xaa]);
    assert_eq!(host.left(), [""; 0]);
}

#[test]
fn what_the_guest_writes_is_forgotten() {
    let host = Host::new(LOAD, r#"echo dirt > "$disk"; echo up >&3; exit 1"#);
    let root = host.path("root.ufs");
    fs::write(&root, "clean").unwrap();
    let mut spec = load();
    spec.drives.push(Drive {
        path: root.clone(),
        format: Format::Raw,
        access: Access::Snapshot,
    });
    assert_eq!(end(&host.start(&spec)).0, Exit::PowerOff);
    assert_eq!(fs::read(root).unwrap(), b"clean");
}

#[test]
fn what_a_killed_run_left_is_swept_and_nothing_else() {
    let host = Host::new(LOAD, "exit 0");
    let (dead, me) = (
        format!("kdk-{}-0", dead_pid()),
        format!("kdk-{}-999", std::process::id()),
    );
    for name in [dead.as_str(), &me, "freebsd-vm"] {
        fs::write(host.path("vmm").join(name), "").unwrap();
    }
    let files = format!("kdk-{}-1", dead_pid());
    fs::create_dir(host.path("tmp").join(files)).unwrap();
    end(&host.start(&load()));
    assert_eq!(host.left(), ["freebsd-vm", me.as_str()]);
    let first = fs::read_to_string(host.path("calls")).unwrap();
    let first = first.lines().next().unwrap();
    assert_eq!(first, format!("bhyvectl --vm={dead} --destroy"));
}

#[test]
fn two_machines_share_nothing() {
    let host = Host::new(LOAD, GUEST);
    let mut machines = [host.start(&load()), host.start(&load())];
    for machine in &mut machines {
        wait_for(machine, Port::Result, "uname=FreeBSD fake\n");
    }
    assert_ne!(machines[0].name(), machines[1].name());
    for machine in &mut machines {
        machine.send(Port::Result, b"end\n").unwrap();
        assert_eq!(end(machine).2, "# bye\n");
    }
    assert_eq!(host.left(), [""; 0]);
}

#[test]
fn an_interrupt_goes_by_bhyvectl() {
    let host = Host::new(LOAD, HANG);
    let machine = host.start(&load());
    wait_for(&machine, Port::Console, "up");
    machine.inject_nmi().unwrap();
    assert_eq!(host.calls().last().unwrap(), "bhyvectl --inject-nmi");
    host.script("bhyvectl", "echo 'vm_open: no' >&2; exit 1");
    let error = machine.inject_nmi().unwrap_err().to_string();
    assert!(error.ends_with("vm_open: no"), "{error}");
}

#[test]
fn a_whole_run_goes_on_after_a_triple_fault() {
    let host = Host::new(LOAD, GUEST);
    let start = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        Ok(Box::new(host.start(&load())))
    };
    let report = run_all(
        Guests::Boot(&start),
        &Options::default(),
        &Interrupt::new(),
        &|_| {},
    );
    assert!(report.error.is_none(), "{:?}", report.error);
    let verdicts: Vec<_> = report.outcomes.iter().map(|it| it.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Crash]);
    let detail = &report.outcomes[1].detail;
    assert!(detail.contains("triple fault"), "{detail}");
    assert_eq!(host.left(), [""; 0]);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let host = Host::new(LOAD, GUEST);
    let interrupt = Interrupt::new();
    let start = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        Ok(Box::new(host.start(&load())))
    };
    let report = run_all(
        Guests::Boot(&start),
        &Options::default(),
        &interrupt,
        &|progress| {
            if matches!(progress, Progress::Up(..)) {
                interrupt.trigger();
            }
        },
    );
    assert!(
        matches!(report.error, Some(RunError::Infra(InfraError::Interrupted))),
        "{:?}",
        report.error
    );
    assert_eq!(host.calls().last().unwrap(), "bhyvectl --destroy");
    assert_eq!(host.left(), [""; 0]);
}

#[test]
fn a_program_that_cannot_run_is_the_hosts_fault() {
    for guard in guards() {
        let host = Host::new(LOAD, GUEST);
        let bhyve = host.path("bin").join("bhyve");
        fs::set_permissions(&bhyve, fs::Permissions::from_mode(0o644)).unwrap();
        let (exit, _, _) = end(&host.guarded(&load(), guard));
        assert!(
            matches!(exit.infra(), Some(InfraError::MachineRefused { .. })),
            "{exit}"
        );
        assert_eq!(host.left(), [""; 0]);
    }
}

#[test]
fn no_place_for_its_files_is_the_hosts_fault() {
    let host = Host::new(LOAD, GUEST);
    let gone = Path::new("/nonexistent/tmp");
    let error = BhyveMachine::start_with(&host.bhyve(), &load(), Guard::detect(), gone);
    let error = error.err().unwrap().to_string();
    assert!(
        error.starts_with("could not create /nonexistent/tmp/kdk-"),
        "{error}"
    );
    assert_eq!(host.calls(), [""; 0]);
}

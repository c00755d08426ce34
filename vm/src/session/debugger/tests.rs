use std::path::PathBuf;

use super::super::fake::{Fake, Guest, NMI, limits};
use super::super::{Logs, Ran, Session, Setup};
use crate::error::{BootError, RunError};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::protocol::{Expect, TestEntry};
use crate::verdict::{Outcome, Verdict, Where};
use std::time::Duration;

fn setup() -> Setup<'static> {
    Setup {
        limits: limits(),
        known: &[],
        interrupt: Interrupt::new(),
        sink: &|_| {},
    }
}

fn logs(debugger: Option<PathBuf>) -> Logs {
    Logs {
        debugger,
        ..Logs::default()
    }
}

/// Returns the outcome of `a/b` on a machine whose guest then is lost.
fn lost(machine: Box<dyn Machine>, logs: Logs) -> Outcome {
    let test = TestEntry {
        name: "a/b".into(),
        where_: Where::Kernel,
        limit: Duration::from_millis(100),
        expect: Expect::Pass,
        default: true,
        cpus: vec![1],
        mem_mib: 0,
    };
    let mut session = Session::boot(machine, logs, &setup()).unwrap_or_else(|e| panic!("{e}"));
    match session.run(&test).unwrap() {
        Ran::Lost(outcome) => outcome,
        other => panic!("not lost: {other:?}"),
    }
}

/// Returns a guest that starts `a/b`, and then `dies`.
fn guest(dies: impl FnOnce(Guest) + Send + 'static) -> Box<dyn Machine> {
    Fake::machine(|it: Guest| {
        it.hello();
        it.starts("a/b");
        dies(it);
    })
}

fn answer(command: &str) -> &'static str {
    match command {
        "show allpcpu" => "Current CPU: 0\r\n",
        "bt" => "Tracing pid 0\r\nspin() at spin+0x12/frame 0xfffffe0045efbc70\r\n",
        "show registers" => "rip  0xffffffff81a185f2  spin+0x12\r\n",
        "ps" => "100048    Run     CPU 0         [kdk test]\r\n",
        "show alllocks" => "exclusive sx one (one) r = 0 locked @ a.c:1\r\n",
        "alltrace" => "Tracing command kernel pid 0\r\n",
        _ => "",
    }
}

/// Answers like ddb until it is asked `last`, and then hangs.
fn ddb(it: Guest, last: &str) {
    it.console("[ thread pid 0 tid 100048 ]\r\ndb> ");
    loop {
        match it.command() {
            None => return it.hangs(),
            Some(command) if command == last => return it.hangs(),
            Some(command) => it.console(&format!("{command}\r\n{}db> ", answer(&command))),
        }
    }
}

#[test]
fn why_there_is_no_backtrace_is_said() {
    type Script = fn(Guest);
    let table: [(&str, Script); 4] = [
        ("did not answer an NMI within 0.5 s", |it| it.hangs()),
        ("did not answer an NMI within 0.5 s", |it| {
            it.command();
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(1500) {
                it.console("still here\n");
            }
            it.hangs();
        }),
        ("did not answer `ps` within 0.5 s", |it| {
            it.command();
            ddb(it, "ps");
        }),
        ("the machine ended instead of answering an NMI", |it| {
            it.command();
            it.ends(Status::Code(0), Some("guest-reset"));
        }),
    ];
    for (want, script) in table {
        let outcome = lost(guest(script), logs(None));
        assert_eq!(outcome.verdict, Verdict::Timeout, "{outcome:?}");
        assert!(outcome.detail.contains(want), "{want}: {outcome:?}");
    }
}

#[test]
fn a_machine_without_nmi_says_so() {
    let machine = Fake::without_nmi(|it: Guest| {
        it.hello();
        it.starts("a/b");
        it.hangs();
    });
    let outcome = lost(machine, logs(None));
    assert_eq!(outcome.verdict, Verdict::Timeout);
    insta::assert_snapshot!(outcome.detail, @r"
    no end within 0.6 s
    no backtrace: the machine did not take an NMI: unsupported
    ");
}

#[test]
fn a_hang_has_the_backtrace_that_the_debugger_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("debugger.1.log");
    let machine = guest(|it| {
        it.console("the last of the kernel\n");
        assert_eq!(it.command().as_deref(), Some(NMI));
        it.result("KTAP version 1\n1..1\n# step one\n");
        ddb(it, "");
    });
    let outcome = lost(machine, logs(Some(path.clone())));
    assert_eq!(outcome.verdict, Verdict::Timeout);
    let detail = outcome.detail.replace(&path.display().to_string(), "PATH");
    insta::assert_snapshot!(detail, @r"
    no end within 0.6 s
    all threads, registers and locks: PATH
    owned locks:
    exclusive sx one (one) r = 0 locked @ a.c:1
    step one
    ");
    assert_eq!(outcome.backtrace[0], "thread kdk test (100048) on cpu 0:");
    assert!(outcome.backtrace[1].starts_with("spin() at"));
    assert_eq!(outcome.console, ["the last of the kernel"]);
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        kept.contains("db> alltrace\nTracing command kernel"),
        "{kept}"
    );
}

#[test]
fn a_transcript_that_cannot_be_kept_costs_no_backtrace() {
    for path in ["/nonexistent/debugger.log", "/dev/full"] {
        let machine = guest(|it| {
            it.command();
            ddb(it, "");
        });
        let outcome = lost(machine, logs(Some(path.into())));
        assert_eq!(outcome.backtrace.len(), 2, "{outcome:?}");
        assert!(outcome.detail.contains(path), "{outcome:?}");
    }
}

#[test]
fn a_transcript_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("debugger.1.log");
    let mut transcript = super::Transcript::create(&path).unwrap();
    let line = "x".repeat(4000);
    for _ in 0..2000 {
        transcript.line(&line).unwrap();
    }
    let size = std::fs::metadata(&path).unwrap().len();
    let most = u64::try_from(super::TRANSCRIPT).unwrap();
    assert!(size > most - 5000 && size < most + 100, "{size}");
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.ends_with("x\n[the rest was not kept]\n"));
}

#[test]
fn a_panic_that_stays_in_the_debugger_keeps_its_own_backtrace() {
    let machine = guest(|it| {
        it.console("panic: one\ncpuid = 0\nKDB: stack backtrace:\n");
        it.console("vpanic() at vpanic+0x136/frame 0xfffffe0007d0ac40\nKDB: enter: panic\n");
        ddb(it, "");
    });
    let outcome = lost(machine, logs(None));
    assert_eq!(outcome.verdict, Verdict::Crash);
    insta::assert_snapshot!(outcome.detail, @r"
    panic: one
    owned locks:
    exclusive sx one (one) r = 0 locked @ a.c:1
    ");
    assert_eq!(outcome.backtrace.len(), 2, "{:?}", outcome.backtrace);
    assert!(outcome.backtrace[1].starts_with("vpanic() at"));
}

#[test]
fn a_kernel_that_panics_of_the_nmi_is_still_a_time_out() {
    let machine = guest(|it| {
        it.command();
        it.console("panic: NMI\ncpuid = 0\nKDB: stack backtrace:\n");
        it.console("spin() at spin+0x12/frame 0xfffffe0045efbc70\n");
        it.ends(Status::Code(0), Some("guest-reset"));
    });
    let outcome = lost(machine, logs(None));
    assert_eq!(outcome.verdict, Verdict::Timeout);
    assert_eq!(outcome.backtrace.len(), 2, "{outcome:?}");
}

fn boot_error(guest: fn(Guest)) -> BootError {
    match Session::boot(Fake::machine(guest), Logs::default(), &setup()) {
        Err(RunError::Boot(error)) => *error,
        Err(other) => panic!("not the kernel's fault: {other}"),
        Ok(_) => panic!("it booted"),
    }
}

#[test]
fn a_kernel_that_hangs_while_booting_is_asked() {
    let error = boot_error(|it| {
        it.console("---<<BOOT>>---\nprobing\n");
        assert_eq!(it.command().as_deref(), Some(NMI));
        ddb(it, "");
    });
    let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
    insta::assert_snapshot!(format!("{error}\n{}", help.unwrap()), @r"
    the kernel did not come up: it printed nothing for 1 s (in phase: kernel)
    the full console is in the log
    owned locks:
    exclusive sx one (one) r = 0 locked @ a.c:1
    where the kernel was:
      | thread kdk test (100048) on cpu 0:
      | spin() at spin+0x12/frame 0xfffffe0045efbc70
    the console's last lines:
      | ---<<BOOT>>---
      | probing
    ");
}

#[test]
fn a_loader_has_no_debugger_to_ask() {
    let error = boot_error(|it| {
        it.console("FreeBSD/amd64 EFI loader\n");
        assert_eq!(it.command(), None);
        it.hangs();
    });
    assert_eq!(error.remarks, [""; 0]);
}

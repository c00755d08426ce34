use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::fake::{Fake, Guest, limits};
use super::*;
use crate::console::log::Cap;
use crate::error::{BootError, RunError};
use crate::exit::Status;
use crate::machine::{Event, Notice, Port};
use crate::phase::Phase;
use crate::protocol::{Expect, TestEntry};
use crate::verdict::Where;

fn setup() -> Setup<'static> {
    Setup {
        limits: limits(),
        known: &[],
        interrupt: Interrupt::new(),
        sink: &|_| {},
    }
}

fn test(name: &str) -> TestEntry {
    TestEntry {
        name: name.into(),
        where_: Where::Kernel,
        limit: Duration::from_millis(300),
        expect: Expect::Pass,
        default: true,
        cpus: vec![1],
        mem_mib: 0,
    }
}

fn boot(guest: impl FnOnce(Guest) + Send + 'static) -> Result<Session<'static>, RunError> {
    Session::boot(Fake::machine(guest), Logs::default(), &setup())
}

fn boot_error(guest: impl FnOnce(Guest) + Send + 'static) -> BootError {
    match boot(guest) {
        Err(RunError::Boot(error)) => *error,
        Err(other) => panic!("not the kernel's fault: {other}"),
        Ok(_) => panic!("it booted"),
    }
}

/// Runs `a/b` against a guest that has just said hello.
fn run(guest: impl FnOnce(Guest) + Send + 'static) -> Ran {
    let mut session = boot(|it: Guest| {
        it.hello();
        guest(it);
    })
    .map_err(|e| e.to_string())
    .unwrap_or_else(|e| panic!("{e}"));
    session.run(&test("a/b")).unwrap()
}

fn outcome(ran: Ran) -> Outcome {
    match ran {
        Ran::Done(outcome) | Ran::Lost(outcome) => outcome,
        Ran::NotStarted(death) => panic!("not started: {death:?}"),
    }
}

#[test]
fn a_boot_panic_is_not_a_silent_hang() {
    let error = boot_error(|it| {
        it.console("Copyright (c) 1992-2025 The FreeBSD Project.\r\n");
        it.console("panic: No usable event timer found!\ncpuid = 0\nKDB: stack backtrace:\n");
        it.console("vpanic() at vpanic+0x136/frame 0xfffffe0007d0ac40\n");
        it.hangs();
    });
    assert_eq!(
        error.to_string(),
        "the kernel did not come up: panic: No usable event timer found! (in phase: kernel)"
    );
    assert_eq!(error.backtrace.len(), 2);
    assert_eq!(error.console.len(), 5);
}

#[test]
fn each_way_not_to_boot_has_its_words() {
    type Script = fn(Guest);
    let table: [(&str, Script, Phase); 12] = [
        ("printed nothing for 1 s", |it| it.hangs(), Phase::Firmware),
        (
            "was not up after 2 s",
            |it| {
                for _ in 0..160 {
                    it.console("still here\n");
                    std::thread::sleep(Duration::from_millis(25));
                }
                it.hangs();
            },
            Phase::Firmware,
        ),
        (
            "reset the machine",
            |it| it.ends(Status::Code(0), Some("guest-reset")),
            Phase::Firmware,
        ),
        (
            "debug exit 3",
            |it| it.ends(Status::Code(7), None),
            Phase::Firmware,
        ),
        (
            "root file system",
            |it| {
                it.console("Trying to mount root from ufs:/dev/x []...\n\nmountroot> ");
                it.hangs();
            },
            Phase::MountRoot,
        ),
        (
            "debugger",
            |it| {
                it.console("---<<BOOT>>---\ndb> ");
                it.hangs();
            },
            Phase::Kernel,
        ),
        (
            "loader stopped",
            |it| {
                it.console("FreeBSD/amd64 EFI loader\ncan't load 'kernel'\n\nOK ");
                it.hangs();
            },
            Phase::Loader,
        ),
        (
            "rebooted instead",
            |it| {
                it.console("---<<BOOT>>---\nbye\n---<<BOOT>>---\n");
                it.hangs();
            },
            Phase::Kernel,
        ),
        (
            "the guest has protocol version 3",
            |it| {
                it.result("# kdk-hello protocol=3 guest=demo kmod=none uname=x\n");
                it.hangs();
            },
            Phase::Firmware,
        ),
        (
            "refused with errno 8: KLD kdk.ko: depends on kernel - not available or version mismatch",
            |it| {
                it.console("KLD kdk.ko: depends on kernel - not available or version mismatch\n");
                it.result(
                    "# kdk-hello protocol=2 guest=freebsd osreldate=1 kmod=none kmod-error=8 uname=x\n",
                );
                it.hangs();
            },
            Phase::Init,
        ),
        (
            "panic: half a line",
            |it| {
                it.console("---<<BOOT>>---\npanic: half a line");
                it.hangs();
            },
            Phase::Kernel,
        ),
        (
            "init died",
            |it| {
                it.console("init died (signal 0, exit 1)\npanic: Going nowhere without my init!\n");
                it.console("panic: init died? never mind\n");
                it.hangs();
            },
            Phase::Init,
        ),
    ];
    for (want, script, phase) in table {
        let error = boot_error(script);
        let text = format!("{error}\n{}", error.console.join("\n"));
        assert!(text.contains(want), "{text:?} has no {want:?}");
        assert_eq!(error.phase, phase, "{text}");
    }
}

#[test]
fn a_qemu_that_dies_while_booting_is_not_the_kernels_fault() {
    for (status, ran) in [(Status::Signal(9), true), (Status::Code(1), false)] {
        let error = boot(move |it: Guest| {
            it.event(Event::Ended(crate::qemu::exit::classify(
                crate::exit::Ending {
                    vmm: crate::qemu::VMM,
                    status,
                    ran,
                    shutdown: None,
                    killed: false,
                    stderr: "qemu: no".into(),
                },
            )));
        });
        assert!(matches!(error.err(), Some(RunError::Infra(_))));
    }
    let error = boot(|it: Guest| {
        it.event(Event::Notice(Notice::DiskError("write: full".into())));
        it.hangs();
    });
    let text = error.err().map(|e| e.to_string()).unwrap();
    assert!(text.contains("write: full"), "{text}");
}

#[test]
fn a_list_that_is_damaged_is_refused() {
    let line = "# test a/b where=kernel limit_ms=300 expect=pass default=yes\n";
    for (answer, want) in [
        (String::new(), "no end of the list"),
        (line.to_owned(), "no end of the list"),
        (format!("{line}# end list 2\n"), "1 of 2 tests"),
        (format!("{line}{line}# end list 2\n"), "a/b is listed twice"),
        ("# test a/b where=kernel\n# end list 1\n".into(), "limit_ms"),
        ("# error list: no\n".into(), "list: no"),
        (
            "# kdk-hello protocol=2 guest=demo kmod=none uname=x\n".into(),
            "rebooted",
        ),
    ] {
        let mut session = boot(move |it: Guest| {
            it.hello();
            it.command();
            it.result(&answer);
            it.hangs();
        })
        .unwrap_or_else(|e| panic!("{e}"));
        let error = session.list().unwrap_err();
        assert!(matches!(error, RunError::Boot(_)));
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[test]
fn a_test_passes_with_noise_around_it() {
    let ran = run(|it| {
        it.result("ok 1 a/b\n# done 1\n# start a/z\x01");
        it.result("\n");
        it.command();
        it.console("lots to say\n");
        it.result("ok 1 a/b\n# start a/b\nKTAP version 1\n1..1\nok 1 a/b\n# done 1\nok 1 a/c\n");
        it.hangs();
    });
    // The first start line was another's: that is not to be believed.
    let Ran::Done(outcome) = ran else {
        panic!("{ran:?}")
    };
    assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
    assert!(
        outcome.detail.contains("started a/z\u{1} instead"),
        "{outcome:?}"
    );
}

#[test]
fn results_before_the_start_line_belong_to_no_test() {
    let ran = run(|it| {
        it.command();
        it.result("KTAP version 1\n1..1\nok 1 a/b\n# done 1\n");
        it.result("# start a/b\nKTAP version 1\n1..1\nnot ok 1 a/b # left != right\n# done 1\n");
        it.hangs();
    });
    let Ran::Done(outcome) = ran else {
        panic!("{ran:?}")
    };
    assert_eq!(
        (outcome.verdict, outcome.detail.as_str()),
        (Verdict::Fail, "left != right")
    );
}

#[test]
fn a_panic_outranks_the_ok_that_came_with_it() {
    let outcome = outcome(run(|it| {
        it.starts("a/b");
        it.result("KTAP version 1\n1..1\n# step one\nok 1 a/b\n");
        it.console("Fatal trap 12: page fault while in kernel mode\ncpuid = 0\n");
        it.result("# done 1\n");
        it.console("panic: page fault\nKDB: stack backtrace:\n");
        it.console("trap() at trap+0x5a/frame 0xfffffe00003a5f00\n");
        it.ends(Status::Code(0), Some("guest-reset"));
    }));
    assert_eq!(outcome.verdict, Verdict::Crash);
    assert_eq!(
        outcome.detail,
        "Fatal trap 12: page fault while in kernel mode\nstep one"
    );
    assert_eq!(outcome.backtrace.len(), 2, "{:?}", outcome.backtrace);
    assert!(outcome.console.iter().any(|l| l == "panic: page fault"));
}

#[test]
fn a_machine_that_ends_in_a_test_is_a_crash_with_the_way_it_ended() {
    for (status, shutdown, want) in [
        (Status::Code(0), Some("guest-reset"), "reset the machine"),
        (
            Status::Code(0),
            Some("guest-shutdown"),
            "turned the machine off",
        ),
        (Status::Code(1), None, "debug exit 0"),
    ] {
        let outcome = outcome(run(move |it| {
            it.starts("a/b");
            it.result("KTAP version 1\n1..1\nok 1 a/b\n");
            it.ends(status, shutdown);
        }));
        assert_eq!(outcome.verdict, Verdict::Crash);
        assert!(outcome.detail.contains(want), "{outcome:?}");
    }
}

#[test]
fn a_test_without_an_end_is_a_time_out_even_if_it_floods() {
    let quiet = outcome(run(|it| {
        it.starts("a/b");
        it.result("KTAP version 1\n1..1\nok 1 a/b\n");
        it.hangs();
    }));
    assert_eq!(quiet.verdict, Verdict::Timeout);
    assert!(quiet.detail.contains("no end within 0.8 s"), "{quiet:?}");
    for port in [Port::Console, Port::Result] {
        let loud = outcome(run(move |it| {
            it.starts("a/b");
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1800) {
                it.output(port, b"flood flood flood\n");
            }
            it.hangs();
        }));
        assert_eq!(loud.verdict, Verdict::Timeout, "{port:?}");
    }
}

/// Says hello and starts `a/b`, which passes after two seconds.
fn passes_late(it: Guest) {
    it.hello();
    it.starts("a/b");
    std::thread::sleep(Duration::from_secs(2));
    it.result("KTAP version 1\n1..1\nok 1 a/b\n# done 1\n");
    it.hangs();
}

#[test]
fn a_test_is_not_late_while_the_host_does_not_run_the_machine() {
    let run = |percent| {
        let machine = Fake::hindered(percent, passes_late);
        let mut session = Session::boot(machine, Logs::default(), &setup()).unwrap();
        outcome(session.run(&test("a/b")).unwrap())
    };
    assert_eq!(run(90).verdict, Verdict::Pass);
    let late = run(20);
    assert_eq!(late.verdict, Verdict::Timeout);
    let why = "no end within 0.8 s; 0.";
    assert!(late.detail.contains(why), "{late:?}");
    assert!(late.detail.contains("waited for the host do not count"));
    // What hangs is found on any host.
    let machine = Fake::hindered(75, |it| {
        it.hello();
        it.starts("a/b");
        it.hangs();
    });
    let mut session = Session::boot(machine, Logs::default(), &setup()).unwrap();
    let hung = outcome(session.run(&test("a/b")).unwrap());
    assert_eq!(hung.verdict, Verdict::Timeout);
}

#[test]
fn a_slow_guest_has_more_time_for_its_tests() {
    let run = |times: u64| {
        let slow = move |it: Guest| {
            it.hello();
            let resume = it.raw_command().unwrap();
            let time = resume.split(' ').nth(1).unwrap();
            let work = times * kdk_harness::CALIBRATION_REFERENCE_US;
            it.result(&format!("# resumed {time} random=1 work_us={work}\n"));
            it.starts("a/b");
            std::thread::sleep(Duration::from_secs(2));
            it.result("KTAP version 1\n1..1\nok 1 a/b\n# done 1\n");
            it.hangs();
        };
        let mut session = boot(slow).unwrap();
        session.resume(1).unwrap();
        outcome(session.run(&test("a/b")).unwrap())
    };
    assert_eq!(run(8).verdict, Verdict::Pass);
    let late = run(2);
    assert_eq!(late.verdict, Verdict::Timeout);
    let why = "no end within 1.6 s, a limit for a guest as slow as this one";
    assert!(late.detail.contains(why), "{late:?}");
}

#[test]
fn each_fault_of_a_test_has_its_verdict() {
    type Script = fn(&Guest);
    let table: [(&str, Script, Verdict, &str); 8] = [
        (
            "refused",
            |it| {
                it.command();
                it.result("# error run a/b: no such test\n");
            },
            Verdict::Fail,
            "the guest refused it: run a/b: no such test",
        ),
        (
            "wrong count",
            |it| {
                it.starts("a/b");
                it.result("KTAP version 1\n1..1\nok 1 a/b\n# done 2\n");
            },
            Verdict::Fail,
            "done with 2 tests",
        ),
        (
            "second start",
            |it| {
                it.starts("a/b");
                it.result("# start a/c\nKTAP version 1\n1..1\nok 1 a/b\n# done 1\n");
            },
            Verdict::Fail,
            "started a/c meanwhile",
        ),
        (
            "empty document",
            |it| {
                it.starts("a/b");
                it.result("# done 1\n");
            },
            Verdict::Fail,
            "no `KTAP version 1` line",
        ),
        (
            "skip",
            |it| {
                it.starts("a/b");
                it.result("KTAP version 1\n1..1\nok 1 a/b # SKIP no net\n# done 1\n");
            },
            Verdict::Skip,
            "no net",
        ),
        (
            "the guest's own time-out",
            |it| {
                it.starts("a/b");
                it.result("KTAP version 1\n1..1\nnot ok 1 a/b # TIMEOUT 300 ms\n# done 1\n");
            },
            Verdict::Timeout,
            "300 ms",
        ),
        (
            "witness",
            |it| {
                it.starts("a/b");
                it.console("lock order reversal:\n 1st 0x1 one (one, sx) @ a.c:1\n");
                it.console(" 2nd 0x2 two (two, sx) @ a.c:2\n");
                it.result("KTAP version 1\n1..1\nok 1 a/b\n# done 1\n");
            },
            Verdict::Fail,
            "1st one (one, sx) @ a.c:1, 2nd two",
        ),
        (
            "a module refused on purpose",
            |it| {
                it.starts("a/b");
                it.console("KLD x.ko: depends on kernel - not available or version mismatch\n");
                it.result("KTAP version 1\n1..1\nok 1 a/b\n# done 1\n");
            },
            Verdict::Pass,
            "",
        ),
    ];
    for (what, script, verdict, detail) in table {
        let ran = run(move |it| {
            script(&it);
            it.hangs();
        });
        let Ran::Done(outcome) = ran else {
            panic!("{what}: {ran:?}")
        };
        assert_eq!(outcome.verdict, verdict, "{what}: {outcome:?}");
        assert!(outcome.detail.contains(detail), "{what}: {outcome:?}");
    }
}

#[test]
fn a_known_complaint_does_not_fail_a_test() {
    let known = ["one (one, sx)".to_owned()];
    let setup = Setup {
        known: &known,
        ..setup()
    };
    let machine = Fake::machine(|it: Guest| {
        it.hello();
        it.starts("a/b");
        it.console("lock order reversal:\n 1st 0x1 one (one, sx) @ a.c:1\n");
        it.result("KTAP version 1\n1..1\nok 1 a/b\n# done 1\n");
        it.hangs();
    });
    let mut session =
        Session::boot(machine, Logs::default(), &setup).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        outcome(session.run(&test("a/b")).unwrap()).verdict,
        Verdict::Pass
    );
}

/// Runs `a/b`, of which this is expected.
fn run_known(expect: Expect, guest: impl FnOnce(Guest) + Send + 'static) -> Outcome {
    let mut session = boot(|it: Guest| {
        it.hello();
        guest(it);
    })
    .unwrap_or_else(|e| panic!("{e}"));
    let known_bad = TestEntry {
        expect,
        ..test("a/b")
    };
    outcome(session.run(&known_bad).unwrap())
}

#[test]
fn an_expected_failure_that_passes_is_reported() {
    for expect in [Expect::Fail, Expect::Crash] {
        let outcome = run_known(expect, |it| {
            it.passes("a/b");
            it.hangs();
        });
        assert_eq!(
            (outcome.verdict, outcome.expected),
            (Verdict::Xpass, Verdict::Xfail)
        );
    }
}

#[test]
fn an_expected_crash_or_failure_may_be_a_crash_or_a_time_out() {
    type Script = fn(Guest);
    let dies: Script = |it| {
        it.starts("a/b");
        it.result("KTAP version 1\n1..1\n# may end the kernel: known\n");
        it.console("panic: boom\ncpuid = 0\n");
        it.hangs();
    };
    let stands_still: Script = |it| {
        it.starts("a/b");
        it.hangs();
    };
    for (expect, script, verdict) in [
        (Expect::Crash, dies, Verdict::Xfail),
        (Expect::Fail, dies, Verdict::Crash),
        (Expect::Crash, stands_still, Verdict::Timeout),
        (Expect::Fail, stands_still, Verdict::Xfail),
    ] {
        let outcome = run_known(expect, script);
        assert_eq!(outcome.verdict, verdict, "{expect:?}: {}", outcome.detail);
        assert_eq!(outcome.expected, Verdict::Xfail);
        if (expect, verdict) == (Expect::Crash, Verdict::Xfail) {
            for part in ["panic: boom", "may end the kernel: known"] {
                assert!(outcome.detail.contains(part), "{}", outcome.detail);
            }
        }
    }
}

#[test]
fn a_death_between_tests_is_not_the_next_tests() {
    let ran = run(|it| {
        it.command();
        it.console("panic: late\ncpuid = 0\n");
        it.hangs();
    });
    let Ran::NotStarted(death) = ran else {
        panic!("{ran:?}")
    };
    assert_eq!(
        (death.verdict, death.title.as_str()),
        (Verdict::Crash, "panic: late")
    );
    let ran = run(|it| it.hangs());
    let Ran::NotStarted(death) = ran else {
        panic!("{ran:?}")
    };
    assert_eq!(death.verdict, Verdict::Timeout);
}

#[test]
fn a_panic_that_overtakes_its_tests_start_line_is_that_tests() {
    let outcome = outcome(run(|it| {
        it.command();
        it.console("panic: quick\ncpuid = 0\n");
        it.result("# start a/b\nKTAP version 1\n1..1\n# step one\n");
        it.hangs();
    }));
    assert_eq!(outcome.verdict, Verdict::Crash);
    assert_eq!(outcome.detail, "panic: quick\nstep one");
}

#[test]
fn a_reboot_in_a_test_is_a_crash() {
    let outcome = outcome(run(|it| {
        it.starts("a/b");
        it.hello();
        it.hangs();
    }));
    assert_eq!(outcome.verdict, Verdict::Crash);
    assert!(outcome.detail.contains("hello again"), "{outcome:?}");
}

#[test]
fn a_killed_qemu_gives_no_verdict() {
    let mut session = boot(|it: Guest| {
        it.hello();
        it.starts("a/b");
        it.result("KTAP version 1\n1..1\nok 1 a/b\n");
        it.ends(Status::Signal(9), None);
    })
    .unwrap_or_else(|e| panic!("{e}"));
    let error = session.run(&test("a/b")).unwrap_err();
    assert!(matches!(error, InfraError::MachineKilled { signal: 9, .. }));
}

#[test]
fn what_was_reported_counts_though_qemu_is_killed_at_once() {
    for _ in 0..20 {
        let ran = run(|it| {
            it.passes("a/b");
            it.ends(Status::Signal(9), None);
        });
        assert_eq!(outcome(ran).verdict, Verdict::Pass);
    }
}

#[test]
fn a_disk_error_after_a_result_is_reported_at_the_next_wait() {
    let mut session = boot(|it: Guest| {
        it.hello();
        it.passes("a/b");
        it.event(Event::Notice(Notice::DiskError("no space".into())));
        it.hangs();
    })
    .map_err(|e| e.to_string())
    .unwrap_or_else(|e| panic!("{e}"));
    let ran = session.run(&test("a/b")).unwrap();
    assert_eq!(outcome(ran).verdict, Verdict::Pass);
    let error = session.run(&test("a/c")).unwrap_err();
    assert!(matches!(error, InfraError::GuestDisk { .. }), "{error}");
}

#[test]
fn an_interruption_ends_a_wait_at_once() {
    let setup = Setup {
        limits: Limits::default(),
        ..setup()
    };
    let interrupt = setup.interrupt.clone();
    let machine = Fake::machine(move |it: Guest| {
        it.console("booting\n");
        interrupt.trigger();
        it.hangs();
    });
    let start = Instant::now();
    let error = Session::boot(machine, Logs::default(), &setup).err();
    assert!(matches!(
        error,
        Some(RunError::Infra(InfraError::Interrupted))
    ));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn goodbyes() {
    let end = |guest: fn(Guest)| {
        boot(move |it: Guest| {
            it.hello();
            guest(it);
        })
        .unwrap_or_else(|e| panic!("{e}"))
        .end()
        .unwrap()
    };
    assert_eq!(end(Guest::says_bye), Goodbye::Clean);
    assert!(matches!(end(Guest::hangs), Goodbye::Odd(why) if why.contains("within 1.0 s")));
    assert!(matches!(
        end(|it| {
            it.command();
            it.ends(Status::Code(1), None);
        }),
        Goodbye::Odd(_)
    ));
    assert!(matches!(
        end(|it| {
            it.command();
            it.console("panic: at unload\ncpuid = 0\n");
            it.hangs();
        }),
        Goodbye::Died(death) if death.title == "panic: at unload"
    ));
}

#[test]
fn both_streams_are_logged_raw_and_a_full_disk_costs_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let (console, result) = (
        dir.path().join("console.log"),
        dir.path().join("result.log"),
    );
    std::os::unix::fs::symlink("/dev/full", &console).unwrap();
    let logs = Logs {
        console: Some(StampedLog::create(&console, Cap::default()).unwrap()),
        result: Some(StampedLog::create(&result, Cap::default()).unwrap()),
        debugger: None,
    };
    let notes = Mutex::new(Vec::new());
    let sink = |progress: crate::progress::Progress<'_>| {
        if let crate::progress::Progress::Note(text) = progress {
            notes.lock().unwrap().push(text.to_owned());
        }
    };
    let setup = Setup {
        limits: limits(),
        known: &[],
        interrupt: Interrupt::new(),
        sink: &sink,
    };
    let machine = Fake::machine(|it: Guest| {
        it.console("one\n");
        it.console("two\n");
        it.output(Port::Result, b"\xff\0noise\n");
        it.hello();
        it.passes("a/b");
        it.hangs();
    });
    let mut session = Session::boot(machine, logs, &setup).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        outcome(session.run(&test("a/b")).unwrap()).verdict,
        Verdict::Pass
    );
    assert!(matches!(
        session.log_error(),
        Some(InfraError::DiskFull { .. })
    ));
    assert_eq!(notes.lock().unwrap().len(), 1, "{notes:?}");
    let raw = std::fs::read(&result).unwrap();
    assert!(raw.starts_with(b"[   0.0") && raw.windows(8).any(|w| w == b"\xff\0noise\n"));
}

#[test]
fn a_guest_that_does_not_wake_is_not_up() {
    for (answer, want) in [
        (
            "# resumed time=5.000000000 random=1\n",
            "s from what it was set to",
        ),
        ("# resumed\n", "time is missing or wrong"),
        ("# error resume: clock_settime: 1\n", "clock_settime"),
        ("", "no answer within"),
    ] {
        let machine = Fake::machine(move |it: Guest| {
            let command = it.raw_command();
            assert!(command.is_some_and(|line| line.ends_with(" seed=000000000000002a")));
            it.result(answer);
            it.hangs();
        });
        let hello = crate::protocol::Hello::parse("protocol=2 guest=demo kmod=none uname=x");
        let session = Session::restore(machine, Logs::default(), &setup(), &hello.unwrap());
        let mut session = session.unwrap_or_else(|e| panic!("{e}"));
        let error = session.resume(42).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[test]
fn a_host_whose_clock_was_set_is_not_the_guests_fault() {
    // To the guest's answer it is years since it was sent this time.
    let sent = Duration::from_secs(1_000_000);
    for (answer, good) in [
        ("# resumed time=1000001.000000000 random=7\n", true),
        ("# resumed time=1000060.000000000 random=7\n", false),
    ] {
        let machine = Fake::machine(move |it: Guest| {
            let command = it.raw_command();
            assert!(command.is_some_and(|line| line.starts_with("resume time=1000000.0")));
            it.result(answer);
            it.hangs();
        });
        let hello = crate::protocol::Hello::parse("protocol=2 guest=demo kmod=none uname=x");
        let session = Session::restore(machine, Logs::default(), &setup(), &hello.unwrap());
        let mut session = session.unwrap_or_else(|e| panic!("{e}"));
        let resumed = session.resume_at(sent, 42);
        assert_eq!(resumed.ok(), good.then_some(7), "{answer}");
    }
}

use std::cell::RefCell;

use super::*;
use crate::exit::Status;
use crate::machine::Machine;
use crate::session::fake::{Fake, Guest, limits};
use Verdict::{Crash, Fail, NotRun, Pass, Timeout};

fn options(patterns: &[&str]) -> Options {
    Options {
        patterns: patterns.iter().map(|p| (*p).to_owned()).collect(),
        limits: limits(),
        ..Options::default()
    }
}

const TESTS: [&str; 3] = ["a/one", "a/two", "b/three"];

/// Plays one guest per boot; the lines of progress are returned too.
fn play(patterns: &[&str], guests: Vec<fn(Guest)>) -> (Report, Vec<String>) {
    let mut guests = guests.into_iter();
    let mut machines = |boot: usize| -> Result<Box<dyn Machine>, InfraError> {
        let guest = guests
            .next()
            .unwrap_or_else(|| panic!("no guest for boot {boot}"));
        Ok(Fake::machine(guest))
    };
    let heard = RefCell::new(Vec::new());
    let sink = |progress: Progress<'_>| match progress {
        Progress::Finished(o) => heard.borrow_mut().push(format!("{} {}", o.name, o.verdict)),
        Progress::Revised(o) => heard
            .borrow_mut()
            .push(format!("{} now {}", o.name, o.verdict)),
        Progress::Starting(n) => heard.borrow_mut().push(format!("boot {n}")),
        Progress::Note(text) => heard.borrow_mut().push(format!("note {text}")),
        _ => {}
    };
    let report = run_all(&mut machines, &options(patterns), &Interrupt::new(), &sink);
    assert!(guests.next().is_none(), "a guest was not booted");
    (report, heard.into_inner())
}

fn verdicts(report: &Report) -> Vec<(&str, Verdict)> {
    report
        .outcomes
        .iter()
        .map(|o| (o.name.as_str(), o.verdict))
        .collect()
}

fn up(it: &Guest) {
    it.hello();
    it.tests(&TESTS);
}

#[test]
fn all_pass_on_one_kernel() {
    let (report, heard) = play(
        &[],
        vec![|it| {
            up(&it);
            TESTS.iter().for_each(|name| it.passes(name));
            it.says_bye();
        }],
    );
    assert_eq!(
        heard,
        ["boot 1", "a/one PASS", "a/two PASS", "b/three PASS"]
    );
    assert_eq!((report.exit_code(), report.boots.len()), (0, 1));
}

#[test]
fn a_crash_takes_no_other_test_with_it() {
    let (report, _) = play(
        &[],
        vec![
            |it| {
                up(&it);
                it.passes("a/one");
                it.starts("a/two");
                it.console("panic: two\ncpuid = 0\n");
                it.hangs();
            },
            |it| {
                it.hello();
                it.passes("b/three");
                it.says_bye();
            },
        ],
    );
    assert_eq!(
        verdicts(&report),
        [("a/one", Pass), ("a/two", Crash), ("b/three", Pass)]
    );
    assert_eq!((report.exit_code(), report.boots.len()), (1, 2));
}

#[test]
fn no_machine_is_booted_for_nothing_after_the_last_test_crashed() {
    let (report, _) = play(
        &["b/three"],
        vec![|it| {
            up(&it);
            it.starts("b/three");
            it.hangs();
        }],
    );
    assert_eq!(verdicts(&report), [("b/three", Timeout)]);
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_kernel_that_does_not_come_back_leaves_the_rest_not_run() {
    let (report, _) = play(
        &[],
        vec![
            |it| {
                up(&it);
                it.starts("a/one");
                it.console("panic: one\ncpuid = 0\n");
                it.hangs();
            },
            |it| {
                it.console("panic: at boot\ncpuid = 0\n");
                it.hangs();
            },
        ],
    );
    assert_eq!(
        verdicts(&report),
        [("a/one", Crash), ("a/two", NotRun), ("b/three", NotRun)]
    );
    assert!(report.outcomes[1].detail.contains("panic: at boot"));
    assert_eq!(report.exit_code(), 4);
}

#[test]
fn a_death_after_a_pass_is_that_tests_and_the_next_one_gets_its_chance() {
    let (report, heard) = play(
        &[],
        vec![
            |it| {
                up(&it);
                it.passes("a/one");
                it.command();
                it.console("panic: late\ncpuid = 0\n");
                it.hangs();
            },
            |it| {
                it.hello();
                it.passes("a/two");
                it.passes("b/three");
                it.says_bye();
            },
        ],
    );
    assert_eq!(
        heard,
        [
            "boot 1",
            "a/one PASS",
            "a/one now CRASH",
            "boot 2",
            "a/two PASS",
            "b/three PASS"
        ]
    );
    assert_eq!(
        report.outcomes[0].detail,
        "after it had reported PASS: panic: late"
    );
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_kernel_that_dies_before_every_test_does_not_boot_for_ever() {
    let dies: fn(Guest) = |it| {
        it.hello();
        it.command();
        it.console("panic: idle\ncpuid = 0\n");
        it.hangs();
    };
    let (report, _) = play(
        &["a/*"],
        vec![
            |it| {
                up(&it);
                it.command();
                it.console("panic: idle\ncpuid = 0\n");
                it.hangs();
            },
            dies,
        ],
    );
    assert_eq!(verdicts(&report), [("a/one", Crash), ("a/two", Crash)]);
    assert!(report.outcomes[0].detail.contains("before it started"));
}

#[test]
fn a_panic_while_ending_is_the_last_tests() {
    let (report, heard) = play(
        &["a/one"],
        vec![|it| {
            up(&it);
            it.passes("a/one");
            it.command();
            it.console("panic: at unload\ncpuid = 0\n");
            it.hangs();
        }],
    );
    assert_eq!(heard.last().map(String::as_str), Some("a/one now CRASH"));
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn a_killed_qemu_keeps_what_was_reported() {
    let (report, _) = play(
        &[],
        vec![|it| {
            up(&it);
            it.passes("a/one");
            it.starts("a/two");
            it.ends(Status::Signal(9), None);
        }],
    );
    assert_eq!(
        verdicts(&report),
        [("a/one", Pass), ("a/two", NotRun), ("b/three", NotRun)]
    );
    assert_eq!(report.exit_code(), 5);
}

#[test]
fn an_interrupted_run_keeps_what_was_reported() {
    let interrupt = Interrupt::new();
    let from_guest = interrupt.clone();
    let mut machines = move |_: usize| -> Result<Box<dyn Machine>, InfraError> {
        let interrupt = from_guest.clone();
        Ok(Fake::machine(move |it: Guest| {
            up(&it);
            it.passes("a/one");
            it.starts("a/two");
            interrupt.trigger();
            it.hangs();
        }))
    };
    let report = run_all(&mut machines, &options(&[]), &interrupt, &|_| {});
    assert_eq!(
        verdicts(&report),
        [("a/one", Pass), ("a/two", NotRun), ("b/three", NotRun)]
    );
    assert_eq!(report.outcomes[1].detail, "interrupted");
    assert_eq!(report.exit_code(), 5);
}

#[test]
fn a_glob_that_matches_nothing_is_a_wrong_command_line() {
    let (report, _) = play(
        &["z/*"],
        vec![|it| {
            up(&it);
            it.hangs();
        }],
    );
    assert_eq!((report.exit_code(), report.outcomes.len()), (2, 0));
}

#[test]
fn a_machine_that_cannot_be_started_is_the_hosts_fault() {
    let mut machines = |_: usize| -> Result<Box<dyn Machine>, InfraError> {
        Err(InfraError::QemuMissing {
            tried: "qemu".into(),
        })
    };
    let report = run_all(&mut machines, &options(&[]), &Interrupt::new(), &|_| {});
    assert_eq!((report.exit_code(), report.outcomes.len()), (5, 0));
}

#[test]
fn complaints_while_booting_are_kept_apart_from_tests() {
    let (report, _) = play(
        &["a/one"],
        vec![|it| {
            it.console("lock order reversal:\n 1st 0x1 x (x, sx) @ a.c:1\n");
            up(&it);
            it.passes("a/one");
            it.says_bye();
        }],
    );
    assert_eq!(verdicts(&report), [("a/one", Pass)]);
    assert_eq!(report.complaints.len(), 1);
    assert_eq!(report.exit_code(), 0);
}

#[test]
fn a_bad_log_directory_is_told_before_anything_boots() {
    let mut machines =
        |_: usize| -> Result<Box<dyn Machine>, InfraError> { panic!("nothing should boot") };
    let options = Options {
        logs: Some(LogDir {
            path: "/nonexistent".into(),
            cap: Cap::default(),
        }),
        ..options(&[])
    };
    let report = run_all(&mut machines, &options, &Interrupt::new(), &|_| {});
    assert_eq!(report.exit_code(), 5);
}

#[test]
fn failures_are_worse_than_a_log_that_is_not_whole() {
    let mut report = Report {
        log_error: Some(InfraError::Interrupted),
        ..Report::default()
    };
    let test =
        crate::protocol::TestEntry::parse("a/b where=kernel limit_ms=1 expect=pass default=yes")
            .unwrap();
    report.outcomes.push(Outcome::without_verdict(&test, Pass));
    assert_eq!(report.exit_code(), 5);
    report.outcomes.push(Outcome::without_verdict(&test, Fail));
    assert_eq!(report.exit_code(), 1);
}

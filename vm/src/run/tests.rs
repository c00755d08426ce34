use std::cell::Cell;
use std::sync::Mutex;

use super::*;
use crate::exit::Status;
use crate::machine::Machine;
use crate::protocol::Hello;
use crate::session::fake::{Fake, Guest, limits};
use Verdict::{Crash, Fail, NotRun, Pass, Timeout};

fn options(patterns: &[&str]) -> Options {
    Options {
        selection: Selection {
            patterns: patterns.iter().map(|p| (*p).to_owned()).collect(),
            ..Selection::default()
        },
        limits: limits(),
        ..Options::default()
    }
}

thread_local! {
    /// The number of times that the host stands still for two seconds, each
    /// time when [`UNLUCKY`] starts.
    static STANDSTILLS: Cell<usize> = const { Cell::new(0) };
    static STOOD_STILL: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

const UNLUCKY: &str = "a/two";

fn starts(test: &TestEntry) {
    let left = STANDSTILLS.get();
    if test.name == UNLUCKY && left > 0 {
        STANDSTILLS.set(left - 1);
        STOOD_STILL.set(STOOD_STILL.get() + Duration::from_secs(2));
    }
}

const TESTS: [&str; 3] = ["a/one", "a/two", "b/three"];

/// Runs one guest per boot. Returns the report and the lines of progress.
fn run_guests(patterns: &[&str], guests: Vec<fn(Guest)>) -> (RunReport, Vec<String>) {
    let (report, heard, left) = run_with(&options(patterns), None, guests);
    assert_eq!(left, 0, "a guest was not booted");
    (report, heard)
}

/// Returns the same with any options, and with guests that are loaded, if
/// `saved`; returns too how many guests were not asked for.
fn run_with(
    options: &Options,
    saved: Option<&Saved>,
    guests: Vec<fn(Guest)>,
) -> (RunReport, Vec<String>, usize) {
    let guests = Mutex::new(guests.into_iter());
    let asked = Mutex::new(Vec::new());
    let machines = |number: usize, size: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        asked.lock().unwrap().push(size.cpus);
        let guest = guests.lock().unwrap().next();
        let guest = guest.unwrap_or_else(|| panic!("no guest for machine {number}"));
        Ok(Fake::machine(guest))
    };
    let heard = Mutex::new(Vec::new());
    let sink = |progress: Progress<'_>| {
        let line = match progress {
            Progress::Finished(o) => format!("{} {}", o.name, o.verdict),
            Progress::Revised(o) => format!("{} now {}", o.name, o.verdict),
            Progress::Starting(n) => format!("boot {n}"),
            Progress::Note(text) => format!("note {text}"),
            Progress::Started(test) => return starts(test),
            _ => return,
        };
        heard.lock().unwrap().push(line);
    };
    let loaded: Vec<SavedMachines<'_>> = saved
        .iter()
        .flat_map(|saved| {
            [1, 4].map(|cpus| SavedMachines {
                size: MachineSize { cpus, mem_mib: 0 },
                pool: &machines,
                saved,
            })
        })
        .collect();
    let from = match saved {
        Some(_) => Guests::Load(&loaded),
        None => Guests::Boot(&machines),
    };
    let interrupt = Interrupt::new();
    let mut run = Run::new(from, options, &interrupt, &sink);
    run.stood_still = || STOOD_STILL.get();
    let report = run.run();
    // A test ran on the machine that was started for it.
    for outcome in report.outcomes.iter().filter(|o| o.machine.is_some()) {
        let started = asked.lock().unwrap()[outcome.machine.unwrap() - 1];
        assert_eq!(outcome.cpus, started, "{outcome:?}");
    }
    let left = guests.into_inner().unwrap().len();
    (report, heard.into_inner().unwrap(), left)
}

fn verdicts(report: &RunReport) -> Vec<(&str, Verdict)> {
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
    let (report, heard) = run_guests(
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
    let (report, _) = run_guests(
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
    let (report, _) = run_guests(
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
    let (report, _) = run_guests(
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
    let (report, heard) = run_guests(
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
    let (report, _) = run_guests(
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
    let (report, heard) = run_guests(
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
    let (report, _) = run_guests(
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

fn fails(it: &Guest, name: &str) {
    it.starts(name);
    it.result(&format!(
        "KTAP version 1\n1..1\n# too late\nnot ok 1 {name}\n# done 1\n"
    ));
}

const RUNS_AGAIN: &str = "note the host stood still for 2.0 s: a/two runs again";

#[test]
fn a_test_runs_again_where_the_host_stood_still_and_its_outcome_says_so() {
    STANDSTILLS.set(1);
    let (report, heard) = run_guests(
        &["a/*"],
        vec![
            |it| {
                up(&it);
                it.passes("a/one");
                fails(&it, "a/two");
                assert_eq!(it.command().as_deref(), Some("end"));
                it.console("lock order reversal:\n 1st a\n");
                it.result("# bye\n");
                it.ends(Status::Code(1), None);
            },
            |it| {
                it.hello();
                it.passes("a/two");
                it.says_bye();
            },
        ],
    );
    assert_eq!(
        heard,
        ["boot 1", "a/one PASS", RUNS_AGAIN, "boot 2", "a/two PASS"]
    );
    assert_eq!(
        report.outcomes[1].detail,
        "run again after the host stood still for 2.0 s; before: FAIL: too late"
    );
    // It came after the test, so it is no one's.
    assert_eq!(report.complaints.len(), 1, "{:?}", report.complaints);
}

#[test]
fn a_test_runs_again_three_times_at_most() {
    STANDSTILLS.set(5);
    let again: fn(Guest) = |it| {
        it.hello();
        fails(&it, "a/two");
        it.says_bye();
    };
    let first: fn(Guest) = |it| {
        up(&it);
        fails(&it, "a/two");
        it.says_bye();
    };
    let (report, _) = run_guests(&["a/two"], vec![first, again, again, again]);
    assert_eq!(verdicts(&report), [("a/two", Fail)]);
    assert_eq!(report.outcomes[0].detail.matches("too late").count(), 4);
}

#[test]
fn a_kernel_that_dies_after_a_test_does_not_make_it_run_again() {
    STANDSTILLS.set(1);
    let (report, heard) = run_guests(
        &["a/two"],
        vec![|it| {
            up(&it);
            fails(&it, "a/two");
            assert_eq!(it.command().as_deref(), Some("end"));
            it.console("panic: late\ncpuid = 0\n");
            it.hangs();
        }],
    );
    assert_eq!(heard, ["boot 1", "a/two FAIL", "a/two now CRASH"]);
    assert!(
        report.outcomes[0]
            .detail
            .contains("after it had reported FAIL: panic: late")
    );
}

#[test]
fn a_kernel_that_did_not_start_the_next_test_is_the_last_tests_on_any_host() {
    STANDSTILLS.set(1);
    let (report, heard) = run_guests(
        &["a/*"],
        vec![
            |it| {
                up(&it);
                it.passes("a/one");
                it.hangs();
            },
            |it| {
                it.hello();
                it.passes("a/two");
                it.says_bye();
            },
        ],
    );
    assert_eq!(
        heard,
        [
            "boot 1",
            "a/one PASS",
            "a/one now TIMEOUT",
            "boot 2",
            "a/two PASS"
        ]
    );
    assert_eq!(verdicts(&report), [("a/one", Timeout), ("a/two", Pass)]);
}

#[test]
fn an_interrupted_run_keeps_what_was_reported() {
    let interrupt = Interrupt::new();
    let from_guest = interrupt.clone();
    let machines = move |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        let interrupt = from_guest.clone();
        Ok(Fake::machine(move |it: Guest| {
            up(&it);
            it.passes("a/one");
            it.starts("a/two");
            interrupt.trigger();
            it.hangs();
        }))
    };
    let report = run_all(Guests::Boot(&machines), &options(&[]), &interrupt, &|_| {});
    assert_eq!(
        verdicts(&report),
        [("a/one", Pass), ("a/two", NotRun), ("b/three", NotRun)]
    );
    assert_eq!(report.outcomes[1].detail, "interrupted");
    assert_eq!(report.exit_code(), 5);
}

#[test]
fn a_glob_that_matches_nothing_is_a_wrong_command_line() {
    let (report, _) = run_guests(
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
    let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        Err(InfraError::QemuMissing {
            tried: "qemu".into(),
        })
    };
    let report = run_all(
        Guests::Boot(&machines),
        &options(&[]),
        &Interrupt::new(),
        &|_| {},
    );
    assert_eq!((report.exit_code(), report.outcomes.len()), (5, 0));
}

#[test]
fn complaints_while_booting_are_kept_apart_from_tests() {
    let (report, _) = run_guests(
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
fn a_bad_log_directory_is_reported_before_anything_boots() {
    let machines = |_: usize, _: MachineSize| -> Result<Box<dyn Machine>, InfraError> {
        panic!("nothing should boot")
    };
    let options = Options {
        logs: Some(LogDir {
            path: "/nonexistent".into(),
            cap: Cap::default(),
        }),
        ..options(&[])
    };
    let report = run_all(
        Guests::Boot(&machines),
        &options,
        &Interrupt::new(),
        &|_| {},
    );
    assert_eq!(report.exit_code(), 5);
}

#[test]
fn failures_are_worse_than_a_log_that_is_not_whole() {
    let mut report = RunReport {
        log_error: Some(InfraError::Interrupted),
        ..RunReport::default()
    };
    let test =
        crate::protocol::TestEntry::parse("a/b where=kernel limit_ms=1 expect=pass default=yes")
            .unwrap();
    report.outcomes.push(Outcome::without_verdict(&test, Pass));
    assert_eq!(report.exit_code(), 5);
    report.outcomes.push(Outcome::without_verdict(&test, Fail));
    assert_eq!(report.exit_code(), 1);
}

fn saved() -> Saved {
    let test = |name: &&str| {
        crate::protocol::TestEntry::parse(&format!(
            "{name} where=kernel limit_ms=300 expect=pass default=yes"
        ))
        .unwrap()
    };
    Saved {
        hello: Hello::parse("protocol=2 guest=demo kmod=none uname=saved").unwrap(),
        tests: TESTS.iter().map(test).collect(),
        complaints: Vec::new(),
        booted_in: std::time::Duration::ZERO,
    }
}

fn isolated(isolation: Isolation, jobs: usize) -> Options {
    Options {
        isolation,
        jobs,
        ..options(&[])
    }
}

#[test]
fn every_test_has_a_fresh_kernel_and_neither_boots_nor_lists() {
    let (report, heard, left) = run_with(
        &isolated(Isolation::Test, 1),
        Some(&saved()),
        vec![
            |it| {
                it.passes("a/one");
                it.says_bye();
            },
            |it| {
                it.starts("a/two");
                it.console("panic: two\ncpuid = 0\n");
                it.hangs();
            },
            |it| {
                it.passes("b/three");
                it.says_bye();
            },
        ],
    );
    assert_eq!(
        verdicts(&report),
        [("a/one", Pass), ("a/two", Crash), ("b/three", Pass)]
    );
    assert_eq!(
        heard.iter().filter(|line| line.starts_with("boot")).count(),
        3
    );
    assert_eq!((left, report.boots.len()), (0, 3));
    assert_eq!(report.hello.unwrap().uname, "saved");
    let machines: Vec<_> = report.outcomes.iter().map(|o| o.machine).collect();
    assert_eq!(machines, [Some(1), Some(2), Some(3)]);
}

#[test]
fn a_death_after_the_last_word_of_an_isolated_test_is_still_its_own() {
    let (report, _, _) = run_with(
        &isolated(Isolation::Suite, 1),
        Some(&saved()),
        vec![
            |it| {
                it.passes("a/one");
                it.passes("a/two");
                assert_eq!(it.command().as_deref(), Some("end"));
                it.console("panic: at the end\ncpuid = 0\n");
                it.hangs();
            },
            |it| {
                it.passes("b/three");
                it.says_bye();
            },
        ],
    );
    assert_eq!(
        verdicts(&report),
        [("a/one", Pass), ("a/two", Crash), ("b/three", Pass)]
    );
}

#[test]
fn side_by_side_the_report_keeps_its_order_and_nothing_is_shared() {
    let mut options = isolated(Isolation::Test, 3);
    options.selection.repeat = 4;
    options.durations = BTreeMap::from([(("b/three".into(), 1), 9000)]);
    let (report, _, left) = run_with(&options, Some(&saved()), vec![any as fn(Guest); 12]);
    let names: Vec<&str> = report.outcomes.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, [TESTS; 4].concat());
    assert!(report.outcomes.iter().all(|o| o.verdict == Pass));
    let workers: HashSet<_> = report.outcomes.iter().map(|o| o.worker).collect();
    assert!(workers.len() <= 3 && !workers.contains(&None));
    let machines: HashSet<_> = report.outcomes.iter().map(|o| o.machine).collect();
    assert_eq!((machines.len(), report.boots.len(), left), (12, 12, 0));
}

#[test]
fn a_host_that_fails_one_guest_stops_all_and_loses_nothing_that_was_reported() {
    let (report, _, _) = run_with(
        &isolated(Isolation::Test, 1),
        Some(&saved()),
        vec![
            |it| {
                it.passes("a/one");
                it.says_bye();
            },
            |it| {
                it.starts("a/two");
                it.ends(Status::Signal(9), None);
            },
        ],
    );
    assert_eq!(
        verdicts(&report),
        [("a/one", Pass), ("a/two", NotRun), ("b/three", NotRun)]
    );
    assert_eq!(report.exit_code(), 5);
}

#[test]
fn guests_whose_random_numbers_repeat_are_refused() {
    let same: fn(Guest) = |it| {
        let command = it.raw_command().unwrap();
        let time = command.split(' ').nth(1).unwrap();
        it.result(&format!("# resumed {time} random=1\n"));
        it.passes("a/one");
        it.says_bye();
    };
    let (report, _, _) = run_with(
        &isolated(Isolation::Test, 1),
        Some(&saved()),
        vec![same, |it| {
            let command = it.raw_command().unwrap();
            let time = command.split(' ').nth(1).unwrap();
            it.result(&format!("# resumed {time} random=1\n"));
            it.hangs();
        }],
    );
    assert_eq!(verdicts(&report)[..2], [("a/one", Pass), ("a/two", NotRun)]);
    assert_eq!(report.exit_code(), 4);
    assert!(
        report
            .error
            .unwrap()
            .to_string()
            .contains("is an earlier guest's")
    );
}

/// Runs whatever it is asked for, once, on a machine that was loaded.
fn any(it: Guest) {
    let Some(command) = it.command() else { return };
    let name = command.strip_prefix("run ").unwrap().to_owned();
    it.result(&format!(
        "# start {name}\nKTAP version 1\n1..1\nok 1 {name}\n# done 1\n"
    ));
    it.says_bye();
}

fn labels(report: &RunReport) -> Vec<String> {
    report.outcomes.iter().map(Outcome::label).collect()
}

#[test]
fn a_test_runs_on_each_number_of_cpus_that_it_declares() {
    let mut saved = saved();
    saved.tests[1].cpus = vec![1, 4];
    saved.tests[2].cpus = vec![4];
    let want = ["a/one", "a/two", "a/two on 4 CPUs", "b/three on 4 CPUs"];
    for (isolation, jobs) in [(Isolation::Test, 1), (Isolation::Test, 3)] {
        let options = isolated(isolation, jobs);
        let (report, _, left) = run_with(&options, Some(&saved), vec![any as fn(Guest); 4]);
        assert_eq!(labels(&report), want);
        assert_eq!((left, report.exit_code()), (0, 0));
    }
    // The caller's choice, of which one machine was not saved.
    let mut options = isolated(Isolation::Test, 1);
    options.selection.patterns = vec!["b/three".into()];
    options.selection.cpus = vec![1];
    let (report, _, _) = run_with(&options, Some(&saved), vec![any as fn(Guest)]);
    assert_eq!(labels(&report), ["b/three"]);
    options.selection.cpus = vec![2];
    let (report, _, _) = run_with(&options, Some(&saved), Vec::new());
    assert_eq!(report.exit_code(), 5);
}

/// Says hello, and lists a test for one and four CPUs and one for four.
fn listing(it: &Guest) {
    it.hello();
    assert_eq!(it.raw_command().as_deref(), Some("list"));
    it.result(
        "# test a/both where=kernel limit_ms=300 expect=pass default=yes cpus=1,4\n\
         # test b/four where=kernel limit_ms=300 expect=pass default=yes cpus=4\n\
         # end list 2\n",
    );
}

#[test]
fn a_guest_that_has_booted_for_its_list_is_used_and_none_boots_twice() {
    let (report, _, left) = run_with(
        &isolated(Isolation::None, 1),
        None,
        vec![
            |it| {
                listing(&it);
                it.passes("a/both");
                it.says_bye();
            },
            |it| {
                listing(&it);
                it.passes("a/both");
                it.passes("b/four");
                it.says_bye();
            },
        ],
    );
    assert_eq!(
        labels(&report),
        ["a/both", "a/both on 4 CPUs", "b/four on 4 CPUs"]
    );
    assert_eq!((left, report.exit_code()), (0, 0));
    // The first guest is not needed for more than its list.
    let mut options = isolated(Isolation::None, 1);
    options.selection.patterns = vec!["b/four".into()];
    let (report, _, left) = run_with(
        &options,
        None,
        vec![
            |it| {
                listing(&it);
                it.says_bye();
            },
            |it| {
                listing(&it);
                it.passes("b/four");
                it.says_bye();
            },
        ],
    );
    assert_eq!(labels(&report), ["b/four on 4 CPUs"]);
    assert_eq!((left, report.exit_code()), (0, 0));
}

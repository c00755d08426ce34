//! Reports for tests.

// Only tests use this; a fixture that cannot be made fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::DateTime;
use kdk_vm::verdict::{Outcome, Verdict};

use super::json::{PhaseEntry, Report, Run};
use kdk_core::event::Phase;

/// Returns an outcome without details.
pub fn outcome(name: &str, verdict: Verdict, ms: u64) -> Outcome {
    Outcome {
        ms,
        ..Outcome::new(name, verdict)
    }
}

/// Returns a run of `tests` on a base.
pub fn report(tests: Vec<Outcome>) -> Report {
    let run = Run {
        base: "main".into(),
        guest: "freebsd".into(),
        began: DateTime::from_timestamp(1_790_000_000, 0),
        osreldate: Some(1_600_000),
        uname: "FreeBSD 16.0-CURRENT n1-1201796a60d6 KDK".into(),
        patches: vec!["xen-delay".into(), "sendfile-eagain".into()],
        kernel_config: Some("KDK".into()),
        accel: "tcg".into(),
        boot: "pvh".into(),
        isolation: "none".into(),
        jobs: 1,
        ..Run::default()
    };
    Report::new(run, Vec::new(), tests)
}

/// Returns a run in which all tests ended as expected.
pub fn good_run() -> Report {
    let mut skipped = outcome("kmod/smp", Verdict::Skip, 3);
    skipped.detail = "one CPU only".into();
    let mut report = report(timed(
        9_000,
        vec![
            outcome("smoke/pipe", Verdict::Pass, 120),
            skipped,
            outcome("smoke/kqueue", Verdict::Pass, 450),
        ],
    ));
    report.phases = phases();
    report
}

/// Returns a run with one test of each verdict, on kernels that crashed.
pub fn failing_run() -> Report {
    let tests = timed(9_000, Verdict::ALL.map(failing).to_vec());
    let mut report = report(tests);
    report.phases = phases();
    report.phases.push(phase(Phase::Boot, 17_000, 2_400));
    report.run.exit = 1;
    report
}

fn failing(verdict: Verdict) -> Outcome {
    let name = format!("mixed/{}", verdict.word().to_lowercase().replace('_', "-"));
    let mut one = outcome(&name, verdict, 100);
    match verdict {
        Verdict::Pass => {}
        Verdict::Crash => {
            one.detail = "panic: <script>alert('x')</script> & more".into();
            one.backtrace = vec![
                "vpanic() at vpanic+0x136/frame 0xfffffe00".into(),
                "    sys/kern/kern_shutdown.c:962 (vpanic)".into(),
            ];
            one.console = vec!["cpuid = 0".into(), "KDB: stack backtrace:".into()];
        }
        _ => one.detail = format!("why it is {verdict}\nand a second line"),
    }
    one
}

/// Returns `tests` with start times, one after the other from `start_ms` on.
fn timed(mut start_ms: u64, mut tests: Vec<Outcome>) -> Vec<Outcome> {
    for test in &mut tests {
        if test.verdict == Verdict::NotRun {
            test.ms = 0;
            continue;
        }
        test.start_ms = Some(start_ms);
        start_ms += test.ms;
    }
    tests
}

fn phases() -> Vec<PhaseEntry> {
    vec![
        phase(Phase::Resolve, 0, 100),
        phase(Phase::Kernel, 100, 3_400),
        phase(Phase::Boot, 3_500, 5_400),
        phase(Phase::Tests, 3_500, 6_100),
    ]
}

fn phase(name: Phase, start_ms: u64, ms: u64) -> PhaseEntry {
    PhaseEntry {
        name,
        ms,
        start_ms: Some(start_ms),
        cached: false,
        why: "sys/kern/kern_sendfile.c changed".into(),
        error: None,
    }
}

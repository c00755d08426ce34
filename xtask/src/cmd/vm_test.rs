//! `cargo xtask vm-test`: builds, boots and tests a kernel.

use std::error::Error;

use super::args::{GuestArgs, ReportArgs, TestArgs};
use kdk_core::DEMO;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::store::RESULTS_KEPT;
use kdk_core::terminal::Terminal;
use kdk_guest::guest;
use kdk_guest::report::{ReportedRun, with_result};
use kdk_guest::request::TestRequest;
use kdk_report::history::compare::{self, Comparison};
use kdk_report::history::{self, History, rerun};
use kdk_report::json::{Report, Run};
use kdk_report::summary;

/// The first and the last line of a run on the demo guest.
const DEMO_NOTICE: &str = "demo guest: no FreeBSD kernel was tested";

/// The arguments of `cargo xtask vm-test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    guest: GuestArgs,
    #[command(flatten)]
    tests: TestArgs,
    /// Run only the tests that failed in the last run on this base
    #[arg(long, conflicts_with = "tests")]
    rerun_failed: bool,
    #[command(flatten)]
    files: ReportArgs,
    /// Print the N slowest tests [default: 5 if more than 10 ran]
    #[arg(long, value_name = "N")]
    slowest: Option<usize>,
    /// Install missing host dependencies without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    // Neither of them is written then.
    args.files.files().check()?;
    let name = match checked_base(args, cx) {
        Ok(name) => name,
        Err(failure) => return report_failure(args, failure),
    };
    if name == DEMO {
        cx.terminal.line(DEMO_NOTICE);
    }
    let past = History::read(&cx.cache, &name);
    if let Some(remark) = past.remark() {
        cx.terminal.line(remark);
    }
    let about = Run::begin(&name);
    let (report, result) = match select_tests(args, cx, &past, &name) {
        Ok(Some(tests)) => run_tests(args, cx, &past, &tests, about),
        Ok(None) => without_tests(about, Ok(())),
        Err(failure) => without_tests(about, Err(failure)),
    };
    let written = conclude(args, cx, &past, &report);
    if name == DEMO {
        cx.terminal.line(DEMO_NOTICE);
    }
    // Old results are removed last, when nothing waits for it.
    let collected = cx.store.gc(RESULTS_KEPT).map(drop);
    first_failure([result, written, collected], cx)
}

/// Returns the name of the base, after a check of the arguments that needs no
/// guest.
fn checked_base(args: &Args, cx: &Context) -> Result<String, Failure> {
    let name = guest::base_name(cx, args.guest.base.as_deref())?;
    guest::check_request(&args.guest.request(), &name)?;
    args.tests.request().check()?;
    Ok(name)
}

/// Returns the tests to run on the base `base`, if there are any.
fn select_tests(
    args: &Args,
    cx: &Context,
    past: &History,
    base: &str,
) -> Result<Option<TestRequest>, Failure> {
    let mut tests = TestRequest {
        seed: Some(args.tests.request().seed()),
        ..args.tests.request()
    };
    if args.rerun_failed {
        tests.cpus_of = rerun::failed(past, base)?.into_iter().collect();
        tests.patterns = tests.cpus_of.keys().cloned().collect();
        if tests.patterns.is_empty() {
            cx.terminal
                .line(&format!("{base}: no test failed last time"));
            return Ok(None);
        }
    }
    if let (true, Some(program)) = (tests.patterns.is_empty(), args.guest.program()) {
        tests.patterns = vec![program.test()];
    }
    Ok(Some(tests))
}

/// Writes the reports, adds the run to the history, and prints the summary.
fn conclude(args: &Args, cx: &Context, past: &History, report: &Report) -> Result<(), Failure> {
    let changes = past
        .previous(report)
        .map(|previous| compare::compare(previous, report))
        .unwrap_or_default();
    let written = args.files.files().write(report, &changes);
    // An error of the history must not hide a verdict.
    if let Err(failure) = history::record(&cx.cache, report) {
        let why = Error::source(&failure).map(|why| format!(": {why}"));
        cx.terminal
            .line(&format!("history: {failure}{}", why.unwrap_or_default()));
    }
    for line in summary::lines(report, &changes, args.slowest) {
        cx.terminal.line(&line);
    }
    written
}

/// Writes the report of a run that could not start.
pub fn report_failure(args: &Args, failure: Failure) -> Result<(), Failure> {
    let name = args.guest.base.as_deref().unwrap_or_default();
    let (report, result) = without_tests(Run::begin(name), Err(failure));
    if let Err(other) = args.files.files().write(&report, &Comparison::default()) {
        Terminal::new().line(&other.in_one_line());
    }
    result
}

/// Returns the first failure, and prints the others.
fn first_failure<const N: usize>(
    results: [Result<(), Failure>; N],
    cx: &Context,
) -> Result<(), Failure> {
    let mut failures = results.into_iter().filter_map(Result::err);
    let first = failures.next();
    for other in failures {
        cx.terminal.line(&other.in_one_line());
    }
    first.map_or(Ok(()), Err)
}

/// Runs tests, and returns the report of the run and what failed.
fn run_tests(
    args: &Args,
    cx: &Context,
    past: &History,
    tests: &TestRequest,
    about: Run,
) -> (Report, Result<(), Failure>) {
    if let Err(failure) = kdk_doctor::need(cx, kdk_doctor::Need::guest(&about.base), args.yes) {
        return without_tests(about, Err(failure));
    }
    let run = ReportedRun {
        guest: &args.guest.request(),
        tests,
        durations: past.durations(),
    };
    run.run(cx, about)
}

/// Returns the report of a run in which no test ran.
fn without_tests(about: Run, result: Result<(), Failure>) -> (Report, Result<(), Failure>) {
    let report = Report::new(with_result(about, &result), Vec::new(), Vec::new());
    (report, result)
}

//! `cargo xtask vm-test`: builds, boots and tests a kernel.

use std::error::Error;
use std::sync::Mutex;

use kdk_vm::verdict::{Outcome, Summary};
use miette::Diagnostic;

use super::args::{GuestArgs, ReportArgs, TestArgs};
use kdk_core::DEMO;
use kdk_core::context::Context;
use kdk_core::event::Phase;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;
use kdk_core::store::RESULTS_KEPT;
use kdk_core::terminal::Terminal;
use kdk_guest::guest;
use kdk_guest::request::TestRequest;
use kdk_guest::run_tests::TestEnv;
use kdk_report::history::compare::{self, Comparison};
use kdk_report::history::{self, History, rerun};
use kdk_report::json::{Report, Run};
use kdk_report::recorder::Recorder;
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
    let recorder = Recorder::new(&cx.terminal);
    let outcomes = Mutex::new(Vec::new());
    let past = History::read(&cx.cache, &name);
    if let Some(remark) = past.remark() {
        cx.terminal.line(remark);
    }
    let mut about = Run::begin(&name);
    let result = select_tests(args, cx, &past, &mut about).and_then(|any| match any {
        Some(tests) => run_tests(args, cx, &recorder, &past, &tests, &mut about, &outcomes),
        None => Ok(()),
    });
    let outcomes = outcomes
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let report = Report::new(with_result(about, &result), recorder.phases(), outcomes);
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

/// Returns the tests to run, if there are any, and records them.
fn select_tests(
    args: &Args,
    cx: &Context,
    past: &History,
    about: &mut Run,
) -> Result<Option<TestRequest>, Failure> {
    let mut tests = TestRequest {
        seed: Some(args.tests.request().seed()),
        ..args.tests.request()
    };
    if args.rerun_failed {
        tests.cpus_of = rerun::failed(past, &about.base)?.into_iter().collect();
        tests.patterns = tests.cpus_of.keys().cloned().collect();
        if tests.patterns.is_empty() {
            let base = &about.base;
            cx.terminal
                .line(&format!("{base}: no test failed last time"));
            return Ok(None);
        }
    }
    if let (true, Some(program)) = (tests.patterns.is_empty(), args.guest.program()) {
        tests.patterns = vec![program.test()];
    }
    about.selection.clone_from(&tests.patterns);
    about.cpus.clone_from(&tests.cpus);
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
    let result = Err(failure);
    let report = Report::new(
        with_result(Run::begin(name), &result),
        Vec::new(),
        Vec::new(),
    );
    if let Err(other) = args.files.files().write(&report, &Comparison::default()) {
        Terminal::new().line(&other.in_one_line());
    }
    result
}

/// Returns `run` with its result.
fn with_result(mut run: Run, result: &Result<(), Failure>) -> Run {
    run.exit = result.as_ref().err().map_or(0, Failure::exit_code);
    run.error = result
        .as_ref()
        .err()
        .filter(|failure| failure.class() != Class::Tests)
        .map(Failure::in_one_line);
    run
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

fn run_tests(
    args: &Args,
    cx: &Context,
    recorder: &Recorder<'_>,
    past: &History,
    tests: &TestRequest,
    about: &mut Run,
    outcomes: &Mutex<Vec<Outcome>>,
) -> Result<(), Failure> {
    kdk_doctor::need(cx, kdk_doctor::Need::guest(&about.base), args.yes)?;
    let logs = logs::folder(cx)?;
    about.logs = Some(logs.clone());
    let env = TestEnv::prepare(cx, recorder, &args.guest.request(), &about.base, &logs)?;
    about.set_guest(&env.guest.info);
    about.isolation = env.isolation(tests).name().into();
    about.jobs = tests.jobs;
    about.seed = tests.seed();
    let report = env.run(recorder, tests, past.durations())?;
    if let Some(hello) = &report.hello {
        about.uname.clone_from(&hello.uname);
    }
    for matched in &report.complaints {
        guest::say(
            recorder,
            Phase::Tests,
            format!("console: {}", matched.title),
        );
    }
    let exit = report.exit_code();
    let counts = report.summary();
    if let Ok(mut all) = outcomes.lock() {
        *all = report.outcomes;
    }
    guest::say(recorder, Phase::Report, format!("logs: {}", logs.display()));
    if let Some(error) = report.error {
        let advice = error.help().map(|help| format!("{help}\n"));
        let console = format!("console: {}", logs.display());
        let help = advice.unwrap_or_default() + &console;
        return Err(Failure::from(error).help(help));
    }
    if let Some(error) = report.log_error {
        return Err(error.into());
    }
    verdict(exit, counts)
}

fn verdict(exit: u8, summary: Summary) -> Result<(), Failure> {
    if exit == 0 {
        return Ok(());
    }
    let bad: usize = kdk_vm::verdict::Verdict::ALL
        .iter()
        .filter(|verdict| !verdict.is_as_expected())
        .map(|verdict| summary.get(*verdict))
        .sum();
    Err(Failure::tests(format!(
        "{bad} of {} tests did not end as expected",
        summary.total()
    )))
}

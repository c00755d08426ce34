//! `cargo xtask vm-test`: from a FreeBSD tree to a verdict.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use kdk_vm::console::log::Cap;
use kdk_vm::error::RunError;
use kdk_vm::machine::Machine;
use kdk_vm::progress::Progress;
use kdk_vm::qemu::QemuMachine;
use kdk_vm::run::{LogDir, Options, Report as RunReport, run_all};
use kdk_vm::session::Limits;
use kdk_vm::verdict::{Outcome, Summary};
use miette::Diagnostic;

use crate::context::Context;
use crate::crash::{Explainer, command};
use crate::event::{Event, Phase, Sink};
use crate::failure::{Class, Failure};
use crate::guest::{self, DEMO, Guest, Wanted};
use crate::recorder::Recorder;
use crate::report::json::{Report, Run};
use crate::report::{junit, terminal};

/// What the first and the last line say when no base was tested.
const DEMO_NOTICE: &str = "demo guest: no FreeBSD kernel was tested";

/// Results of each kind and base that stay in the store: a series with and
/// without each of its patches fits.
const RESULTS_KEPT: usize = 24;

/// From a FreeBSD tree to a verdict.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Run the tests that match; may be repeated [default: all but the faults]
    #[arg(long, value_name = "GLOB")]
    tests: Vec<String>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Seconds each test may take, instead of its own limit
    #[arg(long, value_name = "S")]
    timeout: Option<u64>,
    /// Show the guest's console and results
    #[arg(short, long)]
    verbose: bool,
    /// Install what is missing without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let name = guest::base_name(cx, &args.wanted)?;
    crate::doctor::need(cx, crate::doctor::Need::guest(&name), args.yes)?;
    if name == DEMO {
        cx.terminal.line(DEMO_NOTICE);
    }
    let recorder = Recorder::new(&cx.terminal);
    let outcomes = Mutex::new(Vec::new());
    let mut about = Run {
        base: name.clone(),
        guest: if name == DEMO { "demo" } else { "freebsd" },
        ..Run::default()
    };
    let result = tested(args, cx, &recorder, &name, &mut about, &outcomes);
    about.exit = result.as_ref().err().map_or(0, Failure::exit_code);
    about.error = result
        .as_ref()
        .err()
        .filter(|failure| failure.class() != Class::Tests)
        .map(ToString::to_string);
    let outcomes = outcomes
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    // Old results go where nothing waits for it.
    cx.store.gc(RESULTS_KEPT)?;
    let written = write_reports(args, &recorder, about, &outcomes);
    cx.terminal.line(&format!(
        "{name}: {}",
        terminal::summary_line(Summary::of(&outcomes))
    ));
    if name == DEMO {
        cx.terminal.line(DEMO_NOTICE);
    }
    result.and(written)
}

fn tested(
    args: &Args,
    cx: &Context,
    recorder: &Recorder<'_>,
    name: &str,
    about: &mut Run,
    outcomes: &Mutex<Vec<Outcome>>,
) -> Result<(), Failure> {
    let logs = guest::run_folder(cx)?;
    let guest = guest::prepare(cx, recorder, &args.wanted, name, &logs)?;
    *about = guest.run.clone();
    let crashes = Explainer::new(&guest.code, command(name, &args.wanted, args.timeout));
    let mut report = recorder.phase(Phase::Tests, || {
        let report = run_guest(args, cx, recorder, &guest, &crashes, &logs);
        let booted = match report.boots.as_slice() {
            [one] => format!("booted in {one} ms"),
            many => format!("{} boots", many.len()),
        };
        Ok((report, false, booted))
    })?;
    crashes.explain(&mut report);
    if let Some(RunError::Boot(error)) = &report.error {
        about.symbolized.clone_from(&error.symbolized);
    }
    if let Some(hello) = &report.hello {
        about.uname.clone_from(&hello.uname);
    }
    for sign in &report.complaints {
        guest::say(recorder, Phase::Tests, format!("console: {}", sign.title));
    }
    let exit = report.exit_code();
    let summary = report.summary();
    if let Ok(mut all) = outcomes.lock() {
        *all = report.outcomes;
    }
    guest::say(recorder, Phase::Report, format!("logs: {}", logs.display()));
    if let Some(error) = report.error {
        let advice = error.help().map(|help| format!("{help}\n"));
        let console = format!("the console: {}", logs.display());
        let help = advice.unwrap_or_default() + &console;
        return Err(Failure::from(error).help(help));
    }
    if let Some(error) = report.log_error {
        return Err(error.into());
    }
    verdict(exit, summary)
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

fn run_guest(
    args: &Args,
    cx: &Context,
    recorder: &Recorder<'_>,
    guest: &Guest,
    crashes: &Explainer<'_>,
    logs: &Path,
) -> RunReport {
    let limits = Limits {
        test: args.timeout.map(Duration::from_secs),
        ..Limits::default()
    };
    let options = Options {
        patterns: args.tests.clone(),
        limits,
        logs: Some(LogDir {
            path: logs.to_owned(),
            cap: Cap::default(),
        }),
        ..Options::default()
    };
    let mut start = |_: usize| {
        let machine = QemuMachine::start(&guest.qemu, &guest.spec)?;
        Ok(Box::new(machine) as Box<dyn Machine>)
    };
    run_all(&mut start, &options, &cx.interrupt, &|progress| {
        show(recorder, crashes, args.verbose, progress);
    })
}

fn show(recorder: &Recorder<'_>, crashes: &Explainer<'_>, verbose: bool, progress: Progress<'_>) {
    let line = |phase, text: String| guest::say(recorder, phase, text);
    match progress {
        Progress::Console(text) if verbose => line(Phase::Boot, format!("console| {text}")),
        Progress::Result(text) if verbose => line(Phase::Boot, format!("result | {text}")),
        Progress::Up(hello, after) => {
            let ms = after.as_millis();
            line(Phase::Boot, format!("up after {ms} ms: {}", hello.uname));
        }
        Progress::Finished(outcome) | Progress::Revised(outcome) => {
            let mut outcome = outcome.clone();
            crashes.explain_test(&mut outcome);
            recorder.emit(Event::Test(outcome));
        }
        Progress::Note(text) => line(Phase::Tests, text.to_owned()),
        Progress::Starting(number) if number > 1 => {
            line(Phase::Boot, "starting a fresh machine".to_owned());
        }
        _ => {}
    }
}

fn write_reports(
    args: &Args,
    recorder: &Recorder<'_>,
    about: Run,
    outcomes: &[Outcome],
) -> Result<(), Failure> {
    if let Some(path) = &args.junit {
        junit::write(path, &about.base, outcomes)?;
    }
    if let Some(path) = &args.json {
        let report = Report {
            schema: 1,
            run: about,
            phases: recorder.phases(),
            tests: outcomes,
            summary: Summary::of(outcomes),
        };
        report.write(path)?;
    }
    Ok(())
}

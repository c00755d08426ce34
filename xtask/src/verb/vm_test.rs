//! `cargo xtask vm-test`: from a FreeBSD tree to a verdict.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use kdk_vm::verdict::{Outcome, Summary};

use crate::context::Context;
use crate::event::Phase;
use crate::failure::{Class, Failure};
use crate::guest::{self, DEMO, Wanted};
use crate::recorder::Recorder;
use crate::report::json::{PhaseEntry, Report, Run};
use crate::report::{junit, terminal};
use crate::testing::{self, Place, Tests};

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
    #[command(flatten)]
    tests: Tests,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Install what is missing without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let name = match guest::base_name(cx, &args.wanted) {
        Ok(name) => name,
        Err(failure) => return report_failure(args, failure),
    };
    if name == DEMO {
        cx.terminal.line(DEMO_NOTICE);
    }
    let recorder = Recorder::new(&cx.terminal);
    let outcomes = Mutex::new(Vec::new());
    let mut about = about(&name);
    let result = tested(args, cx, &recorder, &name, &mut about, &outcomes);
    let outcomes = outcomes
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let written = write_reports(args, recorder.phases(), ended(about, &result), &outcomes);
    // Old results go where nothing waits for it.
    let tidied = cx.store.gc(RESULTS_KEPT).map(drop);
    cx.terminal.line(&format!(
        "{name}: {}",
        terminal::summary_line(Summary::of(&outcomes))
    ));
    if name == DEMO {
        cx.terminal.line(DEMO_NOTICE);
    }
    all_of([result, written, tidied], cx)
}

/// The report of a run that could not even begin.
pub fn report_failure(args: &Args, failure: Failure) -> Result<(), Failure> {
    let name = args.wanted.base.as_deref().unwrap_or_default();
    let result = Err(failure);
    if let Err(other) = write_reports(args, Vec::new(), ended(about(name), &result), &[]) {
        eprintln!("{}", other.in_one_line());
    }
    result
}

fn about(name: &str) -> Run {
    Run {
        base: name.to_owned(),
        guest: if name == DEMO { "demo" } else { "freebsd" },
        ..Run::default()
    }
}

/// `run` with its end.
fn ended(mut run: Run, result: &Result<(), Failure>) -> Run {
    run.exit = result.as_ref().err().map_or(0, Failure::exit_code);
    run.error = result
        .as_ref()
        .err()
        .filter(|failure| failure.class() != Class::Tests)
        .map(Failure::in_one_line);
    run
}

/// The first failure; the others are shown at once.
fn all_of<const N: usize>(results: [Result<(), Failure>; N], cx: &Context) -> Result<(), Failure> {
    let mut failures = results.into_iter().filter_map(Result::err);
    let first = failures.next();
    for other in failures {
        cx.terminal.line(&other.in_one_line());
    }
    first.map_or(Ok(()), Err)
}

fn tested(
    args: &Args,
    cx: &Context,
    recorder: &Recorder<'_>,
    name: &str,
    about: &mut Run,
    outcomes: &Mutex<Vec<Outcome>>,
) -> Result<(), Failure> {
    crate::doctor::need(cx, crate::doctor::Need::guest(name), args.yes)?;
    let logs = guest::run_folder(cx)?;
    let guest = guest::prepare(cx, recorder, &args.wanted, name, &logs)?;
    let seed = args.tests.seed();
    *about = Run {
        isolation: args.tests.isolation_on(&guest).name().into(),
        jobs: args.tests.jobs,
        seed,
        ..guest.run.clone()
    };
    let state = testing::save(cx, recorder, &guest, &args.tests, &logs)?;
    let place = Place {
        guest: &guest,
        state: state.as_ref(),
        logs: &logs,
    };
    let last = BTreeMap::new();
    let report = testing::run(cx, recorder, &place, &args.tests, seed, last)?;
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
        return Err(Failure::from(error).help(format!("the console: {}", logs.display())));
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

fn write_reports(
    args: &Args,
    phases: Vec<PhaseEntry>,
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
            phases,
            tests: outcomes,
            summary: Summary::of(outcomes),
        };
        report.write(path)?;
    }
    Ok(())
}

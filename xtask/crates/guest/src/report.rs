//! Runs tests on a guest, and returns the report of the run whatever its result.

use std::sync::Mutex;

use kdk_vm::plan::Durations;
use kdk_vm::verdict::{Outcome, Summary, Verdict};
use miette::Diagnostic;

use crate::guest;
use crate::request::{GuestRequest, TestRequest};
use crate::run_tests::TestEnv;
use kdk_core::context::Context;
use kdk_core::event::Phase;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;
use kdk_report::json::{Report, Run};
use kdk_report::recorder::Recorder;

/// What is run.
pub struct ReportedRun<'a> {
    /// The guest to build.
    pub guest: &'a GuestRequest,
    /// The tests to run on it.
    pub tests: &'a TestRequest,
    /// How long each test took in earlier runs.
    pub durations: Durations,
}

impl ReportedRun<'_> {
    /// Builds the guest on the base that `about` names, and runs the tests.
    /// Returns the report of the run, and what failed.
    pub fn run(self, cx: &Context, about: Run) -> (Report, Result<(), Failure>) {
        let recorder = Recorder::new(&cx.terminal);
        let outcomes = Mutex::new(Vec::new());
        let mut about = about;
        about.selection.clone_from(&self.tests.patterns);
        about.cpus.clone_from(&self.tests.cpus);
        let result = self.run_tests(cx, &recorder, &mut about, &outcomes);
        let outcomes = outcomes
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let report = Report::new(with_result(about, &result), recorder.phases(), outcomes);
        (report, result)
    }

    fn run_tests(
        self,
        cx: &Context,
        recorder: &Recorder<'_>,
        about: &mut Run,
        outcomes: &Mutex<Vec<Outcome>>,
    ) -> Result<(), Failure> {
        let logs = logs::folder(cx)?;
        about.logs = Some(logs.clone());
        let env = TestEnv::prepare(cx, recorder, self.guest, &about.base, &logs)?;
        about.set_guest(&env.guest.info);
        about.isolation = env.isolation(self.tests).name().into();
        about.jobs = self.tests.jobs;
        about.seed = self.tests.seed();
        let report = env.run(recorder, self.tests, self.durations)?;
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
}

/// Returns `run` with its result.
pub fn with_result(mut run: Run, result: &Result<(), Failure>) -> Run {
    run.exit = result.as_ref().err().map_or(0, Failure::exit_code);
    run.error = result
        .as_ref()
        .err()
        .filter(|failure| failure.class() != Class::Tests)
        .map(Failure::in_one_line);
    run
}

fn verdict(exit: u8, summary: Summary) -> Result<(), Failure> {
    if exit == 0 {
        return Ok(());
    }
    let bad: usize = Verdict::ALL
        .iter()
        .filter(|verdict| !verdict.is_as_expected())
        .map(|verdict| summary.get(*verdict))
        .sum();
    Err(Failure::tests(format!(
        "{bad} of {} tests did not end as expected",
        summary.total()
    )))
}

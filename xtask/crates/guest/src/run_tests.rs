//! Runs the tests of one guest. The guest is saved once, and loaded for each
//! test, on several machines side by side if the caller asks for it. Every
//! command that runs tests does it here.

use std::path::{Path, PathBuf};

use kdk_vm::console::log::Cap;
use kdk_vm::hypervisor::{MachineSize, Pool};
use kdk_vm::plan::{Durations, Isolation, plan, sizes};
use kdk_vm::progress::Progress;
use kdk_vm::qemu::QemuPool;
use kdk_vm::run::{Guests, LogDir, Options, RunReport, SavedMachines, run_all};
use kdk_vm::verdict::{Outcome, Verdict};

use crate::build::Builder;
use crate::build::state::{self, State};
use crate::guest::{self, Guest};
use crate::request::{GuestRequest, TestRequest, command_line, run_again};
use crate::symbolize::Symbolizer;
use kdk_core::context::Context;
use kdk_core::event::{Event, Phase, Sink, milliseconds};
use kdk_core::failure::Failure;
use kdk_report::recorder::Recorder;

/// A guest that is ready to start, and what its tests need.
pub struct TestEnv<'a> {
    cx: &'a Context,
    base: String,
    request: GuestRequest,
    /// The guest that runs the tests.
    pub guest: Guest,
    /// Adds source lines to its crashes.
    pub symbolizer: Symbolizer,
    /// The folder of the run's logs.
    pub logs: PathBuf,
}

impl<'a> TestEnv<'a> {
    /// Builds the guest that `request` asks for, of the base `base`. The logs
    /// of builds and tests go to the folder `logs`.
    ///
    /// # Errors
    /// Fails when a phase up to the image fails.
    pub fn prepare(
        cx: &'a Context,
        recorder: &Recorder<'_>,
        request: &GuestRequest,
        base: &str,
        logs: &Path,
    ) -> Result<Self, Failure> {
        let guest = guest::prepare(cx, recorder, request, base, logs)?;
        Ok(Self {
            cx,
            base: base.to_owned(),
            request: request.clone(),
            symbolizer: Symbolizer::new(guest.debug_info.clone()),
            guest,
            logs: logs.to_owned(),
        })
    }

    /// Returns which tests share a kernel of this guest. A machine that cannot
    /// be saved would boot for each test, so the tests of a suite share one.
    pub fn isolation(&self, tests: &TestRequest) -> Isolation {
        match (tests.isolation, self.guest.pool.qemu()) {
            (Isolation::Test, None) => Isolation::Suite,
            (isolation, _) => isolation,
        }
    }

    /// Saves the guest where that is possible, and runs tests on it.
    /// `durations` are those of earlier runs.
    ///
    /// # Errors
    /// Fails when the request contradicts itself, the guest does not come up,
    /// or the host fails before the first test. The report has later errors.
    pub fn run(
        &self,
        recorder: &Recorder<'_>,
        tests: &TestRequest,
        durations: Durations,
    ) -> Result<RunReport, Failure> {
        let states = self.save(recorder, tests)?;
        self.run_on(recorder, &states, tests, durations)
    }

    /// Returns the guest, saved at the first moment of its user space, on each
    /// machine that the tests need; nothing if every guest is to boot, or the
    /// machine cannot be saved. The tests of the first one decide about the
    /// others.
    ///
    /// # Errors
    /// Fails when the guest does not come up or the host fails.
    pub fn save(
        &self,
        recorder: &Recorder<'_>,
        tests: &TestRequest,
    ) -> Result<Vec<State>, Failure> {
        let Some(pool) = self.guest.pool.qemu() else {
            let text = "bhyve cannot save a machine: the tests of a suite share a kernel";
            guest::say(recorder, Phase::Boot, text.into());
            return Ok(Vec::new());
        };
        if tests.cold {
            return Ok(Vec::new());
        }
        let selection = tests.selection();
        let (least, first) = (pool.size(), selection.first_size(pool.size()));
        let mut states = vec![self.save_one(recorder, tests, pool, first)?];
        // A selection of no tests is reported when they are to run.
        let listed = &states[0].saved.tests;
        let cases = plan(listed, &selection, least).unwrap_or_default();
        for size in sizes(&cases).into_iter().filter(|size| *size != first) {
            states.push(self.save_one(recorder, tests, pool, size)?);
        }
        Ok(states)
    }

    fn save_one(
        &self,
        recorder: &Recorder<'_>,
        tests: &TestRequest,
        pool: &QemuPool,
        size: MachineSize,
    ) -> Result<State, Failure> {
        let command = self.command_line(tests);
        let boot = state::Boot {
            base: &self.base,
            pool,
            size,
            boot_keys: &self.guest.boot_keys,
            limits: tests.limits(),
            sink: &|progress| self.show(recorder, tests, &command, progress),
            explain: &|error| self.symbolizer.symbolize_error(error),
        };
        let builder = Builder::new(self.cx, recorder, &self.logs);
        recorder.phase(Phase::Boot, || state::obtain(&builder, &boot))
    }

    /// Runs tests on the saved guest, or on guests that boot if there is none.
    ///
    /// # Errors
    /// Fails when the request contradicts itself. The report has later errors.
    pub fn run_on(
        &self,
        recorder: &Recorder<'_>,
        states: &[State],
        tests: &TestRequest,
        durations: Durations,
    ) -> Result<RunReport, Failure> {
        tests.check()?;
        let options = Options {
            selection: tests.selection(),
            limits: tests.limits(),
            logs: Some(LogDir {
                path: self.logs.clone(),
                cap: Cap::default(),
            }),
            isolation: self.isolation(tests),
            jobs: tests.jobs.into(),
            durations,
            began: Some(recorder.began()),
            ..Options::default()
        };
        let saved: Vec<SavedMachines<'_>> = states
            .iter()
            .map(|state| SavedMachines {
                size: state.size,
                pool: state,
                saved: &state.saved,
            })
            .collect();
        let guests = match saved.as_slice() {
            [] => Guests::Boot(&*self.guest.pool),
            saved => Guests::Load(saved),
        };
        let command = self.command_line(tests);
        recorder.phase(Phase::Tests, || {
            let sink = |progress: Progress<'_>| self.show(recorder, tests, &command, progress);
            let mut report = run_all(guests, &options, &self.cx.interrupt, &sink);
            if let Some(error) = &mut report.error {
                self.symbolizer.symbolize_error(error);
            }
            let how = describe(&report, !states.is_empty());
            Ok((report, false, how))
        })
    }

    /// Returns the command line that runs a test of this run again; empty for a
    /// commit, which has none.
    fn command_line(&self, tests: &TestRequest) -> String {
        match self.request.commit {
            Some(_) => String::new(),
            None => command_line(&self.base, &self.request, tests),
        }
    }

    fn show(
        &self,
        recorder: &Recorder<'_>,
        tests: &TestRequest,
        command: &str,
        progress: Progress<'_>,
    ) {
        let line = |phase, text: String| guest::say(recorder, phase, text);
        match progress {
            Progress::Console(text) if tests.verbose => {
                line(Phase::Boot, format!("console| {text}"));
            }
            Progress::Result(text) if tests.verbose => {
                line(Phase::Boot, format!("result | {text}"));
            }
            Progress::Up(hello, after) => {
                let (ms, uname) = (milliseconds(after), hello.uname.clone());
                recorder.emit(Event::Up { ms, uname });
            }
            Progress::Finished(outcome) => {
                self.explain(command, outcome);
                recorder.emit(Event::Test(outcome.clone()));
            }
            Progress::Revised(outcome) => {
                self.explain(command, outcome);
                recorder.emit(Event::Revised(outcome.clone()));
            }
            Progress::Note(text) => line(Phase::Tests, text.to_owned()),
            Progress::Starting(number) if number > 1 && tests.verbose => {
                line(Phase::Boot, format!("machine {number}"));
            }
            _ => {}
        }
    }

    /// Adds source lines, and the command that runs the test again.
    fn explain(&self, command: &str, outcome: &mut Outcome) {
        self.symbolizer.symbolize_outcome(outcome);
        if !command.is_empty() {
            outcome.reproduce = reproduce(command, outcome);
        }
    }
}

/// Returns the command that runs a test again; empty where there is no need.
fn reproduce(command: &str, outcome: &Outcome) -> String {
    match outcome.verdict {
        Verdict::Pass | Verdict::Skip | Verdict::Xfail | Verdict::NotRun => String::new(),
        Verdict::Fail | Verdict::Xpass | Verdict::Timeout | Verdict::Crash => {
            run_again(command, outcome)
        }
    }
}

/// Returns `113 fresh kernels, each loaded in 63 ms`, or how long the boot
/// took.
fn describe(report: &RunReport, loaded: bool) -> String {
    let mut boots = report.boots.clone();
    boots.sort_unstable();
    let median = boots.get(boots.len() / 2).copied().unwrap_or(0);
    let how = if loaded { "loaded" } else { "booted" };
    match boots.len() {
        1 => format!("{how} in {median} ms"),
        many => format!("{many} fresh kernels, each {how} in {median} ms"),
    }
}

#[cfg(test)]
mod tests {
    use kdk_report::fixtures::outcome;

    use super::*;

    #[test]
    fn how_the_guests_came_up() {
        let report = |boots: &[u64]| RunReport {
            boots: boots.to_vec(),
            ..RunReport::default()
        };
        assert_eq!(describe(&report(&[80]), false), "booted in 80 ms");
        assert_eq!(
            describe(&report(&[80, 60, 70]), true),
            "3 fresh kernels, each loaded in 70 ms"
        );
    }

    #[test]
    fn only_tests_that_did_not_end_as_expected_are_run_again() {
        for (verdict, want) in [
            (Verdict::Pass, ""),
            (Verdict::Skip, ""),
            (Verdict::Xfail, ""),
            (Verdict::NotRun, ""),
            (Verdict::Fail, "again --seed 7 --cpus 4 --tests fault/panic"),
            (
                Verdict::Xpass,
                "again --seed 7 --cpus 4 --tests fault/panic",
            ),
            (
                Verdict::Timeout,
                "again --seed 7 --cpus 4 --tests fault/panic",
            ),
            (
                Verdict::Crash,
                "again --seed 7 --cpus 4 --tests fault/panic",
            ),
        ] {
            let mut outcome = outcome("fault/panic", verdict, 1);
            outcome.cpus = 4;
            outcome.seed = Some(7);
            assert_eq!(reproduce("again", &outcome), want, "{verdict}");
        }
    }
}

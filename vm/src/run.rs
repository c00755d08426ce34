//! A whole run: boot, list, select, every test, and a fresh machine after
//! each that was lost.

mod report;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::console::log::{Cap, StampedLog};
use crate::error::{InfraError, RunError};
use crate::interrupt::Interrupt;
use crate::machine::Factory;
use crate::progress::{Progress, Sink};
use crate::protocol::{Hello, TestEntry};
use crate::select::select;
use crate::session::{Death, Goodbye, Limits, Logs, Ran, Session, Setup};
use crate::verdict::{Outcome, Verdict};

pub use report::Report;

/// Which tests share a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All of them; a fresh one is started only after a loss.
    #[default]
    None,
}

/// Where the raw logs go: `console.N.log` and `result.N.log` for boot N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// The directory; it must exist.
    pub path: PathBuf,
    /// How much of the disk each log may take.
    pub cap: Cap,
}

/// What to run and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names and globs; without any, the tests that run by default.
    pub patterns: Vec<String>,
    /// How long things may take.
    pub limits: Limits,
    /// Where the raw logs go.
    pub logs: Option<LogDir>,
    /// Parts of titles of kernel complaints that are known and fail no test.
    pub known: Vec<String>,
    /// Which tests share a kernel.
    pub isolation: Isolation,
}

/// Runs tests. Whatever happens, the report holds all that was found out.
pub fn run_all(
    machines: &mut dyn Factory,
    options: &Options,
    interrupt: &Interrupt,
    sink: Sink<'_>,
) -> Report {
    let mut run = Run::new(machines, options, interrupt, sink);
    let result = run.all();
    if let Err(error) = result {
        run.report.error = Some(error);
    }
    run.forget();
    run.report
}

/// Boots once and asks which tests there are.
///
/// # Errors
/// See [`Session::boot`].
pub fn list_all(
    machines: &mut dyn Factory,
    options: &Options,
    interrupt: &Interrupt,
    sink: Sink<'_>,
) -> Result<(Hello, Vec<TestEntry>), RunError> {
    let mut run = Run::new(machines, options, interrupt, sink);
    let mut session = run.boot()?;
    let tests = session.list()?;
    let hello = session.hello().clone();
    session.end()?;
    Ok((hello, tests))
}

struct Run<'a> {
    machines: &'a mut dyn Factory,
    options: &'a Options,
    setup: Setup<'a>,
    session: Option<Session<'a>>,
    /// Index of the last test's outcome on the session's kernel.
    last: Option<usize>,
    report: Report,
}

impl<'a> Run<'a> {
    fn new(
        machines: &'a mut dyn Factory,
        options: &'a Options,
        interrupt: &Interrupt,
        sink: Sink<'a>,
    ) -> Self {
        Self {
            machines,
            options,
            setup: Setup {
                limits: options.limits,
                known: &options.known,
                interrupt: interrupt.clone(),
                sink,
            },
            session: None,
            last: None,
            report: Report::default(),
        }
    }

    fn all(&mut self) -> Result<(), RunError> {
        let mut session = self.boot()?;
        let tests = session.list();
        self.session = Some(session);
        let tests = select(&tests?, &self.options.patterns)?;
        self.tell(Progress::Selected(&tests));
        for (at, test) in tests.iter().enumerate() {
            if let Err(error) = self.one(test) {
                self.give_up(&tests[at..], &error);
                return Err(error);
            }
        }
        self.end()
    }

    fn boot(&mut self) -> Result<Session<'a>, RunError> {
        let number = self.report.boots.len() + 1;
        self.report.boots.push(0);
        self.tell(Progress::Starting(number));
        let logs = match &self.options.logs {
            Some(dir) => open_logs(dir, number)?,
            None => Logs::default(),
        };
        if self.setup.interrupt.is_set() {
            return Err(InfraError::Interrupted.into());
        }
        let machine = self.machines.start(number)?;
        let mut session = Session::boot(machine, logs, &self.setup)?;
        self.report.boots[number - 1] =
            u64::try_from(session.boot_time().as_millis()).unwrap_or(u64::MAX);
        self.report
            .hello
            .get_or_insert_with(|| session.hello().clone());
        // Of the boot's own complaints.
        self.report.complaints.extend(session.unclaimed());
        self.last = None;
        Ok(session)
    }

    /// Runs one test, on a fresh kernel if the last one was lost.
    fn one(&mut self, test: &TestEntry) -> Result<(), RunError> {
        loop {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.boot()?,
            };
            let ran = session.run(test);
            if self.report.log_error.is_none() {
                self.report.log_error = session.log_error();
            }
            match ran? {
                Ran::Done(outcome) => {
                    self.finished(outcome);
                    self.session = Some(session);
                    return Ok(());
                }
                Ran::Lost(outcome) => {
                    self.finished(outcome);
                    return Ok(());
                }
                Ran::NotStarted(death) => match self.last.take() {
                    Some(last) => self.revise(last, death),
                    None => {
                        self.finished(before_start(test, death));
                        return Ok(());
                    }
                },
            }
        }
    }

    fn finished(&mut self, outcome: Outcome) {
        self.tell(Progress::Finished(&outcome));
        self.last = Some(self.report.outcomes.len());
        self.report.outcomes.push(outcome);
    }

    /// The kernel died after a test had reported: nothing else ran in between,
    /// so the death is that test's.
    fn revise(&mut self, at: usize, death: Death) {
        if let Some(outcome) = self.report.outcomes.get_mut(at) {
            let reported = format!("after it had reported {}: ", outcome.verdict);
            let before = std::mem::take(&mut outcome.detail);
            outcome.detail = [format!("{reported}{}", death.title), before]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<String>>()
                .join("\n");
            outcome.verdict = death.verdict;
            outcome.backtrace = death.backtrace;
            outcome.registers = death.registers;
            outcome.console = death.console;
            (self.setup.sink)(Progress::Revised(outcome));
        }
    }

    /// The tests that have no verdict now.
    fn give_up(&mut self, rest: &[TestEntry], error: &RunError) {
        for test in rest {
            let mut outcome = Outcome::without_verdict(test, Verdict::NotRun);
            outcome.detail = error.to_string();
            self.tell(Progress::Finished(&outcome));
            self.report.outcomes.push(outcome);
        }
    }

    fn end(&mut self) -> Result<(), RunError> {
        let Some(mut session) = self.session.take() else {
            return Ok(());
        };
        match session.end()? {
            Goodbye::Clean => {}
            Goodbye::Odd(why) => self.tell(Progress::Note(&why)),
            Goodbye::Died(death) => {
                if let Some(last) = self.last {
                    self.revise(last, death);
                }
            }
        }
        self.report.complaints.extend(session.unclaimed());
        if self.report.log_error.is_none() {
            self.report.log_error = session.log_error();
        }
        Ok(())
    }

    /// Lets go of a machine that is still there.
    fn forget(&mut self) {
        self.session = None;
    }

    fn tell(&self, progress: Progress<'_>) {
        (self.setup.sink)(progress);
    }
}

fn open_logs(dir: &LogDir, number: usize) -> Result<Logs, InfraError> {
    let open = |name: &str| {
        let path = dir.path.join(format!("{name}.{number}.log"));
        StampedLog::create(&path, dir.cap).map(Some)
    };
    Ok(Logs {
        console: open("console")?,
        result: open("result")?,
    })
}

fn before_start(test: &TestEntry, death: Death) -> Outcome {
    Outcome {
        detail: format!("before it started: {}", death.title),
        backtrace: death.backtrace,
        registers: death.registers,
        console: death.console,
        ..Outcome::without_verdict(test, death.verdict)
    }
}

//! Runs tests: from guests that boot or are restored to every test's verdict,
//! on one machine or on several at the same time.

mod report;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::console::log::{Cap, StampedLog};
use crate::error::{InfraError, RunError};
use crate::hypervisor::Pool;
use crate::interrupt::Interrupt;
use crate::plan::{Batch, Case, Isolation, Selection, batches, longest_first, plan};
use crate::progress::{Progress, Sink};
use crate::protocol::{Hello, TestEntry};
use crate::session::{Limits, Logs, Session, Setup};
use crate::snapshot::Saved;
use crate::verdict::{Outcome, Verdict};
use worker::Worker;

pub use report::RunReport;

/// The directory of the raw logs: `console.N.log` and `result.N.log` for
/// machine N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// The path of the directory, which must exist.
    pub path: PathBuf,
    /// The disk space that each log may use.
    pub cap: Cap,
}

/// What to run, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The tests, the number of rounds and the order.
    pub selection: Selection,
    /// The time limits.
    pub limits: Limits,
    /// The directory of the raw logs.
    pub logs: Option<LogDir>,
    /// Parts of the titles of known kernel warnings, which do not fail a test.
    pub known: Vec<String>,
    /// Which tests share a kernel.
    pub isolation: Isolation,
    /// The number of guests that run at the same time. 0 counts as 1.
    pub jobs: usize,
    /// The durations of the tests in the last run, in milliseconds.
    pub durations: BTreeMap<String, u64>,
    /// When the run began: outcomes have their start times from then on; none
    /// for the moment when [`run_all`] is called.
    pub began: Option<Instant>,
}

/// The source of the guests.
#[derive(Clone, Copy)]
pub enum Guests<'a> {
    /// Each guest boots.
    Boot(&'a dyn Pool),
    /// Each guest is restored from a saved state.
    Load(&'a dyn Pool, &'a Saved),
}

impl<'a> Guests<'a> {
    fn machines(self) -> &'a dyn Pool {
        match self {
            Self::Boot(machines) | Self::Load(machines, _) => machines,
        }
    }
}

/// Runs tests. The report has all results, whatever happens.
pub fn run_all(
    guests: Guests<'_>,
    options: &Options,
    interrupt: &Interrupt,
    sink: Sink<'_>,
) -> RunReport {
    let mut run = Run::new(guests, options, interrupt, sink);
    if let Err(error) = run.all() {
        run.stop_for(error);
    }
    run.into_report()
}

/// Boots once and returns the guest's tests.
///
/// # Errors
/// Fails as [`Session::boot`] does.
pub fn list_all(
    machines: &dyn Pool,
    options: &Options,
    interrupt: &Interrupt,
    sink: Sink<'_>,
) -> Result<(Hello, Vec<TestEntry>), RunError> {
    let run = Run::new(Guests::Boot(machines), options, interrupt, sink);
    let (_, mut session) = run.boot()?;
    let tests = session.list()?;
    let hello = session.hello().clone();
    session.end()?;
    Ok((hello, tests))
}

/// The state that all workers of a run share.
struct Run<'a> {
    guests: Guests<'a>,
    options: &'a Options,
    setup: Setup<'a>,
    began: Instant,
    cases: Vec<Case>,
    queue: Mutex<VecDeque<Batch>>,
    /// Whether no more tests may start.
    stopped: AtomicBool,
    found: Mutex<Found>,
}

/// The results so far.
#[derive(Default)]
struct Found {
    /// The outcomes, by the case's index in the plan.
    outcomes: BTreeMap<usize, Outcome>,
    /// The random numbers of the guests, which must all differ.
    random: HashSet<u64>,
    report: RunReport,
}

impl<'a> Run<'a> {
    fn new(
        guests: Guests<'a>,
        options: &'a Options,
        interrupt: &Interrupt,
        sink: Sink<'a>,
    ) -> Self {
        let mut found = Found::default();
        if let Guests::Load(_, saved) = guests {
            found.report.hello = Some(saved.hello.clone());
            found.report.complaints.clone_from(&saved.complaints);
        }
        Self {
            guests,
            options,
            setup: Setup {
                limits: options.limits,
                known: &options.known,
                interrupt: interrupt.clone(),
                sink,
            },
            began: options.began.unwrap_or_else(Instant::now),
            cases: Vec::new(),
            queue: Mutex::default(),
            stopped: AtomicBool::new(false),
            found: Mutex::new(found),
        }
    }

    fn all(&mut self) -> Result<(), RunError> {
        let (tests, first) = match self.guests {
            Guests::Load(_, saved) => (saved.tests.clone(), None),
            Guests::Boot(_) => {
                let (number, mut session) = self.boot()?;
                (session.list()?, Some((number, session)))
            }
        };
        self.cases = plan(&tests, &self.options.selection)?;
        let selected: Vec<TestEntry> = self.cases.iter().map(|case| case.test.clone()).collect();
        self.emit(Progress::Selected(&selected));
        let mut batches = batches(&self.cases, self.options.isolation);
        let jobs = self.options.jobs.clamp(1, batches.len().max(1));
        if jobs > 1 {
            longest_first(&mut batches, &self.cases, &self.options.durations);
        }
        self.queue = Mutex::new(batches.into());
        let run = &*self;
        let mut first = Some(Worker::new(run, 1, first));
        std::thread::scope(|scope| {
            for worker in 2..=jobs {
                scope.spawn(move || Worker::new(run, worker, None).work());
            }
            if let Some(mut worker) = first.take() {
                worker.work();
            }
        });
        Ok(())
    }

    /// Returns the number of the next machine, and its logs.
    fn next(&self) -> Result<(usize, Logs), InfraError> {
        let number = {
            let boots = &mut self.found().report.boots;
            boots.push(0);
            boots.len()
        };
        self.emit(Progress::Starting(number));
        let logs = match &self.options.logs {
            Some(dir) => open_logs(dir, number)?,
            None => Logs::default(),
        };
        if self.setup.interrupt.is_set() {
            return Err(InfraError::Interrupted);
        }
        Ok((number, logs))
    }

    /// Returns a guest that has just booted.
    fn boot(&self) -> Result<(usize, Session<'a>), RunError> {
        let (number, logs) = self.next()?;
        let machine = self.guests.machines().start(number)?;
        let mut session = Session::boot(machine, logs, &self.setup)?;
        let mut found = self.found();
        let hello = session.hello().clone();
        found.report.hello.get_or_insert(hello);
        // These are the warnings of the boot itself.
        found.report.complaints.extend(session.unclaimed());
        drop(found);
        self.came_up(number, &session);
        Ok((number, session))
    }

    /// Returns a fresh guest that is ready for a test with this seed.
    fn ready(&self, seed: u64) -> Result<(usize, Session<'a>), RunError> {
        match self.guests {
            Guests::Boot(_) => {
                let (number, mut session) = self.boot()?;
                self.resume(&mut session, seed)?;
                Ok((number, session))
            }
            Guests::Load(machines, saved) => {
                let (number, logs) = self.next()?;
                let machine = machines.start(number)?;
                let mut session = Session::restore(machine, logs, &self.setup, &saved.hello)?;
                self.resume(&mut session, seed)?;
                self.came_up(number, &session);
                Ok((number, session))
            }
        }
    }

    /// Resumes a guest with the time and a seed, and checks that its random
    /// numbers differ from those of all earlier guests.
    fn resume(&self, session: &mut Session<'a>, seed: u64) -> Result<(), RunError> {
        let random = session.resume(seed)?;
        if self.found().random.insert(random) {
            return Ok(());
        }
        Err(session.duplicate_entropy(random).into())
    }

    fn came_up(&self, number: usize, session: &Session<'_>) {
        let ms = u64::try_from(session.boot_time().as_millis()).unwrap_or(u64::MAX);
        if let Some(boot) = self.found().report.boots.get_mut(number - 1) {
            *boot = ms;
        }
    }

    /// Ends the run early: running tests finish, and no more tests start.
    fn stop_for(&self, error: RunError) {
        self.stopped.store(true, Ordering::SeqCst);
        self.found().report.error.get_or_insert(error);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn next_batch(&self) -> Option<Batch> {
        if self.is_stopped() {
            return None;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }

    fn finished(&self, at: usize, mut outcome: Outcome) {
        if outcome.verdict != Verdict::NotRun {
            let ended = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            outcome.start_ms = Some(ended.saturating_sub(outcome.ms));
        }
        self.emit(Progress::Finished(&mut outcome));
        self.found().outcomes.insert(at, outcome);
    }

    fn keep_log_error(&self, error: Option<InfraError>) {
        let mut found = self.found();
        if found.report.log_error.is_none() {
            found.report.log_error = error;
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emit(&self, progress: Progress<'_>) {
        (self.setup.sink)(progress);
    }

    /// Returns all that was found out; a case without a verdict is one that did
    /// not run.
    fn into_report(self) -> RunReport {
        let why = {
            let found = self.found();
            found.report.error.as_ref().map(ToString::to_string)
        };
        for (at, case) in self.cases.iter().enumerate() {
            if self.found().outcomes.contains_key(&at) {
                continue;
            }
            let mut outcome = Outcome::without_verdict(&case.test, Verdict::NotRun);
            outcome.detail = why.clone().unwrap_or_default();
            self.finished(at, outcome);
        }
        let found = self.found.into_inner();
        let found = found.unwrap_or_else(PoisonError::into_inner);
        RunReport {
            outcomes: found.outcomes.into_values().collect(),
            ..found.report
        }
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
        debugger: Some(dir.path.join(format!("debugger.{number}.log"))),
    })
}

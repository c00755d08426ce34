//! Runs tests: from guests that boot or are restored to every test's verdict,
//! on machines of all sizes that the tests need, one at a time or several side
//! by side.

mod report;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::console::log::{Cap, StampedLog};
use crate::error::{InfraError, RunError};
use crate::hypervisor::{MachineSize, Pool};
use crate::interrupt::Interrupt;
use crate::plan::{
    Batch, Case, Durations, Isolation, Selection, batches, longest_first, plan, sizes,
};
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
    /// The durations of the tests in the last run.
    pub durations: Durations,
    /// When the run began: outcomes have their start times from then on; none
    /// for the moment when [`run_all`] is called.
    pub began: Option<Instant>,
}

/// The source of the guests.
#[derive(Clone, Copy)]
pub enum Guests<'a> {
    /// Each guest boots.
    Boot(&'a dyn Pool),
    /// Each guest is restored from a saved state. The tests of the first of
    /// these machines decide which others are needed.
    Load(&'a [SavedMachines<'a>]),
}

/// The machines of one size that are restored from a saved state.
#[derive(Clone, Copy)]
pub struct SavedMachines<'a> {
    /// The size of the machines.
    pub size: MachineSize,
    /// What restores them.
    pub pool: &'a dyn Pool,
    /// The record of the saved guest.
    pub saved: &'a Saved,
}

impl<'a> Guests<'a> {
    /// Returns the size of a machine whose tests need no other.
    fn least(self) -> MachineSize {
        match self {
            Self::Boot(pool) => pool.size(),
            Self::Load(all) => all.first().map_or(
                MachineSize {
                    cpus: 1,
                    mem_mib: 0,
                },
                |first| first.size,
            ),
        }
    }

    /// Returns the machines of a size, with the record of their saved guest.
    fn of(self, size: MachineSize) -> Result<(&'a dyn Pool, Option<&'a Saved>), InfraError> {
        match self {
            Self::Boot(pool) => Ok((pool, None)),
            Self::Load(all) => {
                let one = all.iter().find(|one| one.size == size).ok_or_else(|| {
                    let MachineSize { cpus, mem_mib } = size;
                    InfraError::sys(
                        format!("start a machine with {cpus} CPUs and {mem_mib} MiB"),
                        io::Error::other("none was saved"),
                    )
                })?;
                Ok((one.pool, Some(one.saved)))
            }
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
    Run::new(guests, options, interrupt, sink).run()
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
    let (_, mut session) = run.boot(machines, machines.size())?;
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
    /// Returns how long the host has stood still so far.
    stood_still: fn() -> Duration,
    /// The machines that the tests need.
    kinds: Vec<Kind<'a>>,
    cases: Vec<Case>,
    queue: Mutex<VecDeque<Batch>>,
    /// Whether no more tests may start.
    stopped: AtomicBool,
    found: Mutex<Found>,
}

/// Machines of one size.
struct Kind<'a> {
    size: MachineSize,
    pool: &'a dyn Pool,
    saved: Option<&'a Saved>,
    /// The tests as a guest on such a machine lists them: whether a failure is
    /// expected can depend on the number of CPUs.
    tests: Vec<TestEntry>,
    /// A guest that has booted and listed its tests, with its number.
    idle: Mutex<Option<(usize, Session<'a>)>>,
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
            stood_still: clock::stood_still,
            kinds: Vec::new(),
            cases: Vec::new(),
            queue: Mutex::default(),
            stopped: AtomicBool::new(false),
            found: Mutex::default(),
        }
    }

    fn run(mut self) -> RunReport {
        if let Err(error) = self.all() {
            self.stop_for(error);
        }
        self.into_report()
    }

    fn all(&mut self) -> Result<(), RunError> {
        let selection = &self.options.selection;
        let least = self.guests.least();
        let first = self.kind(match self.guests {
            Guests::Boot(_) => selection.first_size(least),
            Guests::Load(_) => least,
        })?;
        let mut cases = plan(&first.tests, selection, least)?;
        let mut first = Some(first);
        for size in sizes(&cases) {
            let kind = match first.take_if(|first| first.size == size) {
                Some(first) => first,
                None => self.kind(size)?,
            };
            for case in cases.iter_mut().filter(|case| case.size == size) {
                let listed = kind.tests.iter().find(|test| test.name == case.test.name);
                case.test = listed.unwrap_or(&case.test).clone();
            }
            self.kinds.push(kind);
        }
        // It has only listed its tests.
        if let Some((_, mut unused)) = first.and_then(|first| unlocked(first.idle)) {
            unused.end()?;
        }
        self.cases = cases;
        let selected: Vec<TestEntry> = self.cases.iter().map(|case| case.test.clone()).collect();
        self.emit(Progress::Selected(&selected));
        let mut batches = batches(&self.cases, self.options.isolation);
        let jobs = self.options.jobs.clamp(1, batches.len().max(1));
        if jobs > 1 {
            longest_first(&mut batches, &self.cases, &self.options.durations);
        }
        self.queue = Mutex::new(batches.into());
        let run = &*self;
        std::thread::scope(|scope| {
            for worker in 2..=jobs {
                // Where no more threads may start, the others do the work.
                let _ = std::thread::Builder::new()
                    .spawn_scoped(scope, move || Worker::new(run, worker).work());
            }
            Worker::new(run, 1).work();
        });
        Ok(())
    }

    /// Returns the machines of a size, with their tests.
    fn kind(&self, size: MachineSize) -> Result<Kind<'a>, RunError> {
        let (pool, saved) = self.guests.of(size)?;
        let (tests, idle) = match saved {
            Some(saved) => {
                let report = &mut self.found().report;
                report.hello.get_or_insert_with(|| saved.hello.clone());
                report.complaints.extend(saved.complaints.iter().cloned());
                (saved.tests.clone(), None)
            }
            None => {
                let (number, mut session) = self.boot(pool, size)?;
                (session.list()?, Some((number, session)))
            }
        };
        Ok(Kind {
            size,
            pool,
            saved,
            tests,
            idle: Mutex::new(idle),
        })
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
    fn boot(&self, pool: &dyn Pool, size: MachineSize) -> Result<(usize, Session<'a>), RunError> {
        let (number, logs) = self.next()?;
        let machine = pool.start(number, size)?;
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

    /// Returns a fresh guest that is ready for a case.
    fn ready(&self, case: &Case) -> Result<(usize, Session<'a>), RunError> {
        let Case { size, seed, .. } = *case;
        let kind = self.kinds.iter().find(|kind| kind.size == size);
        let (pool, saved) = match kind {
            Some(kind) => (kind.pool, kind.saved),
            None => self.guests.of(size)?,
        };
        match saved {
            None => {
                let idle = kind.and_then(|kind| {
                    let mut idle = kind.idle.lock().unwrap_or_else(PoisonError::into_inner);
                    idle.take()
                });
                let (number, mut session) = match idle {
                    Some(guest) => guest,
                    None => self.boot(pool, size)?,
                };
                self.resume(&mut session, seed)?;
                Ok((number, session))
            }
            Some(saved) => {
                let (number, logs) = self.next()?;
                let machine = pool.start(number, size)?;
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
            outcome.cpus = case.size.cpus;
            outcome.detail = why.clone().unwrap_or_default();
            self.finished(at, outcome);
        }
        let found = unlocked(self.found);
        RunReport {
            outcomes: found.outcomes.into_values().collect(),
            ..found.report
        }
    }
}

fn unlocked<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
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

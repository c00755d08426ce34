//! Runs tasks as job arrays of Slurm.
//!
//! Results are files, so a task is done when its file exists, whatever Slurm
//! says. squeue(1) is asked only why a file does not come: it needs no
//! accounting. sbatch's own variables (`SBATCH_PARTITION`, `SBATCH_TIMELIMIT`,
//! ..) choose where and how the jobs run.

mod array;
mod client;
mod queue;
mod script;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kdk_core::context::Context;
use kdk_core::event::milliseconds;
use kdk_core::failure::{Class, Failure};
use kdk_core::terminal::seconds;

use crate::Done;
use crate::task::Task;
use array::Array;
use client::Client;
use queue::{Job, Judgement, Phase, judge};

/// The most tasks of one array: by default, Slurm's greatest index is 1000.
const MOST_TASKS: usize = 1000;

/// How often a task is submitted, when nodes are lost, before it has failed.
const ATTEMPTS: u32 = 3;

/// The lock under which arrays are found and submitted.
const LOCK: &str = "executor";

/// How a run waits.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The interval at which the results are looked for.
    pub look: Duration,
    /// The interval at which Slurm is asked.
    pub ask: Duration,
    /// How long a file of another node may take until it is visible. An NFS
    /// client may use what it knows about a folder for a minute.
    pub grace: Duration,
    /// How long Slurm may not answer, as while its controller is restarted.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_millis(250),
            ask: Duration::from_secs(2),
            grace: Duration::from_secs(90),
            patience: Duration::from_secs(600),
        }
    }
}

/// A Slurm that answers.
#[derive(Debug, Clone, Default)]
pub struct Slurm {
    client: Client,
    pace: Pace,
}

/// Where a task is.
#[derive(Debug, Clone)]
struct Place {
    array: Array,
    job: u64,
    index: usize,
}

impl Place {
    fn key(&self) -> (u64, usize) {
        (self.job, self.index)
    }
}

/// A task without a result.
struct Waiting<'t> {
    task: &'t Task,
    place: Place,
    /// How often it was submitted.
    attempts: u32,
    /// Since when it is not active.
    quiet: Option<Instant>,
    /// The node on which it was seen last.
    node: String,
}

impl Slurm {
    /// Returns the Slurm of this host.
    ///
    /// # Errors
    /// It is not installed, or does not answer.
    pub fn open() -> Result<Self, Failure> {
        let slurm = Self::default();
        slurm.client.check()?;
        Ok(slurm)
    }

    /// Runs tasks; see [`crate::Executor::run`].
    pub fn run(&self, cx: &Context, tasks: &[&Task], done: &mut Done<'_>) -> Result<(), Failure> {
        let places = self.claim(cx, tasks)?;
        let mut waiting: Vec<Waiting<'_>> = tasks
            .iter()
            .zip(places)
            .map(|(task, place)| Waiting {
                task,
                place,
                attempts: 1,
                quiet: None,
                node: String::new(),
            })
            .collect();
        let mut run = Run {
            slurm: self,
            cx,
            began: Instant::now(),
            asked: None,
            silent: None,
        };
        let result = run.wait(&mut waiting, done);
        // Where Slurm fails, the tasks run on, and the next run finds them.
        let stops = cx.interrupt.is_set() || matches!(result, Err(Stop::Caller(_)));
        if stops && !waiting.is_empty() {
            run.cancel(&waiting)?;
        }
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Caller(failure) | Stop::Engine(failure)) => Err(failure),
        }
    }

    /// Returns where each of `tasks` is: in an array that runs already, or in a
    /// new one.
    fn claim(&self, cx: &Context, tasks: &[&Task]) -> Result<Vec<Place>, Failure> {
        let lock = cx.cache.lock(LOCK, &|text| cx.terminal.line(&text))?;
        let arrays = self.known(cx)?;
        let jobs: BTreeSet<u64> = arrays
            .iter()
            .filter(|array| tasks.iter().any(|task| array.index(task).is_some()))
            .filter_map(|array| array.record.job)
            .collect();
        let states = match jobs.is_empty() {
            true => BTreeMap::new(),
            false => self
                .client
                .states(&jobs.into_iter().collect::<Vec<u64>>())?,
        };
        let mut places: Vec<Option<Place>> = tasks
            .iter()
            .map(|task| running(task, &arrays, &states))
            .collect();
        let attached: BTreeSet<u64> = places.iter().flatten().map(|place| place.job).collect();
        for job in attached {
            let all = places.iter().flatten();
            let count = all.filter(|place| place.job == job).count();
            cx.terminal.line(&format!(
                "{} of the job {job} run already",
                tasks_text(count)
            ));
        }
        let open: Vec<usize> = (0..tasks.len())
            .filter(|at| places[*at].is_none())
            .collect();
        for some in open.chunks(MOST_TASKS) {
            let chosen: Vec<&Task> = some.iter().map(|at| tasks[*at]).collect();
            let mut array = Array::create(&cx.cache, &chosen)?;
            let indices = format!("0-{}", chosen.len() - 1);
            let file = lock.file().map_err(|error| {
                Failure::infra("submit tasks to Slurm", "there is no further file").source(error)
            })?;
            let submitted = self
                .client
                .submit(&array.record.name, &indices, &array.script(), file);
            let job = match submitted {
                Ok(job) => job,
                Err(failure) => {
                    // Nothing runs, so nothing has to be found.
                    let _ = std::fs::remove_dir_all(&array.dir);
                    return Err(failure);
                }
            };
            array.record.job = Some(job);
            array.write()?;
            cx.terminal.line(&format!(
                "submitted {} as the job {job}; their output: {}",
                tasks_text(chosen.len()),
                array.dir.display()
            ));
            for (index, at) in some.iter().enumerate() {
                places[*at] = Some(Place {
                    array: array.clone(),
                    job,
                    index,
                });
            }
        }
        Ok(places.into_iter().flatten().collect())
    }

    /// Returns the arrays of earlier runs. One whose submitter was killed before
    /// it wrote down the job's id is found by its name, if Slurm has it.
    fn known(&self, cx: &Context) -> Result<Vec<Array>, Failure> {
        let mut arrays = array::all(&cx.cache)?;
        for array in &mut arrays {
            if array.record.job.is_none() {
                match self.client.find(&array.record.name)? {
                    Some(job) => {
                        array.record.job = Some(job);
                        array.write()?;
                    }
                    None => {
                        let _ = std::fs::remove_dir_all(&array.dir);
                    }
                }
            }
        }
        let jobs: Vec<u64> = arrays.iter().filter_map(|array| array.record.job).collect();
        if arrays.len() > array::KEPT {
            let active: BTreeSet<u64> = self
                .client
                .states(&jobs)?
                .iter()
                .filter(|(_, job)| job.phase() == Phase::Active)
                .map(|((job, _), _)| *job)
                .collect();
            array::clean(&cx.cache, &|record| {
                record.job.is_some_and(|job| active.contains(&job))
            })?;
        }
        Ok(arrays)
    }
}

/// Returns where a task waits or runs already.
fn running(task: &Task, arrays: &[Array], states: &BTreeMap<(u64, usize), Job>) -> Option<Place> {
    arrays.iter().find_map(|array| {
        let (job, index) = (array.record.job?, array.index(task)?);
        let state = states.get(&(job, index))?;
        (state.phase() == Phase::Active).then(|| Place {
            array: array.clone(),
            job,
            index,
        })
    })
}

/// Returns the words for a number of tasks.
fn tasks_text(count: usize) -> String {
    match count {
        1 => "1 task".into(),
        some => format!("{some} tasks"),
    }
}

/// Why a run ended early.
enum Stop {
    /// The caller's callback failed, or the user pressed ^C.
    Caller(Failure),
    /// Slurm or the host failed.
    Engine(Failure),
}

/// A run that waits for its tasks.
struct Run<'a> {
    slurm: &'a Slurm,
    cx: &'a Context,
    began: Instant,
    /// When Slurm was asked last.
    asked: Option<Instant>,
    /// Since when Slurm does not answer.
    silent: Option<Instant>,
}

impl Run<'_> {
    /// Waits until no task is left.
    fn wait(&mut self, waiting: &mut Vec<Waiting<'_>>, done: &mut Done<'_>) -> Result<(), Stop> {
        let pace = self.slurm.pace;
        loop {
            self.collect(waiting, done)?;
            if waiting.is_empty() {
                return Ok(());
            }
            if self.cx.interrupt.is_set() {
                return Err(Stop::Caller(
                    Failure::infra("run tasks", "interrupted")
                        .help("run the command again: it submits the tasks that have no result"),
                ));
            }
            if self.asked.is_none_or(|asked| asked.elapsed() >= pace.ask) {
                self.asked = Some(Instant::now());
                self.ask(waiting, done)?;
            }
            std::thread::sleep(pace.look);
        }
    }

    /// Reports the tasks whose results have come.
    fn collect(&self, waiting: &mut Vec<Waiting<'_>>, done: &mut Done<'_>) -> Result<(), Stop> {
        let ended = |one: &mut Waiting<'_>| one.task.is_done();
        for one in waiting.extract_if(.., ended) {
            self.say(&one, "done");
            done(one.task, Ok(())).map_err(Stop::Caller)?;
        }
        Ok(())
    }

    fn say(&self, one: &Waiting<'_>, what: &str) {
        let after = seconds(milliseconds(self.began.elapsed()));
        let on = match one.node.as_str() {
            "" => String::new(),
            node => format!(" on {node}"),
        };
        let name = &one.task.name;
        self.cx
            .terminal
            .line(&format!("{name}: {what}{on} after {after}"));
    }

    /// Asks Slurm about the tasks. Reports those that have failed, and submits
    /// those again that are lost.
    fn ask(&mut self, waiting: &mut Vec<Waiting<'_>>, done: &mut Done<'_>) -> Result<(), Stop> {
        let jobs: BTreeSet<u64> = waiting.iter().map(|one| one.place.job).collect();
        let jobs: Vec<u64> = jobs.into_iter().collect();
        let states = match self.slurm.client.states(&jobs) {
            Ok(states) => states,
            Err(failure) => return self.not_answered(failure).map_err(Stop::Engine),
        };
        if self.silent.take().is_some() {
            self.cx.terminal.line("Slurm answers again");
        }
        // A result that came before Slurm's answer counts more than the answer.
        self.collect(waiting, done)?;
        let grace = self.slurm.pace.grace;
        let (mut lost, mut failed) = (Vec::new(), Vec::new());
        for (at, one) in waiting.iter_mut().enumerate() {
            match one.judge(states.get(&one.place.key()), grace) {
                Judgement::Wait => {}
                Judgement::Exited(code) => {
                    failed.push((at, one.task.exited(code, &one.log())));
                }
                Judgement::Failed(why) => {
                    failed.push((at, one.task.failed(Class::Infra, why, &one.log())));
                }
                Judgement::Lost(why) if one.attempts >= ATTEMPTS => {
                    let what = format!("it was lost {ATTEMPTS} times; the last time: {why}");
                    let failure = one.task.failed(Class::Infra, what, &one.log()).and_help(
                        "each node needs this cache folder under the same path, and this program",
                    );
                    failed.push((at, failure));
                }
                Judgement::Lost(why) => {
                    let name = &one.task.name;
                    let (next, most) = (one.attempts + 1, ATTEMPTS);
                    self.cx.terminal.line(&format!(
                        "{name}: lost ({why}); submitting it again ({next} of {most})"
                    ));
                    lost.push(at);
                }
            }
        }
        self.again(waiting, &lost).map_err(Stop::Engine)?;
        for (at, failure) in failed.into_iter().rev() {
            let one = waiting.remove(at);
            self.say(&one, "failed");
            done(one.task, Err(failure)).map_err(Stop::Caller)?;
        }
        Ok(())
    }

    /// Submits the tasks at `lost` again.
    fn again(&self, waiting: &mut [Waiting<'_>], lost: &[usize]) -> Result<(), Failure> {
        if lost.is_empty() {
            return Ok(());
        }
        let tasks: Vec<&Task> = lost.iter().map(|at| waiting[*at].task).collect();
        let places = self.slurm.claim(self.cx, &tasks)?;
        for (at, place) in lost.iter().zip(places) {
            let one = &mut waiting[*at];
            one.place = place;
            one.attempts += 1;
            one.quiet = None;
        }
        Ok(())
    }

    /// Notes that Slurm does not answer.
    ///
    /// # Errors
    /// It has not answered for too long.
    fn not_answered(&mut self, failure: Failure) -> Result<(), Failure> {
        match self.silent {
            None => {
                self.silent = Some(Instant::now());
                let why = failure.in_one_line();
                self.cx.terminal.line(&format!("waiting for Slurm: {why}"));
                Ok(())
            }
            Some(since) if since.elapsed() < self.slurm.pace.patience => Ok(()),
            Some(_) => Err(failure.and_help(
                "the tasks are still submitted: run the command again, and it waits for them",
            )),
        }
    }

    /// Cancels the tasks that no one waits for any more.
    fn cancel(&self, waiting: &[Waiting<'_>]) -> Result<(), Failure> {
        let keys: Vec<(u64, usize)> = waiting.iter().map(|one| one.place.key()).collect();
        self.slurm.client.cancel(&keys)?;
        self.cx
            .terminal
            .line(&format!("cancelled {}", tasks_text(keys.len())));
        Ok(())
    }
}

impl Waiting<'_> {
    fn judge(&mut self, job: Option<&Job>, grace: Duration) -> Judgement {
        if let Some(job) = job.filter(|job| !job.node.is_empty()) {
            self.node.clone_from(&job.node);
        }
        let quiet = match job.map(Job::phase) {
            Some(Phase::Active) => {
                self.quiet = None;
                Duration::ZERO
            }
            _ => self.quiet.get_or_insert_with(Instant::now).elapsed(),
        };
        // The file is looked for only where it counts: each look is a request to
        // the server of the folder.
        let has_ended = job.map_or(Phase::Ended, Job::phase) == Phase::Ended;
        let exit = has_ended.then(|| script::exit(&self.place.array.dir, self.place.index));
        judge(job, exit.flatten().as_ref(), quiet, grace)
    }

    fn log(&self) -> std::path::PathBuf {
        self.place.array.log(self.place.index)
    }
}

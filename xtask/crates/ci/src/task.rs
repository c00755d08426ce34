//! The tasks of a run: jobs on one kernel, as a file that a process of its own
//! reads, on this host or on another one.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::job::{Batch, Job};
use crate::keys;
use crate::result::{JobResult, JobVerdict};
use crate::run::RunRequest;
use crate::store::{self, CiStore, Results};
use crate::survey::{Survey, survey};
use crate::work::Worker;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::store::RESULTS_KEPT;
use kdk_executor::Task;
use kdk_guest::build::userland;
use kdk_guest::request::GuestRequest;
use kdk_series::load;

/// The version of the format of a task's file.
const SCHEMA: u32 = 1;

/// What a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFile {
    /// The version of the format.
    pub schema: u32,
    /// The base, which is also the name of the series.
    pub base: String,
    /// The id of the revision that the jobs are of.
    pub revision: String,
    /// The jobs, in order.
    pub jobs: Vec<Job>,
    /// The folder of the results.
    pub results: PathBuf,
    /// The number of guests that run side by side.
    pub guests: u16,
    /// Whether builds are confined.
    pub sandbox: bool,
}

/// The content of the file that a task creates when it is done.
#[derive(Serialize)]
struct Done {
    schema: u32,
    jobs: Vec<String>,
}

/// Writes the file of the task for `batch`, and returns the task. Its name is
/// the same each time for a revision, so that a task that another run submitted
/// is found again.
///
/// # Errors
/// The file cannot be written.
pub fn prepare(
    cx: &Context,
    batch: &Batch,
    revision: &str,
    results: &Results,
    request: &RunRequest,
) -> Result<Task, Failure> {
    let name = batch.name.replace('/', "-");
    let mut folder = CiStore::open(&cx.cache, &batch.base).tasks().join(revision);
    if let Some(shard) = results.shard_id() {
        // Shards can run side by side, and can have jobs on the same kernel.
        folder.push(shard);
    }
    let (file, done) = (
        folder.join(format!("{name}.json")),
        folder.join(format!("{name}.done")),
    );
    let task = TaskFile {
        schema: SCHEMA,
        base: batch.base.clone(),
        revision: revision.to_owned(),
        jobs: batch.jobs.clone(),
        results: results.dir().to_owned(),
        guests: request.jobs,
        sandbox: request.sandbox,
    };
    store::write(&file, &task)?;
    // It is of a run whose results do not count.
    if let Err(error) = fs::remove_file(&done)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failure::io("prepare a task", &done, error));
    }
    let args = ["ci".into(), "job".into(), file.into_os_string()];
    Task::of_this_program(cx, batch.name.clone(), args, done)
}

/// Runs the jobs of the task file `path`, and stores each result as soon as
/// there is one.
///
/// # Errors
/// The file is not a task's, the series is another one by now, or the user
/// pressed ^C. A job that fails is no error.
pub fn run(cx: &Context, path: &Path) -> Result<(), Failure> {
    let tried = format!("run the task {}", path.display());
    let task: TaskFile = store::read(path, "a task of CI", SCHEMA)?
        .ok_or_else(|| Failure::usage(&tried, "there is no such file"))?;
    let series = load::must(&task.base)?;
    let suites = userland::suites()?;
    let mut now = survey(cx, &series, &suites, task.sandbox)?;
    let of_series = CiStore::open(&cx.cache, &task.base).results();
    let results = match of_series.dir() == task.results {
        true => of_series,
        false => Results::at(task.results.clone()),
    };
    let worker = Worker {
        cx,
        series: &series,
        suites: &suites,
        revision: &task.revision,
        results: &results,
        jobs: task.guests,
        guest: GuestRequest {
            base: Some(task.base.clone()),
            sandbox: task.sandbox,
            ..GuestRequest::default()
        },
    };
    for job in &task.jobs {
        let known = results.get(&job.key)?;
        if known.is_some_and(|known| known.verdict == JobVerdict::Passed) {
            continue;
        }
        as_planned(&task, job, &now)?;
        cx.terminal.line(&format!("job {}", job.id));
        let result = worker.run(job);
        // What was edited while the job ran may be what it ran.
        let series = load::must(&task.base)?;
        now = survey(cx, &series, &userland::suites()?, task.sandbox)?;
        as_planned(&task, job, &now)?;
        results.put(&result)?;
        cx.terminal.line(&ended(&result));
        if cx.interrupt.is_set() {
            return Err(Failure::infra(&tried, "interrupted"));
        }
    }
    let done = Done {
        schema: SCHEMA,
        jobs: task.jobs.into_iter().map(|job| job.id).collect(),
    };
    store::write(&path.with_extension("done"), &done)?;
    // Old results are removed last, when nothing waits for it.
    cx.store.gc(RESULTS_KEPT).map(drop)
}

/// Fails if the revision, or what `job` depends on, is not what was planned.
fn as_planned(task: &TaskFile, job: &Job, now: &Survey) -> Result<(), Failure> {
    let what = if now.revision.id != task.revision {
        "the series has changed since it was planned"
    } else if !keys::is_current(job, &now.facts, &now.programs)? {
        "what the job depends on has changed since it was planned"
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("run the job {}", job.id), what)
        .help("plan again: `cargo xtask ci run`; the results that there are stay"))
}

/// Returns the line about a job that has ended.
pub fn ended(result: &JobResult) -> String {
    let seconds = result.ms / 1000;
    let why = match result.why.as_str() {
        "" => String::new(),
        why => format!(": {why}"),
    };
    format!("{}: {} in {seconds} s{why}", result.job, result.word())
}

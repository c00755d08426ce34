//! `cargo xtask ci run`: plans, runs what has no valid result, and reports.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::compare::{Comparison, JobResults, JobRow, compare};
use crate::job::{Batch, Job, batches};
use crate::matrix::{self, Known};
use crate::planner::{self, PlanRequest, Planned};
use crate::render;
use crate::result::{JobResult, JobVerdict};
use crate::schedule::Decision;
use crate::store::{self, CiStore, Results};
use crate::task;
use kdk_core::cache_dir::Lock;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_executor::{Executor, ExecutorChoice};
use kdk_guest::build::sandbox::Sandbox;
use kdk_guest::build::userland;

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// What to plan.
    pub plan: PlanRequest,
    /// Where the tasks run.
    pub executor: ExecutorChoice,
    /// The number of guests that run side by side.
    pub jobs: u16,
    /// Whether builds are confined.
    pub sandbox: bool,
    /// Whether to print why each job runs or does not.
    pub explain: bool,
    /// Whether to run nothing.
    pub dry_run: bool,
    /// The program that gets the command line of each task, instead of kdk.
    pub task_program: Option<PathBuf>,
    /// Where the report goes too, beside the cache folder.
    pub files: ReportFiles,
}

/// The reports that a caller asks for.
#[derive(Debug, Clone, Default)]
pub struct ReportFiles {
    /// The reports of all bases as one JSON list.
    pub json: Option<PathBuf>,
    /// The reports of all bases as one HTML page.
    pub html: Option<PathBuf>,
}

/// Runs what the revision of each base needs, and reports.
///
/// # Errors
/// The request or the matrix is wrong, a job failed, or the host failed.
pub fn run(cx: &Context, request: &RunRequest) -> Result<(), Failure> {
    if request.sandbox {
        // A host that cannot confine builds is reported before all else.
        Sandbox::find()?;
    }
    let all = plan_all(cx, request)?;
    if request.dry_run {
        return Ok(());
    }
    let jobs: Vec<Submitted> = all
        .iter()
        .map(|one| Submitted::of(cx, &one.planned))
        .collect();
    let ran = submit(cx, &jobs, request);
    let comparisons = report(cx, &all, &request.files)?;
    ran?;
    verdict(&comparisons)
}

/// A base with its plan, and the lock of its results.
struct LockedPlan {
    planned: Planned,
    _lock: Lock,
}

/// Plans the jobs of each base, and prints the plans.
fn plan_all(cx: &Context, request: &RunRequest) -> Result<Vec<LockedPlan>, Failure> {
    let suites = userland::suites()?;
    let matrix = matrix::parse(&matrix::text()?, &Known::of_this_repository(&suites)?)?;
    let mut all = Vec::new();
    for base in planner::bases(cx, &matrix, &request.plan.bases)? {
        let say = |text: String| cx.terminal.line(&text);
        let lock = store::lock(&cx.cache, &base, &say)?;
        let planned = planner::plan(cx, &matrix, &suites, &base, &request.plan)?;
        for line in render::plan_lines(&planned, request.explain, request.dry_run) {
            cx.terminal.print(&line);
        }
        if !request.dry_run {
            let store = CiStore::open(&cx.cache, &base);
            store.put_revision(&planned.schedule.revision)?;
        }
        all.push(LockedPlan {
            planned,
            _lock: lock,
        });
    }
    Ok(all)
}

/// Jobs of one revision that run.
pub(crate) struct Submitted {
    /// The id of the revision.
    pub revision: String,
    /// The jobs that run.
    pub jobs: Vec<Job>,
    /// Where their results go.
    pub results: Results,
}

impl Submitted {
    /// Returns the jobs of a plan that have no valid result.
    fn of(cx: &Context, planned: &Planned) -> Self {
        let schedule = &planned.schedule;
        Self {
            revision: schedule.revision.id.clone(),
            jobs: schedule.to_run(),
            results: CiStore::open(&cx.cache, &schedule.revision.base).results(),
        }
    }
}

/// Runs jobs as tasks, one for each kernel. A job that has no result then gets
/// one of the host.
pub(crate) fn submit(cx: &Context, all: &[Submitted], request: &RunRequest) -> Result<(), Failure> {
    let mut tasks = Vec::new();
    let mut of_task: BTreeMap<String, (Batch, &Submitted)> = BTreeMap::new();
    for one in all {
        for batch in batches(&one.jobs) {
            let mut task = task::prepare(cx, &batch, &one.revision, &one.results, request)?;
            if let Some(program) = &request.task_program {
                task.argv.insert(0, program.into());
            }
            of_task.insert(task.name.clone(), (batch, one));
            tasks.push(task);
        }
    }
    if tasks.is_empty() {
        return Ok(());
    }
    // Guests run side by side in a task: tasks of one base share a tree.
    let executor = Executor::open(cx, request.executor, 1)?;
    executor.run(&tasks, &mut |task, ended| {
        let why = match ended {
            Ok(()) => "it ended without a result".to_owned(),
            Err(failure) => {
                cx.terminal.line(&failure.in_one_line());
                for line in failure.advice().into_iter().flat_map(str::lines) {
                    cx.terminal.line(line);
                }
                failure.in_one_line()
            }
        };
        match of_task.get(&task.name) {
            Some((batch, of)) => conclude(cx, batch, of, &why),
            None => Ok(()),
        }
    })
}

/// Reports the jobs of a task that has ended. `why` is why one of them may have
/// no result.
fn conclude(cx: &Context, batch: &Batch, of: &Submitted, why: &str) -> Result<(), Failure> {
    for job in &batch.jobs {
        match of.results.get(&job.key)? {
            Some(result) => cx.terminal.line(&task::ended(&result)),
            None => {
                let mut result = JobResult::begin(job, &of.revision);
                result.why = why.to_owned();
                of.results.put(&result)?;
            }
        }
    }
    Ok(())
}

/// Compares, prints and writes the results.
fn report(
    cx: &Context,
    all: &[LockedPlan],
    files: &ReportFiles,
) -> Result<Vec<Comparison>, Failure> {
    let mut comparisons = Vec::new();
    for one in all {
        let comparison = compared(cx, &one.planned)?;
        for line in render::lines(&comparison) {
            cx.terminal.print(&line);
        }
        let revision = &comparison.revision;
        let folder = CiStore::open(&cx.cache, &revision.base)
            .reports()
            .join(&revision.id);
        store::write(&folder.join("report.json"), &comparison)?;
        let page = folder.join("report.html");
        render::write_html(&page, std::slice::from_ref(&comparison))?;
        cx.terminal.line(&format!("the report: {}", page.display()));
        comparisons.push(comparison);
    }
    if let Some(path) = &files.json {
        store::write(path, &comparisons)?;
    }
    if let Some(path) = &files.html {
        render::write_html(path, &comparisons)?;
    }
    Ok(comparisons)
}

/// Compares the results of a plan's jobs.
///
/// # Errors
/// A result cannot be read.
pub fn compared(cx: &Context, planned: &Planned) -> Result<Comparison, Failure> {
    let schedule = &planned.schedule;
    let results = CiStore::open(&cx.cache, &schedule.revision.base).results();
    let mut all = Vec::new();
    for one in &schedule.jobs {
        let earlier = planned.previous.as_ref();
        let before = earlier.and_then(|earlier| earlier.jobs.get(&one.job.id));
        let on_base = match one.job.work.on_base() {
            Some(work) => planned.key(&work)?,
            None => None,
        };
        let get = |key: Option<&String>| match key {
            Some(key) => results.get(key),
            None => Ok(None),
        };
        all.push(JobResults {
            job: one.job.clone(),
            reason: one.decision.to_string(),
            is_needed: !matches!(one.decision, Decision::Unchanged { .. }),
            now: get(Some(&one.job.key))?,
            before: get(before)?,
            base: get(on_base.as_ref())?,
        });
    }
    Ok(compare(&schedule.revision, planned.previous.as_ref(), all))
}

/// Returns the result of the command.
fn verdict(comparisons: &[Comparison]) -> Result<(), Failure> {
    let rows = comparisons.iter().flat_map(|one| &one.jobs);
    let counts = |row: &&JobRow| row.is_needed || row.now.is_some();
    let verdicts: Vec<(String, Option<JobVerdict>)> = rows
        .filter(counts)
        .map(|row| (row.job.id.clone(), row.now.as_ref().map(|now| now.verdict)))
        .collect();
    verdict_of(&verdicts)
}

/// Returns the result of a command with these jobs: a failure of a job says more
/// than one of the host.
pub(crate) fn verdict_of(jobs: &[(String, Option<JobVerdict>)]) -> Result<(), Failure> {
    let with = |verdict| jobs.iter().filter(move |(_, own)| *own == verdict);
    let failed: Vec<&str> = with(Some(JobVerdict::Failed))
        .map(|(id, _)| id.as_str())
        .collect();
    let host = with(Some(JobVerdict::HostError)).count() + with(None).count();
    let count = jobs.len();
    let host_text = format!("{host} of {count} jobs have no verdict, because the host failed");
    match (failed.as_slice(), host) {
        ([], 0) => Ok(()),
        ([], _) => Err(Failure::infra("complete the run", host_text)
            .help("run the command again: the other results are valid")),
        (failed, host) => {
            let text = format!("{} of {count} jobs failed: {}", failed.len(), some(failed));
            let failure = Failure::tests(text);
            Err(match host {
                0 => failure,
                _ => failure.help(host_text),
            })
        }
    }
}

/// Returns the first of many names.
fn some(names: &[&str]) -> String {
    const MOST: usize = 5;
    let first = names
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(MOST) {
        None | Some(0) => first,
        Some(more) => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use JobVerdict::{Failed, HostError, Passed};

    #[test]
    fn the_exit_code_says_whose_fault_it_is() {
        for (jobs, want) in [
            (vec![], 0),
            (vec![Some(Passed)], 0),
            (vec![Some(Passed), Some(Failed)], 1),
            (vec![Some(HostError), Some(Failed)], 1),
            (vec![Some(HostError), Some(Passed)], 5),
            (vec![None, Some(Passed)], 5),
        ] {
            let named: Vec<(String, Option<JobVerdict>)> = jobs
                .iter()
                .map(|verdict| ("b/lint/a".to_owned(), *verdict))
                .collect();
            let code = verdict_of(&named)
                .err()
                .map_or(0, |failure| failure.exit_code());
            assert_eq!(code, want, "{jobs:?}");
        }
    }

    #[test]
    fn a_failure_names_some_jobs() {
        let jobs: Vec<(String, Option<JobVerdict>)> =
            (1..=7).map(|n| (n.to_string(), Some(Failed))).collect();
        let failure = verdict_of(&jobs).unwrap_err();
        assert_eq!(
            failure.in_one_line(),
            "7 of 7 jobs failed: 1, 2, 3, 4, 5 and 2 more"
        );
    }
}

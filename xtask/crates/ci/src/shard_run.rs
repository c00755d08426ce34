//! Runs one shard of a plan, on a machine of a pipeline: exactly the jobs that
//! were planned for it, into a folder of results.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use crate::job::Job;
use crate::plan_file::{PlanFile, Revisions};
use crate::result::{JobResult, JobVerdict};
use crate::run::{RunRequest, Submitted, submit, verdict_of};
use crate::shard_report::{self, JobRef, ShardReport};
use crate::store::Results;
use crate::survey::revision_id;
use kdk_core::clock::now;
use kdk_core::context::Context;
use kdk_core::event::milliseconds;
use kdk_core::failure::Failure;
use kdk_guest::build::sandbox::Sandbox;
use kdk_series::load;

/// The number of a shard, and the number of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardNumber {
    /// The number of the shard, from 1.
    pub number: usize,
    /// The number of shards.
    pub count: NonZeroUsize,
}

impl FromStr for ShardNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, count)| {
            let (number, count) = (number.parse().ok()?, count.parse::<NonZeroUsize>().ok()?);
            (1..=count.get())
                .contains(&number)
                .then_some(Self { number, count })
        });
        parsed.ok_or_else(|| format!("{text:?} is no shard, such as 1/4"))
    }
}

/// A shard of a plan, and where its results go.
#[derive(Debug, Clone)]
pub struct ShardRequest {
    /// The plan, as `ci plan --format json` writes it.
    pub plan: PathBuf,
    /// Which shard of it.
    pub shard: ShardNumber,
    /// The folder of the results.
    pub results: PathBuf,
}

/// Runs the jobs of a shard. Its report is written last, also if it fails.
///
/// # Errors
/// The plan is not for this checkout, a job failed, or the host failed.
pub fn run(cx: &Context, request: &ShardRequest, how: &RunRequest) -> Result<(), Failure> {
    let ShardNumber { number, count } = request.shard;
    let plan = PlanFile::read(&request.plan)?;
    let jobs = plan.shard(number, count.get())?.jobs.clone();
    let dir = std::path::absolute(&request.results)
        .map_err(|error| Failure::io("use the folder of results", &request.results, error))?;
    let old = shard_report::path(&dir);
    match fs::remove_file(&old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::io("use the folder of results", &old, error));
        }
        _ => {}
    }
    let how = &RunRequest {
        sandbox: confined(&plan, how)?,
        ..how.clone()
    };
    if how.sandbox {
        // A host that cannot confine builds is reported before all else.
        Sandbox::find()?;
    }
    let (began, clock) = (now(), Instant::now());
    let ended = run_jobs(cx, &plan, &jobs, &Results::at(dir.clone()), how);
    let reference = |job: &Job| JobRef {
        id: job.id.clone(),
        key: job.key.clone(),
    };
    let report = ShardReport {
        schema: shard_report::SCHEMA,
        shard: number,
        count: count.get(),
        revisions: plan.ids(),
        jobs: jobs.iter().map(reference).collect(),
        began,
        ms: milliseconds(clock.elapsed()),
        host: kdk_core::host::name(),
        error: ended.as_ref().err().map(Failure::in_one_line),
    };
    report.write(&dir)?;
    verdict_of(&ended?)
}

/// Returns whether the builds of a shard are confined: the plan decides, because
/// the results of confined builds have other keys.
fn confined(plan: &PlanFile, how: &RunRequest) -> Result<bool, Failure> {
    match (plan.sandbox, how.sandbox) {
        (false, true) => Err(Failure::usage(
            "follow the plan",
            "it is for builds that are not confined",
        )
        .help("plan with `cargo xtask ci plan --sandbox`; the shards then need no option")),
        (planned, _) => Ok(planned),
    }
}

/// Runs jobs, and returns the verdict of each.
fn run_jobs(
    cx: &Context,
    plan: &PlanFile,
    jobs: &[Job],
    results: &Results,
    how: &RunRequest,
) -> Result<Vec<(String, Option<JobVerdict>)>, Failure> {
    let mut here = Revisions::new();
    for base in plan.ids().into_keys() {
        let id = revision_id(cx, &load::must(&base)?)?;
        here.insert(base, id);
    }
    plan.check_revisions(&here)?;
    let of_base = |base: &String, id: &String| Submitted {
        revision: id.clone(),
        jobs: jobs
            .iter()
            .filter(|job| job.base == *base)
            .cloned()
            .collect(),
        results: results.clone(),
    };
    let all: Vec<Submitted> = here.iter().map(|(base, id)| of_base(base, id)).collect();
    submit(cx, &all, how)?;
    let mut verdicts = Vec::new();
    for job in jobs {
        let result: Option<JobResult> = results.get(&job.key)?;
        verdicts.push((job.id.clone(), result.map(|result| result.verdict)));
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_key::CacheKey;
    use crate::matrix::Depth;
    use crate::planner::PlanRequest;
    use kdk_executor::ExecutorChoice;

    #[test]
    fn the_plan_decides_whether_builds_are_confined() {
        for (planned, asked, want) in [
            (false, false, Some(false)),
            (true, false, Some(true)),
            (true, true, Some(true)),
            (false, true, None),
        ] {
            let plan = PlanFile {
                sandbox: planned,
                ..PlanFile::new(Vec::new(), CacheKey::default(), Vec::new(), Vec::new())
            };
            let how = RunRequest {
                plan: PlanRequest {
                    bases: Vec::new(),
                    since: None,
                    depth: Depth::Revision,
                    sandbox: asked,
                },
                executor: ExecutorChoice::Local,
                jobs: 1,
                sandbox: asked,
                explain: false,
                dry_run: false,
                task_program: None,
                files: Default::default(),
            };
            assert_eq!(confined(&plan, &how).ok(), want, "{planned} {asked}");
        }
    }

    #[test]
    fn numbers_of_shards() {
        for (text, want) in [
            ("1/4", Some((1, 4))),
            ("4/4", Some((4, 4))),
            ("5/4", None),
            ("0/4", None),
            ("1/0", None),
            ("1", None),
            ("a/b", None),
        ] {
            let got = text.parse::<ShardNumber>().ok();
            let got = got.map(|one| (one.number, one.count.get()));
            assert_eq!(got, want, "{text}");
        }
    }
}

//! `cargo xtask ci plan`: plans the jobs of all bases and divides them, or writes
//! the pipeline of an engine.

use std::num::NonZeroUsize;

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_guest::build::userland;
use kdk_suites::Suites;

use crate::bases::cache_inputs;
use crate::cache_key;
use crate::matrix::{self, Known, Matrix};
use crate::pipeline::{self, Format, Pipeline};
use crate::plan_file::{PlanFile, ValidJob};
use crate::planner::{self, PlanRequest};
use crate::schedule::{Decided, Decision};
use crate::shards::balance;
use crate::store::{self, CiStore};

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct ShardsRequest {
    /// What to write.
    pub format: Format,
    /// The number of shards.
    pub shards: NonZeroUsize,
    /// The machines that run the jobs.
    pub runner: Option<String>,
    /// What to plan.
    pub plan: PlanRequest,
}

/// Returns the text of the pipeline or of the plan.
///
/// # Errors
/// The matrix, a base or the request is wrong, or the host failed.
pub fn text(cx: &Context, request: &ShardsRequest) -> Result<String, Failure> {
    let suites = userland::suites()?;
    let matrix = matrix::parse(&matrix::text()?, &Known::of_this_repository(&suites)?)?;
    let bases = planner::bases(cx, &matrix, &request.plan.bases)?;
    match request.format {
        Format::Json => plan(cx, &matrix, &suites, &bases, request)?.text(),
        Format::Pipeline(engine) => {
            let inputs = cache_inputs(cx, &bases)?;
            let pipeline = Pipeline {
                shards: request.shards,
                cache: cache_key::key(&inputs),
                bases: inputs.bases,
                runner: request.runner.clone(),
                sandbox: request.plan.sandbox,
            };
            pipeline::text(engine, &pipeline)
        }
    }
}

fn plan(
    cx: &Context,
    matrix: &Matrix,
    suites: &Suites,
    bases: &[String],
    request: &ShardsRequest,
) -> Result<PlanFile, Failure> {
    let mut revisions = Vec::new();
    let (mut jobs, mut valid) = (Vec::new(), Vec::new());
    for base in bases {
        let _lock = store::lock(&cx.cache, base, &|text| cx.terminal.line(&text))?;
        let planned = planner::plan(cx, matrix, suites, base, &request.plan)?;
        let schedule = planned.schedule;
        CiStore::open(&cx.cache, base).put_revision(&schedule.revision)?;
        jobs.extend(schedule.to_run());
        valid.extend(schedule.jobs.iter().filter_map(not_run));
        revisions.push(schedule.revision);
    }
    let cache = cache_key::key(&cache_inputs(cx, bases)?);
    let shards = balance(&jobs, request.shards);
    Ok(PlanFile {
        sandbox: request.plan.sandbox,
        ..PlanFile::new(revisions, cache, shards, valid)
    })
}

/// Returns the entry of a job that does not run.
fn not_run(decided: &Decided) -> Option<ValidJob> {
    let Decided { job, decision } = decided;
    (!matches!(decision, Decision::Run(_))).then(|| ValidJob {
        id: job.id.clone(),
        key: job.key.clone(),
        why: decision.to_string(),
    })
}

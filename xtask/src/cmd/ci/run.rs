//! `cargo xtask ci run`.

use std::path::PathBuf;

use crate::cmd::args::{MOST_JOBS, need_executor, one_of};
use kdk_ci::matrix::Depth;
use kdk_ci::planner::PlanRequest;
use kdk_ci::run::{self, ReportFiles, RunRequest};
use kdk_ci::shard_run::{self, ShardNumber, ShardRequest};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_doctor::Need;
use kdk_executor::ExecutorChoice;
use kdk_report::files::different;

/// Run what has no valid result: lint, prefixes, proofs, suites.
///
/// ci/matrix.yaml says what runs on each revision of a series, and what runs
/// nightly. Results are stored by what they depend on: the patches by their patch
/// ids, the trees, the programs of the tests. A job runs only if it has no valid
/// result. The report compares the revision with the previous one and with the
/// base. docs/ci.md has the details.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run on this base; can be repeated [default: all of the matrix that have been added]
    #[arg(long, value_name = "NAME")]
    base: Vec<String>,
    /// Do not run what has not changed since this commit of the repository
    #[arg(long, value_name = "REV")]
    since: Option<String>,
    /// Run the nightly jobs too, and take only results on the same trees for valid
    #[arg(long)]
    nightly: bool,
    /// Confine the builds of the kernels with bubblewrap (docs/ci.md)
    #[arg(long)]
    sandbox: bool,
    /// Print why each job runs or does not
    #[arg(long)]
    explain: bool,
    /// Print the jobs that would run, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Where the jobs run
    #[arg(long, value_name = "E", default_value = "local", value_parser = one_of::<ExecutorChoice>(&ExecutorChoice::NAMES))]
    executor: ExecutorChoice,
    /// Number of guests that run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MOST_JOBS))]
    jobs: u16,
    /// Run the jobs of this plan, of `ci plan --format json`
    #[arg(long, value_name = "FILE", requires_all = ["shard", "results"], conflicts_with_all = ["base", "since", "nightly", "explain", "dry_run", "json", "html"])]
    plan: Option<PathBuf>,
    /// Run this shard of the plan only: `K/N`
    #[arg(long, value_name = "K/N", requires = "plan")]
    shard: Option<ShardNumber>,
    /// Write the results of the shard into this folder
    #[arg(long, value_name = "DIR", requires = "plan")]
    results: Option<PathBuf>,
    /// The program that runs the tasks instead of kdk, for kdk's own tests: it gets the command line of
    /// each
    #[arg(long, hide = true, value_name = "FILE")]
    task_program: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Install missing packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    different(&[&args.json, &args.html])?;
    if !args.dry_run {
        need_executor(cx, args.executor, args.yes)?;
        if args.task_program.is_none() {
            kdk_doctor::need(cx, Need::FreeBsd, args.yes)?;
        }
    }
    let request = RunRequest {
        plan: PlanRequest {
            bases: args.base.clone(),
            since: args.since.clone(),
            depth: match args.nightly {
                true => Depth::Nightly,
                false => Depth::Revision,
            },
            sandbox: args.sandbox,
        },
        executor: args.executor,
        jobs: args.jobs,
        sandbox: args.sandbox,
        explain: args.explain,
        dry_run: args.dry_run,
        task_program: args.task_program.clone(),
        files: ReportFiles {
            json: args.json.clone(),
            html: args.html.clone(),
        },
    };
    match (&args.plan, args.shard, &args.results) {
        (Some(plan), Some(shard), Some(results)) => {
            let shard = ShardRequest {
                plan: plan.clone(),
                shard,
                results: results.clone(),
            };
            shard_run::run(cx, &shard, &request)
        }
        _ => run::run(cx, &request),
    }
}

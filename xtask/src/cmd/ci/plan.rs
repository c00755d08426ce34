//! `cargo xtask ci plan`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use kdk_ci::matrix::Depth;
use kdk_ci::pipeline::Format;
use kdk_ci::plan::{self, ShardsRequest};
use kdk_ci::plan_file::MOST_SHARDS;
use kdk_ci::planner::PlanRequest;
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::failure::Failure;

use crate::cmd::args::one_of;

/// Write the jobs for an existing engine.
///
/// A pipeline has a job that writes the plan, one job for each shard, and one
/// that collects the results. The shards are balanced by how long their jobs took
/// last time.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The engine; `json` is the plan itself, which the jobs of every pipeline read
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<Format>(&Format::NAMES))]
    format: Format,
    /// The number of shards
    #[arg(long, value_name = "N", default_value = "4", value_parser = shards)]
    shards: NonZeroUsize,
    /// Plan for this base; can be repeated [default: all of the matrix that have been added]
    #[arg(long, value_name = "NAME")]
    base: Vec<String>,
    /// The machines that run the jobs: a label of GitHub or Jenkins, a tag of GitLab
    #[arg(long, value_name = "NAME")]
    runner: Option<String>,
    /// Plan the nightly jobs too, with `--format json`
    #[arg(long)]
    nightly: bool,
    /// Confine the builds of the kernels with bubblewrap, in every shard (docs/ci.md)
    #[arg(long)]
    sandbox: bool,
    /// Write the file instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Parses a number of shards.
fn shards(text: &str) -> Result<NonZeroUsize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number: &NonZeroUsize| number.get() <= MOST_SHARDS);
    number.ok_or_else(|| format!("{text:?} is no number from 1 to {MOST_SHARDS}"))
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let request = ShardsRequest {
        format: args.format,
        shards: args.shards,
        runner: args.runner.clone(),
        plan: PlanRequest {
            bases: args.base.clone(),
            since: None,
            depth: match args.nightly {
                true => Depth::Nightly,
                false => Depth::Revision,
            },
            sandbox: args.sandbox,
        },
    };
    let text = plan::text(cx, &request)?;
    match &args.out {
        None => cx.terminal.print(text.trim_end()),
        Some(path) => write_atomically(path, text.as_bytes())
            .map_err(|error| Failure::io("write the plan", path, error))?,
    }
    Ok(())
}

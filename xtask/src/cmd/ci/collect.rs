//! `cargo xtask ci collect`.

use std::path::PathBuf;

use kdk_ci::collect::{self, CollectRequest};
use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// Merge the results of shards into one report.
///
/// The report is JSON, JUnit and HTML. A shard that is missing, truncated, of
/// another revision or of an older version of kdk is named, and the result is not
/// green.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folders of results of the shards, or the folder that has all of them
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// The plan that the shards followed, of `ci plan --format json`
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Write the report into this folder
    #[arg(long, value_name = "DIR", default_value = "target/ci")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let request = CollectRequest {
        dirs: args.dirs.clone(),
        plan: args.plan.clone(),
        out: args.out.clone(),
    };
    collect::collect(cx, &request)
}

//! `cargo xtask task`: one task of an executor, which other commands start.

use std::path::PathBuf;

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_guest::remote;

/// Run one task that an executor starts: test a kernel and write the result.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file with the request
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    /// The file for the result
    #[arg(value_name = "RESULT")]
    result: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    remote::run_task(cx, &args.request, &args.result)
}

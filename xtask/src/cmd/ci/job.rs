//! `cargo xtask ci job`.

use std::path::PathBuf;

use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// Run the jobs of a task file, which `ci run` writes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file of the task
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    kdk_ci::task::run(cx, &args.file)
}

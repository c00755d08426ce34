//! `cargo xtask patches`: the patch series.

mod drift;
mod list;
mod log;
mod range_diff;
mod refresh;
mod which;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// The patch series: kept, checked, changed, sent.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The patches of a series, and where each stands
    List(list::Args),
    /// Try the series on other trees, without building
    Drift(drift::Args),
    /// When each patch was changed, and where it stands
    Log(log::Args),
    /// Compare the series with what it was
    RangeDiff(range_diff::Args),
    /// Write every patch file as git writes it of its commit
    Refresh(refresh::Args),
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.what {
        What::List(args) => list::run(args, cx),
        What::Drift(args) => drift::run(args, cx),
        What::Log(args) => log::run(args, cx),
        What::RangeDiff(args) => range_diff::run(args, cx),
        What::Refresh(args) => refresh::run(args, cx),
    }
}

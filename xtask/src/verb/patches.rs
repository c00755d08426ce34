//! `cargo xtask patches`: the patch series.

mod lint;
mod list;
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
    /// All that keeps the series from review, with its place
    Lint(lint::Args),
    /// Write every patch file as git writes it of its commit
    Refresh(refresh::Args),
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.what {
        What::List(args) => list::run(args, cx),
        What::Lint(args) => lint::run(args, cx),
        What::Refresh(args) => refresh::run(args, cx),
    }
}

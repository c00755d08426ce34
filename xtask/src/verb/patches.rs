//! `cargo xtask patches`: the patch series.

mod export;
mod list;
mod refresh;
pub mod which;

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
    /// Write the series for FreeBSD's reviewers
    Export(export::Args),
    /// The patches of a series, and where each stands
    List(list::Args),
    /// Write every patch file as git writes it of its commit
    Refresh(refresh::Args),
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.what {
        What::Export(args) => export::run(args, cx),
        What::List(args) => list::run(args, cx),
        What::Refresh(args) => refresh::run(args, cx),
    }
}

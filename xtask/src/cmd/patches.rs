//! `cargo xtask patches`: the commands on patch series.

mod apply;
mod drift;
mod edit;
mod export;
mod lint;
mod list;
mod log;
mod new;
mod range_diff;
mod rebase;
mod refresh;
pub mod which;

use clap::Subcommand;

use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// Manage the patch series: list, check, change and export patches.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export the series for FreeBSD's reviewers
    Export(export::Args),
    /// List the patches of a series with their status
    List(list::Args),
    /// Begin a new patch in a worktree
    New(new::Args),
    /// Change a patch in a worktree
    Edit(edit::Args),
    /// Commit the series on your checkout
    ///
    /// Runs `git am` with fuzz 0 and without merging, in your name and without
    /// your hooks. If a patch does not apply, the checkout stays unchanged.
    Apply(apply::Args),
    /// Report which patches apply to other trees, without building
    ///
    /// Each patch is applied to each target, in order. A patch that conflicts is
    /// skipped, and the rest continue without it. kdk never writes to a target.
    Drift(drift::Args),
    /// Show when each patch changed, and its status
    ///
    /// The history is that of the git repository that contains the series.
    Log(log::Args),
    /// Compare the series with an earlier revision
    ///
    /// Both revisions are applied to the base as it is now, and compared patch
    /// by patch with `git range-diff`.
    RangeDiff(range_diff::Args),
    /// Report everything that would block review, with file and line
    Lint(lint::Args),
    /// Rewrite every patch file in the canonical form of `git format-patch`
    Refresh(refresh::Args),
    /// Rebase the series onto the present state of its base, or onto another
    /// base
    Rebase(rebase::Args),
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Export(args) => export::run(args, cx),
        Command::List(args) => list::run(args, cx),
        Command::New(args) => new::run(args, cx),
        Command::Edit(args) => edit::run(args, cx),
        Command::Apply(args) => apply::run(args, cx),
        Command::Drift(args) => drift::run(args, cx),
        Command::Log(args) => log::run(args, cx),
        Command::RangeDiff(args) => range_diff::run(args, cx),
        Command::Lint(args) => lint::run(args, cx),
        Command::Refresh(args) => refresh::run(args, cx),
        Command::Rebase(args) => rebase::run(args, cx),
    }
}

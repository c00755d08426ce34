//! `cargo xtask patches`: the patch series.

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
    /// Begin a patch in a worktree of its own
    New(new::Args),
    /// Change a patch in a worktree of its own
    Edit(edit::Args),
    /// Commit the series on a checkout of yours
    ///
    /// With `git am`, exactly (no fuzz, no merge), in your name and without
    /// your hooks. When a patch does not apply, the checkout stays as it was.
    Apply(apply::Args),
    /// Try the series on other trees, without building
    ///
    /// Each patch is tried on each target, in order: one that conflicts is
    /// left out, and the others go on without it. A target is only read.
    Drift(drift::Args),
    /// When each patch was changed, and where it stands
    ///
    /// From the git repository that the folder of the series lies in.
    Log(log::Args),
    /// Compare the series with what it was
    ///
    /// Both are committed on the base as it is now, and compared patch by
    /// patch with `git range-diff`.
    RangeDiff(range_diff::Args),
    /// All that keeps the series from review, with its place
    Lint(lint::Args),
    /// Write every patch file as git writes it of its commit
    Refresh(refresh::Args),
    /// Take the patches to what their base is now, or to another base
    Rebase(rebase::Args),
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.what {
        What::Export(args) => export::run(args, cx),
        What::List(args) => list::run(args, cx),
        What::New(args) => new::run(args, cx),
        What::Edit(args) => edit::run(args, cx),
        What::Apply(args) => apply::run(args, cx),
        What::Drift(args) => drift::run(args, cx),
        What::Log(args) => log::run(args, cx),
        What::RangeDiff(args) => range_diff::run(args, cx),
        What::Lint(args) => lint::run(args, cx),
        What::Refresh(args) => refresh::run(args, cx),
        What::Rebase(args) => rebase::run(args, cx),
    }
}

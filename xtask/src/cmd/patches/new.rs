//! `cargo xtask patches new`.

use crate::cmd::args::one_of;
use crate::cmd::patches::edit::print_worktree;
use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::base::record;
use kdk_series::edit::{self, NewPatch};
use kdk_series::load;
use kdk_series::manifest::Class;

/// Begin a new patch in a worktree.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The id of the patch: lower case letters, digits and `-`
    id: String,
    /// What the patch is for: enabling lets QEMU boot the kernel directly, local never leaves this repository
    #[arg(long, default_value = "feature", value_parser = one_of::<Class>(&Class::NAMES))]
    class: Class,
    /// Insert it after this patch [default: the last one]
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// A generative AI writes some part of it
    #[arg(long)]
    ai_assisted: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let name = name(args, cx)?;
    let say = |text: String| cx.terminal.line(&text);
    let patch = NewPatch {
        id: args.id.clone(),
        class: args.class,
        after: args.after.clone(),
        ai_assisted: args.ai_assisted,
    };
    let series = load::find(&name)?;
    let operation = edit::begin_new(&cx.cache, &name, series.as_ref(), &patch, &say)?;
    print_worktree(cx, &operation);
    let at = operation.worktree_path(&cx.cache);
    cx.terminal
        .print(format_args!("commit: git -C {} commit", at.display()));
    if !args.ai_assisted {
        cx.terminal
            .print("provenance: own, not AI-assisted; otherwise --abort, then `new --ai-assisted`");
    }
    Ok(())
}

/// Returns the name of the series; the base that was added last may not have
/// one yet.
fn name(args: &Args, cx: &Context) -> Result<String, Failure> {
    if args.which.series.is_none()
        && load::names()?.is_empty()
        && let Some(base) = record::all(&cx.cache)?.first()
    {
        return Ok(base.name.clone());
    }
    args.which.name(cx)
}

//! `cargo xtask patches rebase`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::operation;
use kdk_series::{journal, rebase, sequencer};

/// Rebase the series onto the present state of its base, or onto another base.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rebase onto BASE, which must not have a series, and write the series
    /// there
    #[arg(long, value_name = "BASE")]
    onto: Option<String>,
    /// Continue, with the resolution of the conflict in the worktree
    #[arg(long = "continue", conflicts_with_all = ["abort", "onto"])]
    continue_: bool,
    /// Abort the rebase
    #[arg(long, conflicts_with = "onto")]
    abort: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let say = |text: String| cx.terminal.line(&text);
    let mut operation = if args.continue_ || args.abort {
        let name = args.which.name_for(cx, |operation| operation.is_rebase())?;
        let open = operation::rebase(&cx.cache, &name)?;
        let base = open.map_or(name.clone(), |operation| operation.base);
        let ended = journal::recover(&cx.cache, &base, &say)?;
        if args.continue_ && ended.is_some_and(|(series, _)| series == name) {
            cx.terminal
                .print(format_args!("{name}: the rebase is done"));
            return Ok(());
        }
        operation::rebase(&cx.cache, &name)?.ok_or_else(|| {
            Failure::usage(
                "continue a rebase",
                format!("no rebase of {name} is in progress"),
            )
            .help(format!(
                "begin one: cargo xtask patches rebase --series {name}"
            ))
        })?
    } else {
        let series = args.which.load(cx)?;
        rebase::begin(&cx.cache, &series, args.onto.as_deref(), &say)?
    };
    let lines = match args.abort {
        true => sequencer::abort(&cx.cache, &operation, &say)?,
        false => rebase::resume(&cx.cache, &mut operation, &|| cx.interrupt.is_set(), &say)?,
    };
    lines.iter().for_each(|line| cx.terminal.print(line));
    Ok(())
}

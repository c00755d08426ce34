//! `cargo xtask patches rebase`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::operation;
use kdk_series::{journal, rebase, sequencer};

/// Take the patches to what their base is now, or to another base
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A base without a series: it gets one
    #[arg(long, value_name = "BASE")]
    onto: Option<String>,
    /// Go on, with what is in the worktree if there was a conflict
    #[arg(long = "continue", conflicts_with_all = ["abort", "onto"])]
    continue_: bool,
    /// Give the rebase up
    #[arg(long, conflicts_with = "onto")]
    abort: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let say = |text: String| cx.terminal.line(&text);
    let mut operation = if args.continue_ || args.abort {
        let name = args.which.name_for(cx, |operation| operation.is_rebase())?;
        let open = operation::rebase(&cx.home, &name)?;
        let base = open.map_or(name.clone(), |operation| operation.base);
        let ended = journal::recover(&cx.home, &base, &say)?;
        if args.continue_ && ended.is_some_and(|(series, _)| series == name) {
            println!("{name}: the rebase is done");
            return Ok(());
        }
        operation::rebase(&cx.home, &name)?.ok_or_else(|| {
            Failure::usage(
                "go on with a rebase",
                format!("none of {name} is on the way"),
            )
            .help(format!(
                "begin one: cargo xtask patches rebase --series {name}"
            ))
        })?
    } else {
        let series = args.which.load(cx)?;
        rebase::begin(&cx.home, &series, args.onto.as_deref(), &say)?
    };
    let lines = match args.abort {
        true => sequencer::abort(&cx.home, &operation, &say)?,
        false => rebase::resume(&cx.home, &mut operation, &|| cx.interrupt.is_set(), &say)?,
    };
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

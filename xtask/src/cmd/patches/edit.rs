//! `cargo xtask patches edit`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::operation::{self, Operation};
use kdk_series::{edit, journal, sequencer};

/// Change a patch in a worktree.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The id of the patch
    #[arg(required_unless_present = "list")]
    id: Option<String>,
    /// Capture the patch from the worktree, and write the series
    #[arg(long, conflicts_with_all = ["abort", "list"])]
    done: bool,
    /// Abort the edit
    #[arg(long, conflicts_with = "list")]
    abort: bool,
    /// List the operations in progress
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let Some(id) = args.id.as_deref().filter(|_| !args.list) else {
        let lines = edit::list(&cx.cache)?;
        if lines.is_empty() {
            cx.terminal.print("no operation is in progress");
        }
        lines.iter().for_each(|line| cx.terminal.print(line));
        return Ok(());
    };
    let say = |text: String| cx.terminal.line(&text);
    if !args.done && !args.abort {
        return begin(args, cx, id);
    }
    let name = args
        .which
        .name_for(cx, |operation| operation.name() == id)?;
    let ended = journal::recover(&cx.cache, &name, &say)?;
    if args.done && ended.is_some_and(|ended| ended == (name.clone(), id.to_owned())) {
        cx.terminal
            .print(format_args!("{name}: the edit of `{id}` is done"));
        return Ok(());
    }
    let Some(mut operation) = open(cx, &name, id)? else {
        return Err(Failure::usage(
            format!("finish the edit of `{id}`"),
            format!("the series {name} has no edit of it in progress"),
        )
        .help("`cargo xtask patches edit --list` lists the operations in progress"));
    };
    let lines = match args.abort {
        true => sequencer::abort(&cx.cache, &operation, &say)?,
        false => edit::done(&cx.cache, &mut operation, &|| cx.interrupt.is_set(), &say)?,
    };
    lines.iter().for_each(|line| cx.terminal.print(line));
    Ok(())
}

/// Returns the edit of the patch `id` that is in progress.
fn open(cx: &Context, series: &str, id: &str) -> Result<Option<Operation>, Failure> {
    let found = operation::find(&cx.cache, series, id)?;
    Ok(found.filter(|operation| !operation.is_rebase()))
}

fn begin(args: &Args, cx: &Context, id: &str) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    let operation = match open(cx, series.name(), id)? {
        Some(operation) => operation,
        None => edit::begin(&cx.cache, &series, id, &|text| cx.terminal.line(&text))?,
    };
    print_worktree(cx, &operation);
    Ok(())
}

/// Prints the worktree and the commands that end the operation.
pub fn print_worktree(cx: &Context, operation: &Operation) {
    cx.terminal
        .print(operation.worktree_path(&cx.cache).display());
    cx.terminal
        .print(format_args!("done:   {}", operation.continue_command()));
    cx.terminal
        .print(format_args!("abort:  {}", operation.abort_command()));
}

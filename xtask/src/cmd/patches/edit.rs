//! `cargo xtask patches edit`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::operation::{self, Operation};
use kdk_series::{edit, journal, sequencer};

/// Change a patch in a worktree of its own
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The patch
    #[arg(required_unless_present = "list")]
    id: Option<String>,
    /// Take what is in the worktree as the patch, and write the series
    #[arg(long, conflicts_with_all = ["abort", "list"])]
    done: bool,
    /// Give the change up
    #[arg(long, conflicts_with = "list")]
    abort: bool,
    /// List all changes that are on the way
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    which: Which,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let Some(id) = args.id.as_deref().filter(|_| !args.list) else {
        let lines = edit::list(&cx.home)?;
        if lines.is_empty() {
            println!("no change is on the way");
        }
        lines.iter().for_each(|line| println!("{line}"));
        return Ok(());
    };
    let say = |text: String| cx.terminal.line(&text);
    if !args.done && !args.abort {
        return begin(args, cx, id);
    }
    let name = args
        .which
        .name_for(cx, |operation| operation.name() == id)?;
    let ended = journal::recover(&cx.home, &name, &say)?;
    if args.done && ended.is_some_and(|ended| ended == (name.clone(), id.to_owned())) {
        println!("{name}: the change of `{id}` is done");
        return Ok(());
    }
    let Some(mut operation) = open(cx, &name, id)? else {
        return Err(Failure::usage(
            format!("finish the edit of `{id}`"),
            format!("no edit of it is open in the series {name}"),
        )
        .help("`cargo xtask patches edit --list` lists what is open"));
    };
    let lines = match args.abort {
        true => sequencer::abort(&cx.home, &operation, &say)?,
        false => edit::done(&cx.home, &mut operation, &|| cx.interrupt.is_set(), &say)?,
    };
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The change of the patch `id` that is on the way.
fn open(cx: &Context, series: &str, id: &str) -> Result<Option<Operation>, Failure> {
    let found = operation::find(&cx.home, series, id)?;
    Ok(found.filter(|operation| !operation.is_rebase()))
}

fn begin(args: &Args, cx: &Context, id: &str) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    let operation = match open(cx, series.name(), id)? {
        Some(operation) => operation,
        None => edit::begin(&cx.home, &series, id, &|text| cx.terminal.line(&text))?,
    };
    where_it_is(cx, &operation);
    Ok(())
}

/// Says where the worktree is and how to end.
pub fn where_it_is(cx: &Context, operation: &Operation) {
    println!("{}", operation.worktree_path(&cx.home).display());
    println!("done:     {}", operation.continue_command());
    println!("give up:  {}", operation.abort_command());
}

//! `cargo xtask patches refresh`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::update::SeriesUpdate;
use kdk_series::{applied, operation};

/// Rewrite every patch file in the canonical form of `git format-patch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    operation::ensure_none_in_progress(&cx.cache, series.name(), "refresh the series")?;
    let applied = applied::apply_series(&cx.cache, &series, &|text| cx.terminal.line(&text))?;
    let update = SeriesUpdate::of(&series, applied.start(), &applied.commits);
    let written = update.write(&cx.cache, applied.git(), None)?;
    for name in &written {
        cx.terminal.print(format_args!("{name}: rewritten"));
    }
    if written.is_empty() {
        cx.terminal
            .print(format_args!("{}: nothing changed", series.name()));
    }
    Ok(())
}

//! `cargo xtask patches refresh`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::draft::Draft;
use kdk_series::{bind, work};

/// Write every patch file as git writes it of its commit
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    work::none_open(&cx.home, series.name(), "refresh the series")?;
    let bound = bind::bind(&cx.home, &series, &|text| cx.terminal.line(&text))?;
    let draft = Draft::of(&series, bound.start(), &bound.commits);
    let written = draft.write(&cx.home, bound.git(), None)?;
    for name in &written {
        println!("{name}: written anew");
    }
    if written.is_empty() {
        println!("{}: nothing changed", series.name());
    }
    Ok(())
}

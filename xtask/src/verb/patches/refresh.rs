//! `cargo xtask patches refresh`.

use crate::context::Context;
use crate::failure::Failure;
use crate::series::draft::Draft;
use crate::series::{bind, work};
use crate::verb::patches::which::Which;

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

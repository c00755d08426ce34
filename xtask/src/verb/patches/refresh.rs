//! `cargo xtask patches refresh`.

use crate::context::Context;
use crate::failure::Failure;
use crate::home::write_atomically;
use crate::series::{bind, canon};
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
    let bound = bind::bind(&cx.home, &series, &|text| cx.terminal.line(&text))?;
    let mut written = 0;
    for (patch, commit) in bound.patches() {
        let path = series.path(patch);
        let content = canon::file(bound.git(), commit)?;
        let failed = |error| Failure::io(format!("write the patch {}", patch.id), &path, error);
        if std::fs::read(&path).map_err(failed)? != content {
            write_atomically(&path, &content).map_err(failed)?;
            println!("{}: written anew", patch.file);
            written += 1;
        }
    }
    if written == 0 {
        println!("{}: nothing changed", series.name());
    }
    Ok(())
}

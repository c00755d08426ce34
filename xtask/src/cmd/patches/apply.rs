//! `cargo xtask patches apply`.

use std::path::PathBuf;

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::checkout::Checkout;

/// Commit the series on your checkout.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The top folder of the checkout
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Create this branch for the series [default: the branch that is checked
    /// out]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    if series.manifest.patches.is_empty() {
        return Err(Failure::usage(
            format!("commit the series {}", series.name()),
            "it has no patches",
        )
        .help("begin one with `cargo xtask patches new ID`"));
    }
    let checkout = Checkout::open(&args.to, series.name(), args.branch.as_deref())?;
    let made = checkout.commit(&series)?;
    for commit in &made {
        cx.terminal
            .print(format_args!("{} {}", commit.short, commit.subject));
    }
    let patches = if made.len() == 1 { "patch" } else { "patches" };
    cx.terminal.print(format_args!(
        "{}: {} {patches} committed on the branch {} of {}",
        series.name(),
        made.len(),
        checkout.branch(),
        args.to.display()
    ));
    Ok(())
}

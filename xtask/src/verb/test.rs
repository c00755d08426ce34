//! `cargo xtask test`: the kit's own tests. It needs no FreeBSD tree.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::build::{Builder, demo, tools, workspace};
use crate::context::Context;
use crate::doctor::{self, Need};
use crate::failure::{Class, Failure};
use crate::guest;
use crate::recorder::Recorder;

/// The kit's own tests: formatting, clippy, host tests, demo guest in QEMU.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Install what is missing without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    doctor::need(cx, Need::Demo, args.yes)?;
    let guest = demo_guest(cx)?;
    step(cx, "formatting", &["fmt", "--all", "--check"], &[])?;
    step(
        cx,
        "clippy",
        &[
            "clippy",
            "--all-targets",
            "--features",
            "kdk-vm/demo-guest-tests",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )?;
    step(
        cx,
        "host tests, and the demo guest in QEMU",
        &[
            "test",
            "--no-fail-fast",
            "--features",
            "kdk-vm/demo-guest-tests",
        ],
        &[
            ("KDK_DEMO_GUEST", guest.into()),
            // A snapshot that does not match is a failure, never a file.
            ("INSTA_UPDATE", "no".into()),
        ],
    )
}

fn demo_guest(cx: &Context) -> Result<PathBuf, Failure> {
    let recorder = Recorder::new(&cx.terminal);
    let logs = guest::run_folder(cx)?;
    let builder = Builder {
        home: &cx.home,
        store: &cx.store,
        sink: &recorder,
        interrupt: &cx.interrupt,
        logs: &logs,
        jobs: 1,
    };
    let built = demo::build(&builder, &tools::rust()?, &tools::llvm()?)?;
    Ok(built.entry.file(demo::GUEST))
}

/// One cargo command; its output is the user's to see.
fn step(cx: &Context, what: &str, args: &[&str], env: &[(&str, OsString)]) -> Result<(), Failure> {
    cx.terminal.line(&format!("== {what}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = duct::cmd(cargo, args).dir(workspace()).unchecked();
    for (name, value) in env {
        command = command.env(name, value);
    }
    let status = command
        .run()
        .map_err(|error| Failure::infra(what, "cargo cannot be started").source(error))?
        .status;
    if status.success() {
        return Ok(());
    }
    let class = if cx.interrupt.is_set() {
        Class::Infra
    } else {
        Class::Tests
    };
    Err(Failure::plain(class, format!("{what} failed"))
        .help(format!("to see it alone: cargo {}", args.join(" "))))
}

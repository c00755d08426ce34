//! `cargo xtask shell`: the console of a guest.

use super::args::MachineArgs;
use crate::console;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_doctor::Need;
use kdk_guest::guest;
use kdk_report::recorder::Recorder;

/// The arguments of `cargo xtask shell`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    machine: MachineArgs,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let name = guest::base_name(cx, args.machine.guest.base.as_deref())?;
    kdk_doctor::need(cx, Need::guest(&name), false)?;
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let guest = guest::prepare(cx, &recorder, &args.machine.request(), &name, &logs)?;
    cx.terminal.line(console::HELP);
    let mut machine = guest.pool.start(1, guest.pool.size())?;
    console::interact(cx, &mut *machine, &mut |_, _| Ok(()))
}

//! `cargo xtask shell`: the guest's console, and its commands by hand.

use crate::console;
use crate::context::Context;
use crate::doctor::{self, Need};
use crate::failure::Failure;
use crate::guest::{self, Wanted};
use crate::logs;
use crate::recorder::Recorder;

/// The guest's console; what you type goes to init: list, run NAME, end
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let name = guest::base_name(cx, &args.wanted)?;
    doctor::need(cx, Need::guest(&name), false)?;
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let guest = guest::prepare(cx, &recorder, &args.wanted, &name, &logs)?;
    cx.terminal.line(console::HELP);
    let mut machine = guest.driver.start()?;
    console::converse(cx, &mut *machine, &mut |_, _| Ok(()))
}

//! `cargo xtask shell`: the guest's console, and its commands by hand.

use std::io::{IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use kdk_vm::machine::{Event, Machine, Port};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::context::Context;
use crate::doctor::{self, Need};
use crate::failure::Failure;
use crate::guest::{self, Wanted};
use crate::recorder::Recorder;

/// ^], as in telnet.
const LEAVE: u8 = 0x1d;

/// How often the keyboard is looked at while the guest is silent.
const LOOK: Duration = Duration::from_millis(50);

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
    let logs = guest::run_folder(cx)?;
    let guest = guest::prepare(cx, &recorder, &args.wanted, &name, &logs)?;
    cx.terminal
        .line("commands: list, run NAME, end; ^] leaves and ends the guest");
    let mut machine = guest.driver.start()?;
    machine.inbox().obey(&cx.interrupt);
    let keys = keyboard();
    let _raw = Raw::enter()?;
    converse(cx, &mut *machine, &keys)
}

fn converse(cx: &Context, machine: &mut dyn Machine, keys: &Receiver<u8>) -> Result<(), Failure> {
    let mut line = Vec::new();
    while !cx.interrupt.is_set() {
        match machine.inbox().next(Instant::now() + LOOK) {
            Some(Event::Output(_, bytes)) => show(&bytes),
            Some(Event::Ended(_)) => return Ok(()),
            _ => {}
        }
        loop {
            match keys.try_recv() {
                Ok(LEAVE) => return Ok(()),
                Ok(key) => typed(machine, &mut line, key)?,
                Err(TryRecvError::Empty) => break,
                // A script's input ended: the guest goes on until it ends.
                Err(TryRecvError::Disconnected) => break,
            }
        }
    }
    Ok(())
}

/// Echoes a key, and sends the line when it is done.
fn typed(machine: &mut dyn Machine, line: &mut Vec<u8>, key: u8) -> Result<(), Failure> {
    match key {
        b'\r' | b'\n' => {
            show(b"\n");
            line.push(b'\n');
            let sent = machine.send(Port::Result, line);
            line.clear();
            sent.map_err(|error| {
                Failure::infra("send the command", "the guest is gone").source(error)
            })
        }
        0x7f | 0x08 => {
            if line.pop().is_some() {
                show(b"\x08 \x08");
            }
            Ok(())
        }
        key => {
            line.push(key);
            show(&[key]);
            Ok(())
        }
    }
}

/// In raw mode a newline needs its carriage return.
fn show(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    for byte in bytes {
        // A terminal that went away is noticed when its keyboard ends.
        let _ = match byte {
            b'\n' => out.write_all(b"\r\n"),
            b'\r' => Ok(()),
            byte => out.write_all(&[*byte]),
        };
    }
    let _ = out.flush();
}

fn keyboard() -> Receiver<u8> {
    let (tx, rx) = channel();
    std::thread::spawn(move || {
        for byte in std::io::stdin().lock().bytes() {
            let Ok(byte) = byte else { return };
            if tx.send(byte).is_err() {
                return;
            }
        }
    });
    rx
}

/// The terminal in raw mode until it is dropped.
struct Raw(Option<Termios>);

impl Raw {
    fn enter() -> Result<Self, Failure> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self(None));
        }
        let failed = |error: nix::Error| {
            Failure::infra("use the terminal", "it refused raw mode").source(error)
        };
        let before = tcgetattr(&stdin).map_err(failed)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSANOW, &raw).map_err(failed)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing can be done about a terminal that is gone.
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

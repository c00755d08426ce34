//! A guest's console in the user's terminal.

use std::io::{IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use kdk_vm::console::assemble::{Assembler, Overlong};
use kdk_vm::console::clean;
use kdk_vm::ddb;
use kdk_vm::exit::{Exit, Status};
use kdk_vm::machine::{Event, Machine, Port};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// ^], as in telnet.
const LEAVE: u8 = 0x1d;

/// ^\, which neither a shell nor ddb's line editor has a use for.
const BREAK_IN: u8 = 0x1c;

/// What the keys do.
pub const HELP: &str = "commands: list, run NAME, end, and ddb's at its prompt; ^\\ breaks into the kernel \
                        debugger, ^] leaves and ends the guest";

/// How often the keyboard is looked at while the guest is silent.
const LOOK: Duration = Duration::from_millis(50);

/// Who hears the lines of the result channel.
pub type Heard<'a, M> = &'a mut dyn FnMut(&mut M, &str) -> Result<(), Failure>;

/// Shows both ports until the machine ends or the user says ^C.
pub fn watch<M: Machine + ?Sized>(
    cx: &Context,
    machine: &mut M,
    heard: Heard<'_, M>,
) -> Result<(), Failure> {
    run(cx, machine, None, heard)
}

/// Shows both ports and passes on what is typed, until the machine ends or
/// the user leaves.
pub fn converse<M: Machine + ?Sized>(
    cx: &Context,
    machine: &mut M,
    heard: Heard<'_, M>,
) -> Result<(), Failure> {
    let keys = keyboard();
    let _raw = Raw::enter()?;
    run(cx, machine, Some(&keys), heard)
}

fn run<M: Machine + ?Sized>(
    cx: &Context,
    machine: &mut M,
    keys: Option<&Receiver<u8>>,
    heard: Heard<'_, M>,
) -> Result<(), Failure> {
    machine.inbox().cancel_on(&cx.interrupt);
    let mut talk = Talk {
        machine,
        console: Assembler::new(Overlong::Split),
        results: Assembler::new(Overlong::Truncate),
        typed: Vec::new(),
    };
    while !cx.interrupt.is_set() {
        match talk.machine.inbox().next(Instant::now() + LOOK) {
            Some(Event::Output(port, bytes)) => talk.output(port, &bytes, heard)?,
            Some(Event::Ended(exit)) => return ended(&exit),
            _ => {}
        }
        loop {
            match keys.map_or(Err(TryRecvError::Empty), Receiver::try_recv) {
                Ok(LEAVE) => return Ok(()),
                Ok(key) => talk.key(key)?,
                // A script's input ended: the guest goes on until it ends.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
    }
    Ok(())
}

/// QEMU's own failure, if that was the end.
fn ended(exit: &Exit) -> Result<(), Failure> {
    match exit {
        // A debugger's `kill`, or somebody's.
        Exit::Host(_)
        | Exit::Broken {
            status: Status::Code(0),
            ..
        } => Ok(()),
        exit => exit.infra().map_or(Ok(()), |error| Err(error.into())),
    }
}

/// A guest and what was heard and typed last.
struct Talk<'a, M: Machine + ?Sized> {
    machine: &'a mut M,
    console: Assembler,
    results: Assembler,
    typed: Vec<u8>,
}

impl<M: Machine + ?Sized> Talk<'_, M> {
    fn output(&mut self, port: Port, bytes: &[u8], heard: Heard<'_, M>) -> Result<(), Failure> {
        show(bytes);
        match port {
            Port::Console => self.console.feed(bytes, |_| {}),
            Port::Result => {
                let mut lines = Vec::new();
                self.results
                    .feed(bytes, |line| lines.push(clean(line.bytes)));
                for line in lines {
                    heard(self.machine, &line)?;
                }
            }
        }
        Ok(())
    }

    fn key(&mut self, key: u8) -> Result<(), Failure> {
        if key == BREAK_IN {
            return self.machine.nmi().map_err(|error| {
                Failure::infra(
                    "break into the kernel debugger",
                    "the machine did not take an NMI",
                )
                .source(error)
            });
        }
        if is_debugger(&clean(self.console.partial())) {
            // ddb echoes, and takes a carriage return for the end of a line.
            let key = if key == b'\n' { b'\r' } else { key };
            return self.send(Port::Console, &[key]);
        }
        self.edit(key)
    }

    /// Echoes a key, and sends init the line when it is done.
    fn edit(&mut self, key: u8) -> Result<(), Failure> {
        match key {
            b'\r' | b'\n' => {
                show(b"\n");
                let mut line = std::mem::take(&mut self.typed);
                line.push(b'\n');
                self.send(Port::Result, &line)
            }
            0x7f | 0x08 => {
                if self.typed.pop().is_some() {
                    show(b"\x08 \x08");
                }
                Ok(())
            }
            key => {
                self.typed.push(key);
                show(&[key]);
                Ok(())
            }
        }
    }

    fn send(&mut self, port: Port, bytes: &[u8]) -> Result<(), Failure> {
        self.machine.send(port, bytes).map_err(|error| {
            Failure::infra("send what was typed", "the guest is gone").source(error)
        })
    }
}

/// Whether a line without an end is one that the kernel debugger waits at.
fn is_debugger(partial: &str) -> bool {
    partial.starts_with(ddb::PROMPT) || partial.starts_with("--More--")
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

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_vm::qemu::VMM;

    #[test]
    fn a_qemu_that_did_not_start_is_an_error_and_one_that_was_ended_is_none() {
        let refused = Exit::Refused {
            vmm: VMM,
            status: Status::Code(1),
            stderr: "-chardev: UNIX socket path is too long".into(),
        };
        assert!(ended(&refused).is_err_and(|error| error.to_string().contains("too long")));
        let by_gdb = Exit::Broken {
            vmm: VMM,
            status: Status::Code(0),
            stderr: String::new(),
        };
        for exit in [by_gdb, Exit::Host(VMM), Exit::Debug(0), Exit::Reset] {
            assert!(ended(&exit).is_ok(), "{exit:?}");
        }
    }

    #[test]
    fn keys_go_to_the_debugger_only_at_its_prompt() {
        for (partial, debugger) in [
            ("", false),
            ("login: ", false),
            ("the db> prompt", false),
            ("db> ", true),
            ("db> show reg", true),
            ("--More--", true),
        ] {
            assert_eq!(is_debugger(partial), debugger, "{partial}");
        }
    }
}

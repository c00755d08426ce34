//! The console of a guest in the user's terminal.

use std::io::{IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use kdk_vm::clock::Instant;
use kdk_vm::console::assemble::{Assembler, Overlong};
use kdk_vm::console::clean;
use kdk_vm::ddb;
use kdk_vm::exit::{Exit, Status};
use kdk_vm::machine::{Event, Machine, Port};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// The key ^] ends the session, as in telnet(1).
const EXIT_KEY: u8 = 0x1d;

/// The key ^\ enters the kernel debugger. Neither a shell nor ddb's line editor
/// uses it.
const DEBUGGER_KEY: u8 = 0x1c;

/// The help on the keys.
pub const HELP: &str = "commands: list, run NAME, end, and those of ddb at its prompt; ^\\ enters the kernel \
                        debugger, ^] ends the guest";

/// The interval at which the keyboard is polled while the guest is silent.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A handler of the lines of the result port.
pub type OnResult<'a, M> = &'a mut dyn FnMut(&mut M, &str) -> Result<(), Failure>;

/// Prints both ports until the machine ends or the user presses ^C.
pub fn watch<M: Machine + ?Sized>(
    cx: &Context,
    machine: &mut M,
    on_result: OnResult<'_, M>,
) -> Result<(), Failure> {
    run(cx, machine, None, on_result)
}

/// Prints both ports and sends the user's input, until the machine ends or the
/// user leaves.
pub fn interact<M: Machine + ?Sized>(
    cx: &Context,
    machine: &mut M,
    on_result: OnResult<'_, M>,
) -> Result<(), Failure> {
    let keys = keyboard();
    let _raw = Raw::enter()?;
    run(cx, machine, Some(&keys), on_result)
}

fn run<M: Machine + ?Sized>(
    cx: &Context,
    machine: &mut M,
    keys: Option<&Receiver<u8>>,
    on_result: OnResult<'_, M>,
) -> Result<(), Failure> {
    machine.inbox().cancel_on(&cx.interrupt);
    let mut guest = Console {
        machine,
        console: Assembler::new(Overlong::Split),
        results: Assembler::new(Overlong::Truncate),
        typed: Vec::new(),
    };
    while !cx.interrupt.is_set() {
        match guest.machine.inbox().next(Instant::now() + POLL_INTERVAL) {
            Some(Event::Output(port, bytes)) => guest.output(port, &bytes, on_result)?,
            Some(Event::Ended(exit)) => return ended(&exit),
            _ => {}
        }
        loop {
            match keys.map_or(Err(TryRecvError::Empty), Receiver::try_recv) {
                Ok(EXIT_KEY) => return Ok(()),
                Ok(key) => guest.key(key)?,
                // The input of a script ended; the guest continues.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
    }
    Ok(())
}

/// Returns the failure of the hypervisor, if that ended the machine.
fn ended(exit: &Exit) -> Result<(), Failure> {
    match exit {
        // The debugger or another process killed it.
        Exit::Host(_)
        | Exit::Broken {
            status: Status::Code(0),
            ..
        } => Ok(()),
        exit => exit.infra().map_or(Ok(()), |error| Err(error.into())),
    }
}

/// A guest with the last lines of its output and of the user's input.
struct Console<'a, M: Machine + ?Sized> {
    machine: &'a mut M,
    console: Assembler,
    results: Assembler,
    typed: Vec<u8>,
}

impl<M: Machine + ?Sized> Console<'_, M> {
    fn output(
        &mut self,
        port: Port,
        bytes: &[u8],
        on_result: OnResult<'_, M>,
    ) -> Result<(), Failure> {
        show(bytes);
        match port {
            Port::Console => self.console.feed(bytes, |_| {}),
            Port::Result => {
                let mut lines = Vec::new();
                self.results
                    .feed(bytes, |line| lines.push(clean(line.bytes)));
                for line in lines {
                    on_result(self.machine, &line)?;
                }
            }
        }
        Ok(())
    }

    fn key(&mut self, key: u8) -> Result<(), Failure> {
        if key == DEBUGGER_KEY {
            return self.machine.nmi().map_err(|error| {
                Failure::infra("enter the kernel debugger", "sending an NMI failed").source(error)
            });
        }
        if is_debugger(&clean(self.console.partial())) {
            // ddb echoes input, and expects a carriage return at the end of a
            // line.
            let key = if key == b'\n' { b'\r' } else { key };
            return self.send(Port::Console, &[key]);
        }
        self.edit(key)
    }

    /// Echoes a key, and sends the line to init when it is complete.
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
        self.machine
            .send(port, bytes)
            .map_err(|error| Failure::infra("send the input", "the guest is gone").source(error))
    }
}

/// Returns whether an incomplete line is a prompt of the kernel debugger.
fn is_debugger(partial: &str) -> bool {
    partial.starts_with(ddb::PROMPT) || partial.starts_with("--More--")
}

/// Prints bytes. In raw mode, a newline needs a carriage return.
fn show(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    for byte in bytes {
        // A closed terminal is noticed when its keyboard ends.
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

/// The terminal, which is in raw mode until this value is dropped.
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
            // A closed terminal cannot be restored.
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_vm::qemu::VMM;

    #[test]
    fn a_qemu_that_did_not_start_is_an_error_and_one_that_ended_is_not() {
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

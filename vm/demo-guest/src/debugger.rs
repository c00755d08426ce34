//! A kernel debugger that emulates the commands of ddb(4) which the host uses.

use crate::hw::{self, CONSOLE, Frame, TrapFrame};
use crate::{console, log, objects};
use core::sync::atomic::{AtomicBool, Ordering};
use kdk_harness::Text;

/// The longest command, in bytes.
const LINE: usize = 128;
/// The one thread that tests run in, as `ps` would number and name it.
const THREAD: (u32, &str) = (100_048, "kdk test");

static DEAF: AtomicBool = AtomicBool::new(false);

/// Ignores non-maskable interrupts from now on.
pub fn ignore_nmis() {
    DEAF.store(true, Ordering::Relaxed);
}

/// Enters the debugger on a non-maskable interrupt, whatever it interrupted.
pub fn nmi(frame: &TrapFrame) {
    if DEAF.load(Ordering::Relaxed) {
        return;
    }
    // It may have interrupted a write to the console.
    hw::seize_console();
    log!("NMI ISA 30, EISA ff");
    log!("NMI/cpu0 ... going to debugger");
    enter(Some(frame))
}

/// Answers the console's commands forever. `frame` is the interrupted context,
/// if there is one.
pub fn enter(frame: Option<&TrapFrame>) -> ! {
    log!("[ thread pid 0 tid {} ]", THREAD.0);
    let mut first = true;
    backtrace(frame, &mut |at: Frame| {
        if core::mem::take(&mut first) {
            log!("Stopped at      {}+{:#x}:  hlt", at.symbol, at.offset);
        }
    });
    loop {
        console::write(format_args!("db> "));
        answer(receive().as_str(), frame);
    }
}

fn backtrace(frame: Option<&TrapFrame>, each: &mut dyn FnMut(Frame)) {
    hw::backtrace(frame.map(|frame| (frame.rip, frame.rbp)), each);
}

fn print_backtrace(frame: Option<&TrapFrame>) {
    backtrace(frame, &mut |at: Frame| {
        let Frame {
            symbol,
            offset,
            frame,
        } = at;
        log!("{symbol}() at {symbol}+{offset:#x}/frame {frame:#x}");
    });
}

/// Reads a command and echoes it.
fn receive() -> Text<LINE> {
    let mut line = Text::new();
    loop {
        match CONSOLE.receive() {
            None => core::hint::spin_loop(),
            Some(b'\r' | b'\n') => {
                log!("");
                return line;
            }
            Some(byte) => {
                CONSOLE.send(&[byte]);
                // A command that does not fit is not a command.
                let _ = core::fmt::Write::write_char(&mut line, byte.into());
            }
        }
    }
}

fn answer(command: &str, frame: Option<&TrapFrame>) {
    let (tid, name) = THREAD;
    match command {
        "" | "set $lines=0" => {}
        "show allpcpu" => {
            log!("Current CPU: 0\n\ncpuid        = 0");
            log!("curthread    = 0xfffff800024fe780: pid 0 tid {tid} critnest 1 \"{name}\"\n");
        }
        "bt" => {
            log!("Tracing pid 0 tid {tid} td 0xfffff800024fe780");
            print_backtrace(frame);
        }
        "show registers" => print_registers(frame),
        "ps" => {
            log!("  pid  ppid  pgrp   uid  state   wmesg   wchan               cmd");
            log!("    0     0     0     0  RLs     (threaded)                  [kernel]");
            log!("{tid}                   Run     CPU 0                       [{name}]");
        }
        "show alllocks" if objects::is_locked() => {
            log!("Process 0 (kernel) thread 0xfffff800024fe780 ({tid})");
            log!(
                "exclusive sleep mutex demo (demo) r = 0 (0x1000) locked @ demo-guest/objects.rs:1"
            );
        }
        "show alllocks" => {}
        "alltrace" => {
            log!("\nTracing command kernel pid 0 tid {tid} td 0xfffff800024fe780 (CPU 0)");
            print_backtrace(frame);
        }
        _ => log!("No such command; use \"help\" to list available commands"),
    }
}

fn print_registers(frame: Option<&TrapFrame>) {
    let Some(frame) = frame else { return };
    for (name, value) in [
        ("cs", frame.cs),
        ("ss", frame.ss),
        ("rax", frame.rax),
        ("rcx", frame.rcx),
        ("rdx", frame.rdx),
        ("rbx", frame.rbx),
        ("rsp", frame.rsp),
        ("rbp", frame.rbp),
        ("rsi", frame.rsi),
        ("rdi", frame.rdi),
        ("rip", frame.rip),
        ("rflags", frame.rflags),
    ] {
        log!("{name:<12}{value:>#18x}");
    }
}

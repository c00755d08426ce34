//! A kernel debugger: as much of ddb(4) as the host asks for, in its words.

use crate::hw::{self, CONSOLE, Frame, TrapFrame};
use crate::{console, log, objects};
use core::sync::atomic::{AtomicBool, Ordering};
use kdk_harness::Text;

/// Longest command, bytes.
const LINE: usize = 128;
/// The one thread that tests run in, as `ps` would number and name it.
const THREAD: (u32, &str) = (100_048, "kdk test");

static DEAF: AtomicBool = AtomicBool::new(false);

/// From now on a non-maskable interrupt changes nothing.
pub fn ignore_nmis() {
    DEAF.store(true, Ordering::Relaxed);
}

/// A non-maskable interrupt enters the debugger, whatever it came upon.
pub fn nmi(frame: &TrapFrame) {
    if DEAF.load(Ordering::Relaxed) {
        return;
    }
    // It may have come upon somebody who was just writing.
    hw::seize_console();
    log!("NMI ISA 30, EISA ff");
    log!("NMI/cpu0 ... going to debugger");
    enter(Some(frame))
}

/// Answers the console's commands for ever; `frame` is what was interrupted,
/// if something was.
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

fn backtrace(frame: Option<&TrapFrame>, tell: &mut dyn FnMut(Frame)) {
    hw::backtrace(frame.map(|frame| (frame.rip, frame.rbp)), tell);
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

/// A command, with the echo of what is typed.
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
                // What does not fit makes it no command.
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

//! The guest's life: boot, hello, answers.

use crate::cmdline::{self, BootFault, Options};
use crate::platform::Demo;
use crate::results::{self, Line};
use crate::tamper::Tamper;
use crate::{clock, dying, hw, log};
use core::fmt::Write;
use kdk_harness::{Answer, Command, MAX_CHUNK, Place, Registry, Text, Wake, parse};
use spin::Once;

/// The protocol's version.
const PROTOCOL: u32 = 1;
/// What `uname -v` would say.
const UNAME: &str = concat!(
    "kdk demo guest ",
    env!("CARGO_PKG_VERSION"),
    " x86_64, no FreeBSD kernel"
);
/// Codes for isa-debug-exit, where a guest does not end as it should.
const EXIT_EARLY: u8 = 0x10;
const EXIT_BAD_OPTION: u8 = 0x11;
const EXIT_NO_CHANNEL: u8 = 0x12;

static OPTIONS: Once<Options> = Once::new();

/// What the command line asked for.
pub fn options() -> Options {
    OPTIONS.get().copied().unwrap_or(Options::DEFAULT)
}

/// Boots and serves the host.
pub fn main() -> ! {
    log!("{UNAME}");
    let line = hw::command_line();
    log!("demo: command line: {line}");
    let options = match cmdline::parse(line.as_str()) {
        Ok(options) => OPTIONS.call_once(|| options),
        Err(bad) => {
            log!("demo: {bad}");
            hw::exit(EXIT_BAD_OPTION)
        }
    };
    log!("cpu0: one processor, timer at {} Hz", hw::HZ);
    log!("uart0: <16550 or compatible> port 0x3f8 (console)");
    if !hw::RESULTS.is_present() {
        log!("demo: no second serial port (0x2f8): nowhere to send results; give QEMU two -serial");
        hw::exit(EXIT_NO_CHANNEL);
    }
    log!("uart1: <16550 or compatible> port 0x2f8 (results)");
    let tests = hw::registered_tests();
    log!("demo: {} tests registered", tests.len());
    play(options.fault);
    hello(PROTOCOL);
    serve(&Registry::new(tests))
}

/// Plays the fault that the command line names.
fn play(fault: Option<BootFault>) {
    match fault {
        None => {}
        Some(BootFault::Panic) => hw::demo_panic(format_args!("demo: cannot go on booting")),
        Some(BootFault::Hang) => hw::stop_for_good(),
        Some(BootFault::NoHello) => clock::tick_on("demo"),
        Some(BootFault::BadVersion) => {
            hello(99);
            clock::tick_on("demo")
        }
        Some(BootFault::RebootLoop) => {
            log!("demo: rebooting");
            hw::reset()
        }
        Some(BootFault::EarlyExit) => hw::exit(EXIT_EARLY),
        Some(BootFault::Mountroot) => {
            dying::ask_for_root();
            hw::stop_for_good()
        }
    }
}

fn hello(protocol: u32) {
    let mut line = Text::<256>::new();
    let _ = writeln!(
        line,
        "# kdk-hello protocol={protocol} guest=demo osreldate=0 kmod=none uname={UNAME}"
    );
    results::send(line.as_str().as_bytes());
}

/// It has neither a clock nor random numbers of its own, and so gives back
/// what it was given.
fn awake(how: &Wake) {
    let Wake {
        seconds,
        nanoseconds,
        seed,
    } = how;
    let mut line = Text::<96>::new();
    let _ = writeln!(
        line,
        "# awake time={seconds}.{nanoseconds:09} random={seed:016x}"
    );
    results::send(line.as_str().as_bytes());
}

fn serve(registry: &Registry<'_>) -> ! {
    let mut chunk = Text::<MAX_CHUNK>::new();
    loop {
        let line = Line::receive();
        let command = parse(line.text());
        match command {
            Ok(Command::Wake(how)) => {
                awake(&how);
                continue;
            }
            // It does nothing that it was not asked for.
            Ok(Command::Rest) => {
                results::send(b"# rested\n");
                continue;
            }
            _ => {}
        }
        let mut answer = Answer::to(registry, Place::Kernel, line.text());
        let tamper = Tamper::for_line(line.text());
        // A chunk always fits (MAX_CHUNK), so writing cannot fail.
        while answer.next_chunk(&mut Demo, &mut chunk) == Ok(true) {
            tamper.send(chunk.as_str(), &mut |text| results::send(text.as_bytes()));
            chunk.clear();
        }
        if command == Ok(Command::End) {
            log!("demo: the end, after {} ms", clock::now_ms());
            hw::exit(0);
        }
    }
}

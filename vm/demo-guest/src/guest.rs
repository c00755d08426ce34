//! Boots the guest, writes the hello and answers commands.

use crate::cmdline::{self, Fault, Options};
use crate::inject::Injection;
use crate::platform::Demo;
use crate::results::{self, Line};
use crate::{clock, hw, log, panic};
use core::fmt::Write;
use kdk_harness::{Answer, Command, MAX_CHUNK, Registry, Resume, Text, Where, parse};
use spin::Once;

/// The protocol's version.
const PROTOCOL: u32 = 2;
/// The output of `uname -v`.
const UNAME: &str = concat!(
    "kdk demo guest ",
    env!("CARGO_PKG_VERSION"),
    " x86_64, no FreeBSD kernel"
);
/// The codes for isa-debug-exit when the guest fails.
const EXIT_EARLY: u8 = 0x10;
const EXIT_BAD_OPTION: u8 = 0x11;
const EXIT_NO_CHANNEL: u8 = 0x12;

/// FreeBSD's errno for a module that does not fit the kernel.
const ENOEXEC: u8 = 8;

static OPTIONS: Once<Options> = Once::new();

/// Returns the options of the command line.
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
    inject_at_boot(options.fault);
    hello(PROTOCOL, None);
    serve(&Registry::new(tests))
}

/// Injects the fault that the command line names, if it is a fault of the boot.
fn inject_at_boot(fault: Option<Fault>) {
    match fault {
        None | Some(Fault::ListHang | Fault::EndHang | Fault::EndPanic) => {}
        Some(Fault::Panic) => hw::demo_panic(format_args!("demo: cannot go on booting")),
        Some(Fault::Hang) => hw::stop_for_good(),
        Some(Fault::NoHello) => clock::tick_on("demo"),
        Some(Fault::BadVersion) => {
            hello(99, None);
            clock::tick_on("demo")
        }
        Some(Fault::RebootLoop) => {
            log!("demo: rebooting");
            hw::reset()
        }
        Some(Fault::EarlyExit) => hw::exit(EXIT_EARLY),
        Some(Fault::Mountroot) => {
            panic::ask_for_root();
            hw::stop_for_good()
        }
        Some(Fault::InitMissing) => {
            panic::look_for_init();
            hw::demo_panic(format_args!("no init"))
        }
        Some(Fault::InitCrash) => {
            log!("init died (signal 11, exit 0)");
            hw::demo_panic(format_args!("Going nowhere without my init!"))
        }
        Some(Fault::LoadPanic) => {
            log!("init: loading /kdk.ko");
            hw::demo_panic(format_args!("demo: cannot load the module"))
        }
        Some(Fault::KmodRefused) => {
            panic::refuse_module();
            hello(PROTOCOL, Some(ENOEXEC));
            clock::tick_on("demo")
        }
    }
}

/// Writes the hello. `refused` is the errno of a module that did not load.
fn hello(protocol: u32, refused: Option<u8>) {
    let mut line = Text::<256>::new();
    let _ = write!(
        line,
        "# kdk-hello protocol={protocol} guest=demo osreldate=0 kmod=none"
    );
    if let Some(errno) = refused {
        let _ = write!(line, " kmod-error={errno}");
    }
    let _ = writeln!(line, " uname={UNAME}");
    results::send(line.as_str().as_bytes());
}

/// Answers `resume` with the values of the command, because the guest has
/// neither a clock nor random numbers.
fn resumed(how: &Resume) {
    let Resume {
        seconds,
        nanoseconds,
        seed,
    } = how;
    let mut line = Text::<96>::new();
    let _ = writeln!(
        line,
        "# resumed time={seconds}.{nanoseconds:09} random={seed:016x}"
    );
    results::send(line.as_str().as_bytes());
}

fn serve(registry: &Registry<'_>) -> ! {
    let mut chunk = Text::<MAX_CHUNK>::new();
    loop {
        let line = Line::receive();
        let command = parse(line.text()).ok();
        match command {
            Some(Command::Resume(how)) => {
                resumed(&how);
                continue;
            }
            // The guest has no activity of its own.
            Some(Command::Quiesce) => {
                results::send(b"# quiesced\n");
                continue;
            }
            _ => {}
        }
        before_answer(command);
        let mut answer = Answer::to(registry, Where::Kernel, line.text());
        let injection = Injection::for_line(line.text());
        // A chunk always fits (MAX_CHUNK), so writing cannot fail.
        while answer.next_chunk(&mut Demo, &mut chunk) == Ok(true) {
            injection.send(chunk.as_str(), &mut |text| results::send(text.as_bytes()));
            chunk.clear();
        }
        after_answer(command);
    }
}

/// Injects the faults that affect an answer as a unit.
fn before_answer(command: Option<Command<'_>>) {
    let fault = options().fault;
    match command {
        Some(Command::List) if fault == Some(Fault::ListHang) => {
            results::send(
                b"# test demo/first where=kernel limit_ms=1000 expect=pass default=yes\n",
            );
            clock::tick_on("demo: list-hang")
        }
        Some(Command::End) if fault == Some(Fault::EndPanic) => {
            hw::demo_panic(format_args!("demo: cannot unload the module"))
        }
        _ => {}
    }
}

/// Ends the machine, or injects a fault instead.
fn after_answer(command: Option<Command<'_>>) {
    match command {
        Some(Command::Run("fault/deaf")) => clock::tick_on("demo: fault/deaf"),
        Some(Command::End) if options().fault == Some(Fault::EndHang) => {
            clock::tick_on("demo: end-hang")
        }
        Some(Command::End) => {
            log!("demo: the end, after {} ms", clock::now_ms());
            hw::exit(0)
        }
        _ => {}
    }
}

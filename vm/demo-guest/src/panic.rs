//! Panics and traps, with the console texts of a FreeBSD kernel, which the host
//! parses.

use crate::hw::{self, Frame, Left, TrapFrame};
use crate::{clock, debugger, log, platform};
use core::fmt;
use core::panic::PanicInfo;
use kdk_harness::{Message, describe_panic};

/// The exceptions by vector, with FreeBSD's number and name (sys/x86/trap.h and
/// amd64's trap.c).
const TRAPS: [(u64, u32, &str); 8] = [
    (0, 18, "integer divide fault"),
    (1, 10, "trace trap"),
    (3, 3, "breakpoint instruction fault"),
    (6, 1, "privileged instruction fault"),
    (11, 26, "segment not present fault"),
    (12, 27, "stack fault"),
    (13, 9, "general protection fault"),
    (14, 12, "page fault"),
];

const PAGE_FAULT: u64 = 14;
const DOUBLE_FAULT: u64 = 8;

/// Prints what FreeBSD's panic() prints, without stopping.
pub fn announce_panic(text: fmt::Arguments<'_>, from: Option<(u64, u64)>) {
    hw::disable_interrupts();
    log!("panic: {text}");
    log!("cpuid = 0");
    log!("time = {}", clock::now_ms() / 1000);
    log!("KDB: stack backtrace:");
    print_backtrace(from);
}

fn print_backtrace(from: Option<(u64, u64)>) {
    hw::backtrace(from, &mut |frame: Frame| {
        let Frame {
            symbol,
            offset,
            frame,
        } = frame;
        log!("{symbol}() at {symbol}+{offset:#x}/frame {frame:#x}");
    });
}

/// Panics as a FreeBSD kernel without a debugger does: prints the message and
/// resets.
pub fn panic(text: fmt::Arguments<'_>) -> ! {
    announce_panic(text, None);
    restart()
}

fn restart() -> ! {
    log!("Uptime: {}s", clock::now_ms() / 1000);
    log!("Rebooting...");
    hw::reset()
}

/// Handles an exception. It ends the test, if the test requested that, or else
/// the machine.
pub fn trap(frame: &TrapFrame) {
    let (number, name) = name(frame.vector);
    if platform::traps_end_test() {
        let rip = frame.rip;
        let words = Message::of(format_args!("trap {number}: {name} at {rip:#x}"));
        platform::leave_test(Left::Trapped, words);
    }
    let from = Some((frame.rip, frame.rbp));
    if frame.vector == DOUBLE_FAULT {
        print_double_fault(frame);
        announce_panic(format_args!("double fault"), from);
    } else {
        print_trap(frame, number, name);
        announce_panic(format_args!("{name}"), from);
    }
    restart()
}

fn name(vector: u64) -> (u32, &'static str) {
    let known = TRAPS.iter().find(|(known, ..)| *known == vector);
    known.map_or((29, "reserved trap"), |(_, number, name)| (*number, name))
}

fn print_trap(frame: &TrapFrame, number: u32, name: &str) {
    log!("\n\nFatal trap {number}: {name} while in kernel mode");
    log!("cpuid = 0; apic id = 00");
    if frame.vector == PAGE_FAULT {
        let access = if frame.error & 2 == 0 {
            "read"
        } else {
            "write"
        };
        log!("fault virtual address\t= {:#x}", hw::fault_address());
        log!("fault code\t\t= supervisor {access} data, page not present");
    }
    log!("instruction pointer\t= {:#x}:{:#x}", frame.cs, frame.rip);
    log!("stack pointer\t        = {:#x}:{:#x}", frame.ss, frame.rsp);
    log!("frame pointer\t        = {:#x}:{:#x}", frame.ss, frame.rbp);
    log!("processor eflags\t= interrupt enabled, IOPL = 0");
    log!("current process\t\t= 0 (demo)");
    log!(
        "rax: {:016x} rbx: {:016x} rdi: {:016x}",
        frame.rax,
        frame.rbx,
        frame.rdi
    );
    log!("trap number\t\t= {number}");
}

fn print_double_fault(frame: &TrapFrame) {
    log!("\nFatal double fault");
    log!(
        "rip {:#x} rsp {:#x} rbp {:#x}",
        frame.rip,
        frame.rsp,
        frame.rbp
    );
    log!(
        "rax {:#x} rdx {:#x} rbx {:#x}",
        frame.rax,
        frame.rdx,
        frame.rbx
    );
    log!("cpuid = 0; apic id = 00");
}

/// Enters the debugger as FreeBSD's panic() does.
pub fn enter_debugger() -> ! {
    log!("KDB: enter: panic");
    debugger::enter(None)
}

/// Handles a Rust panic. It ends the running test, or panics the guest if no
/// test runs.
#[panic_handler]
fn rust_panic(info: &PanicInfo<'_>) -> ! {
    let words = describe_panic(&info.message(), info.location());
    platform::leave_test(Left::Panicked, words);
    panic(format_args!("demo guest: {words}"))
}

/// Prints what a kernel prints without a root file system.
pub fn ask_for_root() {
    log!("Trying to mount root from ufs:/dev/vtbd0 [rw]...");
    log!("mountroot: waiting for device /dev/vtbd0...");
    log!("Mounting from ufs:/dev/vtbd0 failed with error 19.");
    log!("\nLoader variables:");
    log!("  vfs.root.mountfrom=ufs:/dev/vtbd0");
    log!("\nManual root filesystem specification:");
    log!("  <fstype>:<device> [options]");
    crate::console::write(format_args!("\nmountroot> "));
}

/// Prints what a kernel prints without init.
pub fn look_for_init() {
    log!("start_init: trying /init");
    log!("init: not found in path /init");
}

/// Prints what a kernel prints for a module of another kernel.
pub fn refuse_module() {
    log!("KLD kdk.ko: depends on kernel - not available or version mismatch");
    log!("linker_load_file: /kdk.ko - unsupported file type");
}

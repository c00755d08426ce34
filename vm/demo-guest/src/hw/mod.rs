//! The hardware: all `unsafe` code is here, behind safe functions. The machine
//! has one processor, interrupts from the timer and the second serial port, and
//! an identity mapping of the first gigabyte.
#![allow(unsafe_code)]

mod backtrace;
mod boot;
mod descriptors;
mod faults;
mod guard;
mod linker_set;
mod pic;
mod power;
mod serial;
mod start_info;
mod trap;

pub use backtrace::{Frame, backtrace};
pub use faults::{demo_panic, invalid_opcode, overflow_stack, read_unmapped, stop_for_good};
pub use guard::{Left, guarded, leave};
pub use linker_set::registered_tests;
pub use power::{exit, reset, triple_fault};
pub use serial::{CONSOLE, RESULTS, seize_console};
pub use start_info::command_line;
pub use trap::{TrapFrame, fault_address};

use x86_64::instructions::interrupts;

/// The rate of the timer, in interrupts a second.
pub const HZ: u64 = 100;

/// Runs `f` with interrupts disabled.
pub fn undisturbed<R>(f: impl FnOnce() -> R) -> R {
    interrupts::without_interrupts(f)
}

/// Disables the interrupts of the processor.
pub fn disable_interrupts() {
    interrupts::disable();
}

/// Returns whether interrupts are enabled.
pub fn interrupts_enabled() -> bool {
    interrupts::are_enabled()
}

/// Sleeps until an interrupt, unless `busy` returns true. It is called with
/// interrupts disabled, so that no interrupt is missed.
pub fn idle_unless(busy: impl FnOnce() -> bool) {
    interrupts::disable();
    if busy() {
        interrupts::enable();
    } else {
        interrupts::enable_and_hlt();
    }
}

/// Initializes the machine: descriptors, interrupts, serial ports, timer.
pub fn start(info: usize) {
    start_info::remember(info);
    descriptors::load();
    trap::load();
    CONSOLE.start();
    RESULTS.start();
    pic::start();
    interrupts::enable();
}

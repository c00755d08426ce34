//! Faults of a kernel, on purpose. These functions keep their names in the
//! symbol table, so that a backtrace through them can be resolved.

use core::arch::asm;
use core::fmt;
use core::hint::black_box;
use x86_64::instructions::{hlt, interrupts};

/// An unmapped address, beyond the first gigabyte.
const UNMAPPED: usize = 0x4_0000_0010;

/// Reads an unmapped address.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub extern "sysv64" fn demo_read_unmapped() -> u64 {
    // SAFETY: none: this is meant to trap, and the trap does not come back.
    black_box(unsafe { (UNMAPPED as *const u64).read_volatile() })
}

/// Calls [`demo_read_unmapped`], for one more frame.
pub fn read_unmapped() -> u64 {
    demo_read_unmapped()
}

/// Executes an invalid instruction.
pub fn invalid_opcode() {
    // SAFETY: it traps, and the trap does not come back.
    unsafe { asm!("ud2") }
}

/// Pushes onto an unmapped stack: the page fault cannot be delivered, and
/// becomes a double fault.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub extern "sysv64" fn demo_overflow_stack() -> ! {
    // SAFETY: it traps, and the trap does not come back.
    unsafe { asm!("mov rsp, {0}", "push 0", "ud2", in(reg) UNMAPPED, options(noreturn)) }
}

/// Calls [`demo_overflow_stack`], for one more frame.
pub fn overflow_stack() -> ! {
    demo_overflow_stack()
}

/// Stops the processor permanently, with interrupts disabled.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub extern "sysv64" fn demo_hang() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}

/// Calls [`demo_hang`], for one more frame.
pub fn stop_for_good() -> ! {
    demo_hang()
}

/// Calls [`crate::panic::panic`], for one more frame.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub fn demo_panic(text: fmt::Arguments<'_>) -> ! {
    crate::panic::panic(text)
}

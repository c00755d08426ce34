//! Things a kernel must not do, done on purpose. They keep their names in the
//! symbol table, so that a backtrace through them can be resolved.

use core::arch::asm;
use core::fmt;
use core::hint::black_box;
use x86_64::instructions::{hlt, interrupts};

/// An address that is mapped nowhere: beyond the first gigabyte.
const UNMAPPED: usize = 0x4_0000_0010;

/// Reads where nothing is.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub extern "sysv64" fn demo_read_unmapped() -> u64 {
    // SAFETY: none: this is meant to trap, and the trap does not come back.
    black_box(unsafe { (UNMAPPED as *const u64).read_volatile() })
}

/// [`demo_read_unmapped`] from one call deeper.
pub fn read_unmapped() -> u64 {
    demo_read_unmapped()
}

/// Executes an instruction that is none.
pub fn invalid_opcode() {
    // SAFETY: it traps, and the trap does not come back.
    unsafe { asm!("ud2") }
}

/// Pushes onto a stack that is not there: the page fault cannot be delivered,
/// and the double fault is.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub extern "sysv64" fn demo_overflow_stack() -> ! {
    // SAFETY: it traps, and the trap does not come back.
    unsafe { asm!("mov rsp, {0}", "push 0", "ud2", in(reg) UNMAPPED, options(noreturn)) }
}

/// [`demo_overflow_stack`] from one call deeper.
pub fn overflow_stack() -> ! {
    demo_overflow_stack()
}

/// Stops the processor for good, interrupts off.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub extern "sysv64" fn demo_hang() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}

/// [`demo_hang`] from one call deeper.
pub fn stop_for_good() -> ! {
    demo_hang()
}

/// [`crate::panic::panic`].
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.named")]
#[inline(never)]
pub fn demo_panic(text: fmt::Arguments<'_>) -> ! {
    crate::panic::panic(text)
}

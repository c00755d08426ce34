//! Ways to die, for the tests of the runner.

use super::bindings;
use core::hint::black_box;

/// panic(9).
pub fn panic() -> ! {
    // SAFETY: a C string.
    unsafe { bindings::panic(c"kdk: asked for by a test".as_ptr()) }
}

/// Turns interrupts off and never comes back.
pub fn hang() -> ! {
    // SAFETY: that is the point.
    unsafe { bindings::kdk_hang() }
}

/// Fails a KASSERT(9). Returns where the kernel has none.
pub fn kassert() {
    // SAFETY: panics or does nothing.
    unsafe { bindings::kdk_kassert() }
}

/// Reads the first page, which is never mapped: trap 12.
pub fn read_null() -> ! {
    read(0x18)
}

/// Reads an address that no processor can have: trap 9.
pub fn read_nowhere() -> ! {
    read(0xdead_c0de_0000_0000)
}

fn read(address: u64) -> ! {
    // SAFETY: the read traps, and nothing comes after it. Not a pointer's read:
    // the compiler may do with an invalid one what it likes.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr [{0}]",
            "2: jmp 2b",
            in(reg) address,
            options(noreturn)
        )
    }
}

/// Calls itself, two kilobytes at a time, until the stack ends.
#[inline(never)]
pub fn overflow_stack(depth: u64) -> u64 {
    let room = black_box([depth; 256]);
    if black_box(depth) == u64::MAX {
        return depth;
    }
    overflow_stack(depth + 1).wrapping_add(room[255])
}

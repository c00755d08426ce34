//! Faults of the kernel, for the tests of the runner.

use super::bindings;
use core::hint::black_box;

/// Panics the kernel, see panic(9).
pub fn panic() -> ! {
    // SAFETY: a C string.
    unsafe { bindings::panic(c"kdk: asked for by a test".as_ptr()) }
}

/// Hangs this CPU with interrupts disabled.
pub fn hang() -> ! {
    // SAFETY: the hang is intended.
    unsafe { bindings::kdk_hang() }
}

/// Sends an NMI to all CPUs at once, as a chipset or a hypervisor does. With
/// `machdep.kdb_on_nmi` the kernel enters its debugger.
pub fn nmi() {
    // SAFETY: callable in any context.
    unsafe { bindings::kdk_nmi() }
}

/// Fails a KASSERT(9). Returns if the kernel is built without INVARIANTS.
pub fn kassert() {
    // SAFETY: panics or does nothing.
    unsafe { bindings::kdk_kassert() }
}

/// Reads the first page, which is never mapped: a page fault (trap 12).
pub fn read_null() -> ! {
    read(0x18)
}

/// Reads a non-canonical address: a general protection fault (trap 9).
pub fn read_nowhere() -> ! {
    read(0xdead_c0de_0000_0000)
}

fn read(address: u64) -> ! {
    // SAFETY: the read traps, and nothing runs after it. It is not a read of a
    // pointer, which would be undefined behaviour.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr [{0}]",
            "2: jmp 2b",
            in(reg) address,
            options(noreturn)
        )
    }
}

/// Recurses with 2 KB of stack per call until the stack overflows.
#[inline(never)]
pub fn overflow_stack(depth: u64) -> u64 {
    let room = black_box([depth; 256]);
    if black_box(depth) == u64::MAX {
        return depth;
    }
    overflow_stack(depth + 1).wrapping_add(room[255])
}

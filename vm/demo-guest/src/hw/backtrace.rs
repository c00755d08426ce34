//! Walks the frame pointers, and names the functions that have symbols here.

use super::faults::{demo_hang, demo_overflow_stack, demo_panic, demo_read_unmapped};
use super::guard::kdk_guard_call;
use core::arch::{asm, global_asm};

/// One return address.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The function, if the guest has its symbol, or else `kdk_text`, the start
    /// of all others. With the offset, the host's debug information identifies
    /// the function.
    pub symbol: &'static str,
    /// The offset from the symbol, in bytes.
    pub offset: u64,
    /// The address of the frame.
    pub frame: u64,
}

/// The most frames that are reported.
const DEEPEST: usize = 24;

// The linker script puts the functions with names of their own first.
global_asm!(
    r#"
    .section .text.first, "ax", @progbits
    .balign 16
    .globl kdk_text
    .type kdk_text, @function
kdk_text:
    ud2
    "#,
    options(att_syntax)
);

unsafe extern "C" {
    static kdk_stack_bottom: u8;
    static kdk_stack_top: u8;
    static kdk_pvh_entry: u8;
    static kdk_trap_entry: u8;
    static kdk_text: u8;
}

fn symbols() -> [(&'static str, u64); 8] {
    let at = |symbol: *const u8| symbol.addr() as u64;
    [
        ("kdk_pvh_entry", at(&raw const kdk_pvh_entry)),
        ("kdk_guard_call", kdk_guard_call as *const () as u64),
        ("kdk_trap_entry", at(&raw const kdk_trap_entry)),
        ("kdk_text", at(&raw const kdk_text)),
        ("demo_panic", demo_panic as *const () as u64),
        ("demo_hang", demo_hang as *const () as u64),
        ("demo_read_unmapped", demo_read_unmapped as *const () as u64),
        (
            "demo_overflow_stack",
            demo_overflow_stack as *const () as u64,
        ),
    ]
}

/// Returns the frame of `address`. `within` is an address in the function: a
/// return address may be outside of it, if the call is the last instruction.
fn named(address: u64, within: u64, frame: u64) -> Frame {
    let before = symbols().into_iter().filter(|(_, at)| *at <= within);
    let (symbol, at) = before.max_by_key(|(_, at)| *at).unwrap_or(("0", 0));
    Frame {
        symbol,
        offset: address - at,
        frame,
    }
}

/// Passes the frames to `each`, from `start` (an instruction and its frame
/// pointer, or else the caller's) outwards.
pub fn backtrace(start: Option<(u64, u64)>, each: &mut dyn FnMut(Frame)) {
    let mut frame: u64;
    if let Some((instruction, pointer)) = start {
        each(named(instruction, instruction, pointer));
        frame = pointer;
    } else {
        // SAFETY: reads a register.
        unsafe { asm!("mov {0}, rbp", out(reg) frame) };
    }
    let bottom = (&raw const kdk_stack_bottom).addr() as u64;
    let top = (&raw const kdk_stack_top).addr() as u64;
    for _ in 0..DEEPEST {
        // The outermost frame pointer is 0. An invalid one ends the walk, too.
        if frame < bottom || frame > top - 16 || !frame.is_multiple_of(8) {
            break;
        }
        // SAFETY: two aligned words within the stack, which is always mapped.
        let [outer, address] = unsafe { (frame as *const [u64; 2]).read() };
        if address == 0 {
            break;
        }
        each(named(address, address.saturating_sub(1), frame));
        if outer <= frame {
            break;
        }
        frame = outer;
    }
}

//! Backtraces by frame pointers, told with the symbols that are known here.

use super::deeds::{demo_overflow_stack, demo_panic, demo_read_unmapped};
use super::guard::kdk_guard_call;
use core::arch::asm;

/// One return address.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The nearest symbol before it that this guest knows by name. Symbol and
    /// offset always give the right address, though the symbol may be that of
    /// an earlier function.
    pub symbol: &'static str,
    /// Distance from the symbol, bytes.
    pub offset: u64,
    /// Address of the frame.
    pub frame: u64,
}

/// Most frames that are told.
const DEEPEST: usize = 24;

unsafe extern "C" {
    static kdk_stack_bottom: u8;
    static kdk_stack_top: u8;
    static kdk_pvh_entry: u8;
    static kdk_trap_entry: u8;
}

fn symbols() -> [(&'static str, u64); 6] {
    let at = |symbol: *const u8| symbol.addr() as u64;
    [
        ("kdk_pvh_entry", at(&raw const kdk_pvh_entry)),
        ("kdk_guard_call", kdk_guard_call as *const () as u64),
        ("kdk_trap_entry", at(&raw const kdk_trap_entry)),
        ("demo_panic", demo_panic as *const () as u64),
        ("demo_read_unmapped", demo_read_unmapped as *const () as u64),
        (
            "demo_overflow_stack",
            demo_overflow_stack as *const () as u64,
        ),
    ]
}

fn told(address: u64, frame: u64) -> Frame {
    let before = symbols().into_iter().filter(|(_, at)| *at <= address);
    let (symbol, at) = before.max_by_key(|(_, at)| *at).unwrap_or(("0", 0));
    Frame {
        symbol,
        offset: address - at,
        frame,
    }
}

/// Tells the frames from `start` (an instruction and its frame pointer, or the
/// caller's when none is given) outwards.
pub fn backtrace(start: Option<(u64, u64)>, tell: &mut dyn FnMut(Frame)) {
    let mut frame: u64;
    if let Some((instruction, pointer)) = start {
        tell(told(instruction, pointer));
        frame = pointer;
    } else {
        // SAFETY: reads a register.
        unsafe { asm!("mov {0}, rbp", out(reg) frame) };
    }
    let bottom = (&raw const kdk_stack_bottom).addr() as u64;
    let top = (&raw const kdk_stack_top).addr() as u64;
    for _ in 0..DEEPEST {
        // The outermost frame pointer is 0; a wild one ends the walk too.
        if frame < bottom || frame > top - 16 || !frame.is_multiple_of(8) {
            break;
        }
        // SAFETY: two aligned words within the stack, which is always mapped.
        let [outer, address] = unsafe { (frame as *const [u64; 2]).read() };
        tell(told(address, frame));
        if outer <= frame {
            break;
        }
        frame = outer;
    }
}

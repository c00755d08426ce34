//! Reads what QEMU passes to the guest: `struct hvm_start_info` (Xen's
//! public/arch-x86/hvm/start_info.h).

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicUsize, Ordering};
use kdk_harness::Text;

const MAGIC: u32 = 0x336e_c578;
const LONGEST: usize = 1024;

/// A copy of the command line.
pub type CommandLine = Text<LONGEST>;

static INFO: AtomicUsize = AtomicUsize::new(0);

#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
}

/// Stores the address that the entry point received.
pub fn remember(info: usize) {
    INFO.store(info, Ordering::Relaxed);
}

/// Returns the command line, which may be empty.
pub fn command_line() -> CommandLine {
    let info = INFO.load(Ordering::Relaxed) as *const StartInfo;
    // SAFETY: the boot ABI: in low memory, which is mapped one to one, there
    // is a start info at this address, aligned, and nothing writes it.
    let info = unsafe { info.read() };
    if info.magic != MAGIC || info.command_line == 0 {
        return CommandLine::new();
    }
    // SAFETY: the boot ABI again: the field is the address of a string that
    // ends with a NUL.
    let line = unsafe { CStr::from_ptr(info.command_line as *const c_char) };
    CommandLine::of(line.to_str().unwrap_or_default())
}

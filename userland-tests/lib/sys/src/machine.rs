//! Ending the machine.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::file::{O_CLOEXEC, O_RDWR, open};
use crate::raw::{number, plain};
use core::arch::asm;

/// The port of QEMU's isa-debug-exit, as the protocol has it.
const DEBUG_EXIT: u16 = 0x501;
const RB_HALT: i64 = 0x8;
const RB_POWEROFF: i64 = 0x4000;

/// Writes everything that waits to be written to a disk.
pub fn sync() {
    // SAFETY: no addresses; it cannot fail.
    let _ = unsafe { plain(number::SYNC, []) };
}

/// Ends QEMU at once with the debug exit's `value` (its exit status is
/// `value * 2 + 1`). Returns if there is no such device.
///
/// # Errors
/// Those of opening `/dev/io`.
pub fn debug_exit(value: u8) -> Result<()> {
    let _io = open("/dev/io", O_RDWR | O_CLOEXEC)?;
    // SAFETY: an open /dev/io allows port access; the port is the debug
    // exit's or unused.
    unsafe {
        asm!("out dx, al", in("dx") DEBUG_EXIT, in("al") value, options(nomem, nostack, preserves_flags));
    }
    Ok(())
}

/// Halts in an orderly way and turns the power off if that is possible.
///
/// # Errors
/// Those of reboot(2).
pub fn power_off() -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::REBOOT, [RB_HALT | RB_POWEROFF]) }.map(drop)
}

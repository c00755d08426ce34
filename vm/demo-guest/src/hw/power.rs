//! Ends or resets the machine.

use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::instructions::tables::lidt;
use x86_64::instructions::{hlt, interrupts};
use x86_64::structures::DescriptorTablePointer;

const DEBUG_EXIT: u16 = 0x501;
const KEYBOARD_COMMAND: u16 = 0x64;
const PULSE_RESET: u8 = 0xfe;

/// Ends the machine through isa-debug-exit: QEMU exits with `2 * code + 1`.
/// Without that device, it waits forever.
pub fn exit(code: u8) -> ! {
    interrupts::disable();
    // SAFETY: the port of isa-debug-exit, or none at all.
    unsafe { Port::new(DEBUG_EXIT).write(code) };
    loop {
        hlt();
    }
}

/// Resets the machine through the keyboard controller.
pub fn reset() -> ! {
    interrupts::disable();
    // SAFETY: the reset line; nothing after it matters.
    unsafe { Port::new(KEYBOARD_COMMAND).write(PULSE_RESET) };
    loop {
        hlt();
    }
}

/// Takes an interrupt without an interrupt table: the triple fault resets the
/// PC.
pub fn triple_fault() -> ! {
    interrupts::disable();
    let none = DescriptorTablePointer {
        limit: 0,
        base: VirtAddr::zero(),
    };
    // SAFETY: with interrupts off nothing uses the table but the trap that is
    // meant to fail.
    unsafe { lidt(&none) };
    loop {
        interrupts::int3();
    }
}

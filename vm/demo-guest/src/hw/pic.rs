//! Drives the interrupt controllers (8259) and the timer (8254) of a PC.

use super::HZ;
use x86_64::instructions::port::Port;

/// The first vector of the interrupt lines.
pub const FIRST_VECTOR: u64 = 32;
/// The interrupt line of the timer.
pub const TIMER: u64 = 0;
/// The interrupt line of the second serial port.
pub const COM2: u64 = 3;

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;
const TIMER_COMMAND: u16 = 0x43;
const TIMER_COUNTER: u16 = 0x40;
/// The frequency of the 8254, in Hz.
const CRYSTAL: u64 = 1_193_182;

fn out(port: u16, value: u8) {
    // SAFETY: only called from this file, with ports of the 8259s and the
    // 8254, which touch no memory.
    unsafe { Port::new(port).write(value) }
}

/// Maps the lines to vectors 32 and up, enables the timer and the second serial
/// port, and starts the timer at [`HZ`].
pub fn start() {
    // ICW1 to ICW4: edge triggered, cascade on line 2, 8086 mode.
    for (port, vector, cascade) in [(MASTER, 32, 1 << 2), (SLAVE, 40, 2)] {
        out(port, 0x11);
        out(port + 1, vector);
        out(port + 1, cascade);
        out(port + 1, 0x01);
    }
    out(MASTER + 1, !(1 << TIMER | 1 << COM2));
    out(SLAVE + 1, 0xff);

    let [low, high, ..] = (CRYSTAL / HZ).to_le_bytes();
    out(TIMER_COMMAND, 0x34); // counter 0, both bytes, rate generator
    out(TIMER_COUNTER, low);
    out(TIMER_COUNTER, high);
}

/// Acknowledges an interrupt of the first eight lines.
pub fn acknowledge() {
    out(MASTER, 0x20);
}

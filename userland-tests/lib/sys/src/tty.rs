//! Settings of serial lines.

use crate::errno::Result;
use crate::fd::Descriptor;
use crate::net::{control, direction, request};

/// Bytes of a `termios`: four words of flags, 20 control characters, two
/// speeds.
const TERMIOS: usize = 44;
const TIOCGETA: usize = request(direction::OUT, b't', 19, TERMIOS);
const TIOCSETA: usize = request(direction::IN, b't', 20, TERMIOS);
const TIOCDRAIN: usize = request(0x2000_0000, b't', 94, 0);
const IGNBRK: u32 = 0x1;
/// `CS8`, `CREAD`, `CLOCAL`.
const CONTROL: u32 = 0x300 | 0x800 | 0x8000;
const CHARACTERS: usize = 16;
const VMIN: usize = CHARACTERS + 16;
const VTIME: usize = CHARACTERS + 17;

/// Makes a line carry bytes as they are, `speed` bits a second, 8 bits, no
/// parity, no modem control.
///
/// # Errors
/// `ENOTTY`: it is no terminal.
pub fn make_raw(line: &impl Descriptor, speed: u32) -> Result<()> {
    let mut termios = [0; TERMIOS];
    control(line, TIOCGETA, &mut termios)?;
    let (input, output, local) = (IGNBRK, 0, 0);
    for (at, word) in [
        (0, input),
        (4, output),
        (8, CONTROL),
        (12, local),
        (36, speed),
        (40, speed),
    ] {
        termios[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    termios[VMIN] = 1;
    termios[VTIME] = 0;
    control(line, TIOCSETA, &mut termios)
}

/// Waits until all that was written has left the machine.
///
/// # Errors
/// `ENOTTY`: it is no terminal.
pub fn drain(line: &impl Descriptor) -> Result<()> {
    control(line, TIOCDRAIN, &mut [])
}

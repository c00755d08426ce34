//! Reads and writes the result channel.

use crate::clock;
use crate::hw::{self, RESULTS};
use core::sync::atomic::{AtomicBool, Ordering};

/// The longest line from the host, in bytes.
const LINE: usize = 256;

static MUTE: AtomicBool = AtomicBool::new(false);

/// Sends `bytes`, unless the channel was muted.
pub fn send(bytes: &[u8]) {
    if !MUTE.load(Ordering::Relaxed) {
        RESULTS.send(bytes);
    }
}

/// Mutes the channel permanently.
pub fn mute() {
    MUTE.store(true, Ordering::Relaxed);
}

/// A line from the host, without its end.
pub struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Line {
    /// Waits for the next line. Only the beginning of a line that is too long
    /// is kept, which makes it an invalid command.
    pub fn receive() -> Self {
        let mut line = Self {
            bytes: [0; LINE],
            length: 0,
        };
        loop {
            match next_byte() {
                b'\n' => return line,
                byte => {
                    if let Some(place) = line.bytes.get_mut(line.length) {
                        *place = byte;
                        line.length += 1;
                    }
                }
            }
        }
    }

    /// Returns the line as text, or `?` if it is not UTF-8.
    pub fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or("?")
    }
}

fn next_byte() -> u8 {
    let mut reported = clock::now_ms();
    loop {
        if let Some(byte) = RESULTS.receive() {
            return byte;
        }
        hw::idle_unless(|| RESULTS.has_input());
        // A guest without a result channel still shows that it is alive.
        if MUTE.load(Ordering::Relaxed) && clock::now_ms() >= reported + 1000 {
            reported = clock::now_ms();
            crate::log!("demo: still here after {} s", reported / 1000);
        }
    }
}

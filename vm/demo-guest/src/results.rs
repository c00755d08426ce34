//! The result channel.

use crate::clock;
use crate::hw::{self, RESULTS};
use core::sync::atomic::{AtomicBool, Ordering};

/// Longest line from the host, bytes.
const LINE: usize = 256;

static MUTE: AtomicBool = AtomicBool::new(false);

/// Sends `bytes`, unless the channel was muted.
pub fn send(bytes: &[u8]) {
    if !MUTE.load(Ordering::Relaxed) {
        RESULTS.send(bytes);
    }
}

/// Says nothing more on the channel, ever.
pub fn mute() {
    MUTE.store(true, Ordering::Relaxed);
}

/// A line from the host, without its end.
pub struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Line {
    /// Waits for the next line. Of one that is too long the beginning is
    /// kept, which makes it no command.
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

    /// The line as text; `?` when it is none.
    pub fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or("?")
    }
}

fn next_byte() -> u8 {
    let mut told = clock::now_ms();
    loop {
        if let Some(byte) = RESULTS.receive() {
            return byte;
        }
        hw::idle_unless(|| RESULTS.has_input());
        // A guest whose results are gone shows that it is alive.
        if MUTE.load(Ordering::Relaxed) && clock::now_ms() >= told + 1000 {
            told = clock::now_ms();
            crate::log!("demo: still here after {} s", told / 1000);
        }
    }
}

//! Handles the bytes of a serial port: splits them into lines, logs them, and
//! keeps the last lines. Its memory and disk use is bounded, whatever the guest
//! writes.

pub mod assemble;
pub mod log;

use std::collections::VecDeque;

/// The number of lines that [`Tail`] keeps.
pub const TAIL_LINES: usize = 50;
/// The longest line that it keeps, in characters.
const TAIL_WIDTH: usize = 400;

/// The last lines of a console.
#[derive(Clone, Debug, Default)]
pub struct Tail(VecDeque<String>);

impl Tail {
    /// Adds `line` and drops the oldest line.
    pub fn push(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        if self.0.len() == TAIL_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(TAIL_WIDTH).collect());
    }

    /// Returns the lines, the oldest first, with `partial` as the last one.
    pub fn lines(&self, partial: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.0.iter().cloned().collect();
        if !partial.trim().is_empty() {
            lines.push(partial.chars().take(TAIL_WIDTH).collect());
        }
        lines
    }
}

/// Returns the text of a line, without escape sequences and control characters,
/// and with invalid UTF-8 replaced.
pub fn clean(bytes: &[u8]) -> String {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    if bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let stripped = strip_ansi_escapes::strip(bytes);
    String::from_utf8_lossy(&stripped)
        .chars()
        .filter(|c| *c == '\t' || !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_escapes_do_not_hide_a_text() {
        for (bytes, text) in [
            (&b"\x1b[1m\x1b[37mpanic: x\x1b[0m"[..], "panic: x"),
            (b"\x1b[12;01Hmountroot> ", "mountroot> "),
            (b"\0\0pan\0ic: y\x07", "panic: y"),
            (b"\xff\xfeok", "\u{fffd}\u{fffd}ok"),
            (b"a\tb", "a\tb"),
            (b"", ""),
        ] {
            assert_eq!(clean(bytes), text, "{bytes:?}");
        }
    }

    #[test]
    fn the_tail_keeps_the_last_lines_only() {
        let mut tail = Tail::default();
        for n in 0..1000 {
            tail.push(&format!("{n} {}", "x".repeat(5000)));
        }
        let lines = tail.lines("db> ");
        assert_eq!(lines.len(), TAIL_LINES + 1);
        assert!(lines[0].starts_with("950 ") && lines[0].len() <= TAIL_WIDTH);
        assert_eq!(lines[TAIL_LINES], "db> ");
    }
}

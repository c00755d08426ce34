//! Lines out of bytes.

use alloc::string::String;
use alloc::vec::Vec;

/// Longest line, bytes; the rest of a longer one is dropped.
pub const LONGEST_LINE: usize = 4096;

/// Cuts bytes into lines, of limited memory whatever comes.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
    cut: bool,
}

impl Lines {
    /// No bytes yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            begun: Vec::new(),
            cut: false,
        }
    }

    /// Takes bytes and hands each line that they complete to `each`, without
    /// its end (`\n` or `\r\n`). What is not UTF-8 is shown as well as it can
    /// be; of a line that was cut, `...` is the end.
    pub fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' => each(&self.finished()),
                byte if self.begun.len() < LONGEST_LINE => self.begun.push(*byte),
                _ => self.cut = true,
            }
        }
    }

    /// The line that was begun and not ended, if there is one.
    pub fn rest(&mut self) -> Option<String> {
        (!self.begun.is_empty()).then(|| self.finished())
    }

    fn finished(&mut self) -> String {
        let bytes = core::mem::take(&mut self.begun);
        let line = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let mut line = String::from_utf8_lossy(line).into_owned();
        if core::mem::take(&mut self.cut) {
            line.push_str("...");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use alloc::string::ToString;

    fn cut(pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut lines = Lines::new();
        let mut seen = Vec::new();
        for piece in pieces {
            lines.take(piece, |line| seen.push(line.to_string()));
        }
        (seen, lines.rest())
    }

    #[test]
    fn bytes_are_cut_into_lines() {
        for (pieces, lines, rest) in [
            (&[&b""[..]][..], &[][..], None),
            (&[b"a\nb\n"], &["a", "b"], None),
            (&[b"a", b"b\r", b"\n\nc"], &["ab", ""], Some("c")),
            (&[b"\xc3", b"\xa9\n\xff\n"], &["é", "\u{fffd}"], None),
            (&[b"a\rb\n"], &["a\rb"], None),
        ] {
            let (seen, left) = cut(pieces);
            assert_eq!(seen, lines);
            assert_eq!(left.as_deref(), rest);
        }
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = "x".repeat(LONGEST_LINE * 3) + "\nnext\n";
        let (seen, _) = cut(&[long.as_bytes()]);
        assert_eq!(seen[0], "x".repeat(LONGEST_LINE) + "...");
        assert_eq!(seen[1..], ["next"]);
    }
}

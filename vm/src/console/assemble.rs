//! Assembles lines from chunks, in bounded memory.

/// What happens to a line that is longer than [`MAX_LINE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlong {
    /// It is passed on in pieces that overlap by [`OVERLAP`] bytes, so that one
    /// piece contains a text that crosses a cut. Consoles use this.
    Split,
    /// Its beginning is passed on and marked, and the rest is dropped, so that
    /// no part of it looks like a line of its own. The result channel uses
    /// this.
    Truncate,
}

/// The longest line that is passed on, in bytes.
pub const MAX_LINE: usize = 4096;
/// The overlap of two pieces of a line, in bytes. It is longer than any text
/// that is searched for.
pub const OVERLAP: usize = 128;

/// A line, without its line ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The bytes of the line.
    pub bytes: &'a [u8],
    /// Whether the line was longer than these bytes.
    pub truncated: bool,
}

/// Assembles lines from chunks that are cut anywhere.
#[derive(Debug)]
pub struct Assembler {
    overlong: Overlong,
    line: Vec<u8>,
    dropping: bool,
}

impl Assembler {
    /// Returns an empty assembler.
    pub fn new(overlong: Overlong) -> Self {
        Self {
            overlong,
            line: Vec::new(),
            dropping: false,
        }
    }

    /// Adds a chunk and calls `each` for every line that it completes.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(Line<'_>)) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.take(text, &mut each);
            if ends {
                let bytes = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
                let truncated = std::mem::take(&mut self.dropping);
                each(Line { bytes, truncated });
                self.line.clear();
            }
        }
    }

    fn take(&mut self, mut text: &[u8], each: &mut impl FnMut(Line<'_>)) {
        while self.line.len() + text.len() > MAX_LINE {
            let (fits, rest) = text.split_at(MAX_LINE - self.line.len());
            self.line.extend_from_slice(fits);
            match self.overlong {
                Overlong::Truncate => {
                    self.dropping = true;
                    return;
                }
                Overlong::Split => {
                    each(Line {
                        bytes: &self.line,
                        truncated: true,
                    });
                    self.line.drain(..MAX_LINE - OVERLAP);
                    text = rest;
                }
            }
        }
        self.line.extend_from_slice(text);
    }

    /// Returns the line that is not complete yet, such as a prompt.
    pub fn partial(&self) -> &[u8] {
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(overlong: Overlong, chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut assembler = Assembler::new(overlong);
        let mut lines = Vec::new();
        for chunk in chunks {
            assembler.feed(chunk, |line| {
                lines.push((
                    String::from_utf8_lossy(line.bytes).into_owned(),
                    line.truncated,
                ));
            });
        }
        lines
    }

    #[test]
    fn a_megabyte_of_result_line_is_one_truncated_line() {
        // Were it cut into pieces, one of them could read `ok 1 a/b`.
        let mut flood = b"x".repeat(MAX_LINE);
        flood.extend(b"ok 1 a/b".repeat(100_000));
        let got = lines(Overlong::Truncate, &[&flood, b"\nok 1 a/b\n"]);
        assert_eq!(got.len(), 2);
        assert!(got[0].1 && got[0].0.len() == MAX_LINE);
        assert_eq!(got[1], ("ok 1 a/b".into(), false));
    }

    #[test]
    fn a_signature_across_a_cut_is_in_one_piece_or_the_other() {
        for shift in 0..OVERLAP {
            let mut text = b"x".repeat(MAX_LINE - shift);
            text.extend(b" Fatal trap 12: page fault while in kernel mode\n");
            let got = lines(Overlong::Split, &[&text]);
            assert!(
                got.iter().any(|(line, _)| line.contains("Fatal trap 12")),
                "{shift}"
            );
        }
    }

    #[test]
    fn memory_stays_bounded_whatever_is_fed() {
        for overlong in [Overlong::Split, Overlong::Truncate] {
            let mut assembler = Assembler::new(overlong);
            let chunk = b"y".repeat(60_000);
            for _ in 0..100 {
                assembler.feed(&chunk, |line| assert!(line.bytes.len() <= MAX_LINE));
                assert!(assembler.partial().len() <= MAX_LINE);
            }
            assert!(assembler.line.capacity() <= 2 * MAX_LINE + 60_000);
        }
    }

    #[test]
    fn carriage_returns_go_and_prompts_wait() {
        let mut assembler = Assembler::new(Overlong::Split);
        let mut count = 0;
        assembler.feed(b"one\r\n\r\ndb> ", |_| count += 1);
        assert_eq!((count, assembler.partial()), (2, &b"db> "[..]));
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_chunks_are_cut(
            text in "([ -~]{0,20}\n){0,20}", cuts in proptest::collection::vec(0usize..400, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut at = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text.as_bytes()[at..cut]);
                at = cut;
            }
            let whole = lines(Overlong::Split, &[text.as_bytes()]);
            prop_assert_eq!(lines(Overlong::Split, &chunks), whole);
        }
    }
}

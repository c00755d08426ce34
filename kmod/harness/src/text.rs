//! Text of a fixed size, and text that fits on a line.

use arrayvec::ArrayString;
use core::fmt::{self, Write};

/// At most `N` bytes of text. Writing never fails: text that does not fit is
/// replaced by a mark (`...`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<const N: usize> {
    kept: ArrayString<N>,
    cut: bool,
}

impl<const N: usize> Text<N> {
    /// Returns an empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            kept: ArrayString::new_const(),
            cut: false,
        }
    }

    /// Returns the displayed `value`, cut off if it does not fit.
    #[must_use]
    pub fn of(value: impl fmt::Display) -> Self {
        let mut text = Self::new();
        // Only a failing Display can fail here. What it has written is kept.
        let _ = write!(text, "{value}");
        text
    }

    /// Returns the text without the mark.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.kept
    }

    /// Returns whether the text is cut off.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Removes the text and the mark.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.cut = false;
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let fits = text.floor_char_boundary(self.kept.remaining_capacity());
        let (head, tail) = text.split_at(fits);
        self.cut = !tail.is_empty();
        self.kept.try_push_str(head).map_err(|_| fmt::Error)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.kept)?;
        if self.cut {
            out.write_str("...")?;
        }
        Ok(())
    }
}

/// A filter that makes text fit on a line of `out`: newlines become `newline`
/// if more text follows, and are dropped otherwise; `\r` is dropped; a tab
/// becomes a blank; other control characters become `?`.
pub struct Clean<'a> {
    out: &'a mut dyn Write,
    newline: &'a str,
    pending: bool,
}

impl<'a> Clean<'a> {
    /// Returns a filter before `out`.
    pub fn new(out: &'a mut dyn Write, newline: &'a str) -> Self {
        Self {
            out,
            newline,
            pending: false,
        }
    }
}

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        match c {
            '\n' => self.pending = true,
            '\r' => {}
            _ => {
                if core::mem::take(&mut self.pending) {
                    self.out.write_str(self.newline)?;
                }
                self.out.write_char(match c {
                    '\t' => ' ',
                    c if c.is_control() => '?',
                    c => c,
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(Text::<4>::of("abcde").to_string(), "abcd...");
        assert_eq!(Text::<4>::of("abcé").to_string(), "abc...");
        assert_eq!(Text::<0>::of("a").to_string(), "...");
        assert_eq!(Text::<4>::of("abcd").to_string(), "abcd");
        assert_eq!(Text::<0>::of("").to_string(), "");
        let mut text = Text::<4>::of("abcé");
        assert!(text.is_cut());
        // Nothing is put after a gap.
        assert!(text.write_str("d").is_ok());
        assert_eq!(text.as_str(), "abc");
        text.clear();
        assert_eq!(text.to_string(), "");
    }

    #[test]
    fn text_for_a_line_is_cleaned() {
        for (raw, cleaned) in [
            ("", ""),
            ("a\nb", "a|b"),
            ("a\n", "a"),
            ("\n\n", ""),
            ("a\r\n\r\nb\r\n", "a|b"),
            ("\na", "|a"),
            ("a\tb\0c\u{1b}[m\u{7f}\u{85}", "a b?c?[m??"),
            ("é#", "é#"),
        ] {
            let mut out = String::new();
            assert!(Clean::new(&mut out, "|").write_str(raw).is_ok());
            assert_eq!(out, cleaned, "{raw:?}");
        }
    }
}

//! A short text with headings, items and blocks. Its words are kdk's own, or
//! come from others: patches, guests, hosts. A format may interpret only kdk's
//! own, whatever the others contain.

use kdk_report::html::visible;

/// The most lines of a comment.
pub const LINES: usize = 40;

/// The most characters of another's text in one place.
const WIDTH: usize = 100;

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words of kdk.
    Own(String),
    /// A word of kdk that stands out.
    Strong(&'static str),
    /// The text of others.
    Foreign(Foreign),
    /// A link, named by a word of kdk. The address has no other characters than
    /// those of [`is_address`].
    Link(&'static str, String),
}

/// The text of others, on one line and without characters that cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign(String);

impl Foreign {
    /// Returns the text, cut to a width that fits on a line.
    pub fn new(text: &str) -> Self {
        let plain = visible(&text.replace(is_break, " "));
        let plain = plain.replace(is_hidden, "\u{fffd}");
        let plain = plain.trim();
        let mut cut: String = plain.chars().take(WIDTH).collect();
        if cut.len() < plain.len() {
            cut.push('\u{2026}');
        }
        if cut.is_empty() {
            cut.push_str("(empty)");
        }
        Self(cut)
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Returns whether a character cannot be seen: soft hyphens, marks of the
/// writing direction, joiners, fillers, variation selectors, tags.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}')
}

/// Returns whether `address` is the address of a page, without characters that
/// end it in one of the formats.
pub fn is_address(address: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&*+,;=%".contains(c);
    let has_scheme = ["https://", "http://"]
        .iter()
        .any(|scheme| address.starts_with(scheme));
    has_scheme && address.chars().all(plain)
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// An empty line.
    Gap,
    /// A heading of kdk's.
    Heading(String),
    /// A line of text.
    Line(Vec<Piece>),
    /// An item of a list.
    Item(Vec<Piece>),
    /// Lines of others, as they are.
    Block(Vec<Foreign>),
}

/// A comment before it has a format.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// The title: words of kdk.
    pub title: String,
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// How a format spells the parts of a document.
pub trait Markup {
    /// Returns a word that stands out.
    fn strong(&self, word: &str) -> String;
    /// Returns the text of others.
    fn foreign(&self, text: &Foreign) -> String;
    /// Returns a link.
    fn link(&self, name: &str, address: &str) -> String;
    /// Returns the title.
    fn title(&self, text: &str) -> Vec<String>;
    /// Returns a heading.
    fn heading(&self, text: &str) -> String;
    /// Returns a block: at most two lines more than it has.
    fn block(&self, lines: &[Foreign]) -> Vec<String>;
}

impl Document {
    /// Returns the document in a format.
    pub fn render(&self, markup: &dyn Markup) -> String {
        let mut lines = markup.title(&self.title);
        for part in &self.parts {
            match part {
                Part::Gap => lines.push(String::new()),
                Part::Heading(text) => lines.push(markup.heading(text)),
                Part::Line(pieces) => lines.push(line(markup, pieces)),
                Part::Item(pieces) => lines.push(format!("- {}", line(markup, pieces))),
                Part::Block(block) => lines.extend(markup.block(block)),
            }
        }
        let mut text = lines.join("\n");
        text.push('\n');
        text
    }
}

fn line(markup: &dyn Markup, pieces: &[Piece]) -> String {
    let each = pieces.iter().map(|piece| match piece {
        Piece::Own(text) => text.clone(),
        Piece::Strong(word) => markup.strong(word),
        Piece::Foreign(text) => markup.foreign(text),
        Piece::Link(name, address) => markup.link(name, address),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_others_is_one_visible_line() {
        for (text, want) in [
            ("plain ünï ✓", "plain ünï ✓"),
            (" a\r\nb\tc\u{2028}d ", "a  b c d"),
            (
                "\u{1b}[31m\u{202e}x\u{200b}y\u{1}",
                "\u{fffd}[31m\u{fffd}x\u{fffd}y\u{fffd}",
            ),
            ("", "(empty)"),
            ("\n", "(empty)"),
        ] {
            assert_eq!(Foreign::new(text).text(), want, "{text:?}");
        }
        let long = "é".repeat(WIDTH + 1);
        assert_eq!(Foreign::new(&long).text(), "é".repeat(WIDTH) + "…");
        assert_eq!(Foreign::new(&long[2..]).text(), "é".repeat(WIDTH));
    }

    #[test]
    fn what_cannot_be_seen_is_replaced() {
        let hidden = "\u{ad}\u{61c}\u{200b}\u{202e}\u{2066}\u{feff}\u{fe0f}\u{e0041}";
        for c in hidden.chars() {
            let text = Foreign::new(&format!("a{c}b"));
            assert_eq!(text.text(), "a\u{fffd}b", "{c:?}");
        }
        assert_eq!(
            Foreign::new("na\u{ef}ve \u{4e2d}").text(),
            "na\u{ef}ve \u{4e2d}"
        );
    }

    #[test]
    fn what_an_address_may_have() {
        for (address, want) in [
            ("https://ci.example.org/kdk/12", true),
            ("http://h:8080/a%20b?x=1#y", true),
            ("javascript:alert(1)", false),
            ("https://h/a b", false),
            ("https://h/a)b", false),
            ("https://h/<a>", false),
            ("https://h/]]", false),
            ("https://h/\n", false),
            ("/tmp/results", false),
        ] {
            assert_eq!(is_address(address), want, "{address}");
        }
    }
}

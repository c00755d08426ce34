//! What one line of a KTAP document is.

use super::Directive;

/// Longest line that is looked at, bytes; the rest of a longer one is dropped
/// before it gets here.
pub const MAX_LINE: usize = 4096;

/// A tab counts as that many columns, as Linux's kunit parser has it.
const TAB: usize = 8;

/// A line, its indentation taken off.
#[derive(Debug)]
pub struct Raw {
    /// The number of columns of white space before the text.
    pub indent: usize,
    text: String,
    /// Whether the line is intact: complete, valid UTF-8, no NUL.
    sound: bool,
}

/// The kind of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// An empty line.
    Empty,
    /// A version line, `KTAP version N`.
    Version(String),
    /// The header of subtests, `# Subtest: NAME`.
    Subtest(String),
    /// A plan, `1..N`: the line, and N if it is a number.
    Plan(String, Option<usize>),
    /// A result, `ok N NAME` or `not ok N NAME`.
    Result(ResultLine),
    /// A result without a number.
    Numberless(String),
    /// A result or plan line with damaged bytes.
    Damaged(String),
    /// An abort, `Bail out! why`.
    BailOut(String),
    /// A diagnostic, `# text`.
    Diagnostic(String),
    /// Any other line.
    Garbage,
}

/// The fields of a result line.
#[derive(Debug, PartialEq, Eq)]
pub struct ResultLine {
    /// Whether it says `ok`.
    pub ok: bool,
    /// The test's number.
    pub number: usize,
    /// The test's name, which may be empty.
    pub name: String,
    /// The directive, if it is a known one.
    pub directive: Option<Directive>,
    /// The text after the directive, or after the `#`.
    pub reason: String,
}

impl Raw {
    /// Removes the indentation and a carriage return at the end.
    pub fn new(bytes: &[u8], truncated: bool) -> Self {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let blanks = bytes.iter().take_while(|b| matches!(b, b' ' | b'\t'));
        let indent = blanks.clone().fold(0, |column, byte| match byte {
            b'\t' => (column / TAB + 1) * TAB,
            _ => column + 1,
        });
        let rest = &bytes[blanks.count()..];
        let sound = !truncated && !rest.contains(&0) && std::str::from_utf8(rest).is_ok();
        Self {
            indent,
            text: String::from_utf8_lossy(rest)
                .trim_end()
                .replace('\0', "\u{fffd}"),
            sound,
        }
    }

    /// Returns the kind of the line.
    pub fn kind(&self) -> Kind {
        let text = self.text.as_str();
        if text.is_empty() {
            return Kind::Empty;
        }
        if let Some(text) = text.strip_prefix('#') {
            let text = text.strip_prefix(' ').unwrap_or(text);
            return match text.strip_prefix("Subtest:") {
                Some(name) if self.sound => Kind::Subtest(name.trim().to_owned()),
                _ => Kind::Diagnostic(text.to_owned()),
            };
        }
        if let Some(why) = text.strip_prefix("Bail out!") {
            return Kind::BailOut(why.trim().to_owned());
        }
        let kind = version(text)
            .or_else(|| plan(text))
            .or_else(|| result(text))
            .unwrap_or(Kind::Garbage);
        match kind {
            Kind::Garbage => Kind::Garbage,
            _ if !self.sound => Kind::Damaged(text.chars().take(80).collect()),
            kind => kind,
        }
    }
}

fn version(text: &str) -> Option<Kind> {
    let version = text
        .strip_prefix("KTAP version")
        .or_else(|| text.strip_prefix("TAP version").map(|_| text))?;
    Some(Kind::Version(version.trim().to_owned()))
}

fn plan(text: &str) -> Option<Kind> {
    let (from, to) = text.split_once("..")?;
    if from.is_empty() || !from.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count = to.split([' ', '#']).next().unwrap_or_default();
    let plan = if from == "1" {
        count.parse().ok()
    } else {
        None
    };
    Some(Kind::Plan(text.to_owned(), plan))
}

fn result(text: &str) -> Option<Kind> {
    let (ok, rest) = match text.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return None; // "okay", "ok1"
    }
    let rest = rest.trim_start();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = rest.split_at(digits);
    let ends = rest.is_empty() || rest.starts_with([' ', '\t']);
    let Some(number) = number.parse().ok().filter(|_| ends) else {
        return Some(Kind::Numberless(text.to_owned()));
    };
    let (name, comment) = split_comment(rest);
    let name = name.trim();
    let name = match name.strip_prefix('-') {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => rest.trim(),
        _ => name,
    };
    let (directive, reason) = directive(comment.trim());
    Some(Kind::Result(ResultLine {
        ok,
        number,
        name: name.to_owned(),
        directive,
        reason: reason.to_owned(),
    }))
}

/// Splits at the `#` that starts the comment; a `#` inside of a word is part
/// of the name.
fn split_comment(text: &str) -> (&str, &str) {
    match text.find(" #").or_else(|| text.find("\t#")) {
        Some(at) => (&text[..at], &text[at + 2..]),
        None => (text, ""),
    }
}

fn directive(comment: &str) -> (Option<Directive>, &str) {
    let word = comment.split([' ', '\t', ':']).next().unwrap_or_default();
    let directive = match word.to_ascii_uppercase().as_str() {
        "SKIP" | "SKIPPED" => Directive::Skip,
        "XFAIL" | "TODO" => Directive::Xfail,
        "TIMEOUT" => Directive::Timeout,
        "ERROR" => Directive::Error,
        _ => return (None, comment),
    };
    let reason = comment[word.len()..].trim_start_matches([' ', '\t', ':', '-']);
    (Some(directive), reason)
}

//! What tests have noted for the host: lines `LABEL: KEY=VALUE ...` of their
//! detail. Pure.

use std::collections::BTreeMap;

/// The notes with this label.
pub fn notes<'a>(detail: &'a str, label: &'a str) -> impl Iterator<Item = Words<'a>> {
    detail
        .lines()
        .filter_map(move |line| line.strip_prefix(label)?.strip_prefix(": ").map(Words::of))
}

/// What `read` makes of the notes with this label, of which there has to be
/// one.
///
/// # Errors
/// `none` without such a note; else those of `read`.
pub fn all<T>(
    detail: &str,
    label: &str,
    none: &str,
    read: impl Fn(Words<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let all = notes(detail, label)
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    match all.is_empty() {
        true => Err(none.into()),
        false => Ok(all),
    }
}

/// `key=value ...`
pub struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    /// Those of a text.
    pub fn of(text: &'a str) -> Self {
        let words = text.split_whitespace();
        Self(words.filter_map(|word| word.split_once('=')).collect())
    }

    /// A word.
    pub fn text(&self, key: &str) -> Result<&'a str, String> {
        let value = self.0.get(key).copied();
        value.ok_or_else(|| format!("{key} was not noted"))
    }

    /// A word that is a number.
    pub fn number(&self, key: &str) -> Result<u64, String> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|_| format!("{key}={text} is no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_by_label_and_key() {
        let detail = "walk: size=8 kind=x\nwalker: size=9\nwalk: size=y\n";
        let found: Vec<_> = notes(detail, "walk")
            .map(|note| note.number("size"))
            .collect();
        assert_eq!(found, [Ok(8), Err("size=y is no number".to_owned())]);
        let first = notes(detail, "walk").next().unwrap();
        assert_eq!(first.text("kind"), Ok("x"));
        assert_eq!(first.text("more").unwrap_err(), "more was not noted");
    }
}

//! Normal forms of source text: two texts with the same normal form compile
//! to programs that behave in the same way.
//!
//! A normal form contains the tokens of a text and nothing else: no comments,
//! white space, line numbers or attributes of lints. Names that only one file
//! can refer to are numbered in the order of their first use, so a consistent
//! new name for one of them changes nothing. All other names stay as they are,
//! because they may refer to something outside of the file.

pub mod c;
pub mod rust;
pub mod toml;

use std::collections::{BTreeMap, BTreeSet};

/// A token of a normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name, which may be private to its file.
    Name(String),
    /// A literal, a sign or a delimiter.
    Text(String),
}

/// Renders `tokens`, with numbers in place of the names in `private`.
fn render(tokens: &[Token], private: &BTreeSet<String>) -> String {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Name(name) if private.contains(name) => {
                let next = numbers.len();
                let number = numbers.entry(name).or_insert(next);
                // No source text contains this character outside of literals.
                text.push_str(&format!("\u{1}{number}"));
            }
            Token::Name(other) | Token::Text(other) => text.push_str(other),
        }
        text.push('\n');
    }
    text
}

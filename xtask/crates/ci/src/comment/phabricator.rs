//! Remarkup, the markup of Phabricator. The text of others is monospaced or a
//! code block; what would end these is replaced.

use super::document::{Foreign, Markup};

/// The format of Phabricator.
pub struct Remarkup;

impl Markup for Remarkup {
    fn strong(&self, word: &str) -> String {
        format!("**{word}**")
    }

    fn foreign(&self, text: &Foreign) -> String {
        format!("`{}`", tame(text))
    }

    fn link(&self, name: &str, address: &str) -> String {
        format!("[[ {address} | {name} ]]")
    }

    fn title(&self, text: &str) -> Vec<String> {
        vec![format!("== {text}")]
    }

    fn heading(&self, text: &str) -> String {
        format!("**{text}**")
    }

    fn block(&self, lines: &[Foreign]) -> Vec<String> {
        // The first line has the options, so that no other is read as options.
        let mut block = vec!["```lang=text".to_owned()];
        block.extend(lines.iter().map(tame));
        block.push("```".to_owned());
        block
    }
}

/// Replaces backticks, and the braces that Remarkup evaluates before all else.
fn tame(text: &Foreign) -> String {
    text.text().replace('`', "'").replace("{{{", "{{ {")
}

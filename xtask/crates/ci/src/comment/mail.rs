//! A message for a mailing list, in plain text. Its headers have no text of
//! others.

use super::document::{Document, Foreign, Markup};

/// Returns the message, with the headers that depend on its content.
pub fn message(document: &Document) -> String {
    let ascii = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
    let subject: String = document.title.chars().map(ascii).collect();
    let body = document.render(&Plain);
    format!(
        "Subject: [kdk] {subject}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n{body}"
    )
}

/// The format of the body.
struct Plain;

impl Markup for Plain {
    fn strong(&self, word: &str) -> String {
        word.to_owned()
    }

    fn foreign(&self, text: &Foreign) -> String {
        text.text().to_owned()
    }

    fn link(&self, _: &str, address: &str) -> String {
        address.to_owned()
    }

    fn title(&self, text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    fn heading(&self, text: &str) -> String {
        format!("{text}:")
    }

    fn block(&self, lines: &[Foreign]) -> Vec<String> {
        lines
            .iter()
            .map(|line| format!("    {}", line.text()))
            .collect()
    }
}

//! Markdown as GitHub has it. The text of others is code: nothing in it is
//! markup, HTML, a mention or a reference.

use super::document::{Foreign, Markup};

/// The format of GitHub.
pub struct Markdown;

impl Markup for Markdown {
    fn strong(&self, word: &str) -> String {
        format!("**{word}**")
    }

    fn foreign(&self, text: &Foreign) -> String {
        let text = text.text();
        let fence = "`".repeat(longest_run(text) + 1);
        // The spaces are not part of the code.
        let space = if text.starts_with('`') || text.ends_with('`') {
            " "
        } else {
            ""
        };
        format!("{fence}{space}{text}{space}{fence}")
    }

    fn link(&self, name: &str, address: &str) -> String {
        format!("[{name}](<{address}>)")
    }

    fn title(&self, text: &str) -> Vec<String> {
        vec![format!("### {text}")]
    }

    fn heading(&self, text: &str) -> String {
        format!("**{text}**")
    }

    fn block(&self, lines: &[Foreign]) -> Vec<String> {
        let longest = lines.iter().map(|line| longest_run(line.text())).max();
        let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
        let mut block = vec![format!("{fence}text")];
        block.extend(lines.iter().map(|line| line.text().to_owned()));
        block.push(fence);
        block
    }
}

/// Returns the length of the longest run of backticks.
fn longest_run(text: &str) -> usize {
    let runs = text.split(|c| c != '`');
    runs.map(str::len).max().unwrap_or(0)
}

//! Checks the body of a message.

use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use crate::lint::trailers;

/// The number of columns of a line.
const LIMIT: usize = 72;

/// Returns the remarks about `body`.
pub fn remarks(body: &str) -> Vec<Remark> {
    let trailers = trailers::first_line(body);
    let prose = || {
        body.lines()
            .enumerate()
            .take(trailers.unwrap_or(usize::MAX))
    };
    let mut found = Vec::new();
    if prose().all(|(_, line)| line.trim().is_empty()) {
        found.push(Remark::warning(
            Check::Body,
            At::Subject,
            "the message does not say why the change is needed",
            "describe the problem, and why this fixes it",
        ));
    }
    for (n, line) in prose() {
        let columns = columns(line);
        if columns > LIMIT && !is_quoted(line) && !is_one_word(line) {
            found.push(Remark::error(
                Check::Body,
                At::Body(n),
                format!("line is {columns} columns, limit {LIMIT}"),
                "fold the text; lines that must stay long are indented by four spaces or a tab",
            ));
        }
    }
    let first = trailers.unwrap_or_default();
    let above = first.checked_sub(1).and_then(|n| body.lines().nth(n));
    if above.is_some_and(|line| !line.trim().is_empty()) {
        found.push(Remark::error(
            Check::Body,
            At::Body(first),
            "no blank line above the trailers",
            "put a blank line above the first of them",
        ));
    }
    found
}

/// Counts columns, with tabs of eight.
fn columns(line: &str) -> usize {
    line.chars().fold(0, |at, c| match c {
        '\t' => (at / 8 + 1) * 8,
        _ => at + 1,
    })
}

/// Returns whether a line is output or code, which must not be folded.
fn is_quoted(line: &str) -> bool {
    line.starts_with("    ") || line.starts_with('\t') || line.starts_with('>')
}

/// Returns whether a line is one long word, such as a URL, perhaps as an item
/// of a list.
fn is_one_word(line: &str) -> bool {
    let text = line.trim_start_matches([' ', '-', '*']);
    !text.trim_end().contains([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    #[test]
    fn bodies() {
        let line = |n: usize| format!("{} x", "a".repeat(n - 2));
        let url = format!("- https://{}", "a".repeat(80));
        for (body, want) in [
            (String::from("Because."), vec![]),
            (line(72), vec![]),
            (line(73), vec!["line is 73 columns, limit 72"]),
            (format!("é{}", line(71)), vec![]),
            (
                format!("a\tb{}", line(64)),
                vec!["line is 73 columns, limit 72"],
            ),
            (format!("    {}", line(90)), vec![]),
            (format!("\t{}", line(90)), vec![]),
            (format!("See\n{url}\n"), vec![]),
            (format!("Why.\n\nSponsored by:\tThe {}", line(80)), vec![]),
            (
                "Why.\nPR:\t\t1\n".into(),
                vec!["no blank line above the trailers"],
            ),
            ("Why.\n\nPR:\t\t1\n".into(), vec![]),
            (
                String::new(),
                vec!["the message does not say why the change is needed"],
            ),
            (
                "PR:\t\t1".into(),
                vec!["the message does not say why the change is needed"],
            ),
        ] {
            assert_eq!(texts(&remarks(&body)), want, "{body}");
        }
    }
}

//! White space that no reader sees, and that makes diffs longer.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};

use crate::{Finding, Repo, Source};

/// Files whose white space a tool or a format decides: mails and their context
/// lines, snapshots, charts.
const NOT_OURS: [&str; 4] = ["patch", "diff", "snap", "svg"];

/// Finds white space at the end of lines, tabs in Rust, carriage returns, and
/// files that do not end with exactly one newline.
pub fn check(repo: &Repo) -> Vec<Finding> {
    repo.sources
        .iter()
        .filter(|source| !source.is(&NOT_OURS))
        .flat_map(in_file)
        .collect()
}

fn in_file(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |line, what: &str, remedy: &str| {
        found.push(Finding::new(&source.path, line, what, remedy));
    };
    let quoted = match source.is(&["rs"]) {
        true => quoted_lines(&source.text),
        false => BTreeSet::new(),
    };
    let mut last = 1;
    for (at, line) in source
        .text
        .split('\n')
        .zip(1..)
        .map(|(line, at)| (at, line))
    {
        if !line.is_empty() {
            last = at;
        }
        if line.ends_with('\r') {
            add(at, "a carriage return", "end lines with a newline only");
        } else if line.ends_with([' ', '\t']) {
            add(at, "white space at the end of the line", "remove it");
        }
        if source.is(&["rs"]) && line.contains('\t') && !quoted.contains(&at) {
            add(at, "a tab", "use spaces, or `\\t` in a string");
        }
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        add(last, "no newline at the end of the file", "add one");
    } else if source.text.ends_with("\n\n") {
        add(
            last + 1,
            "empty lines at the end of the file",
            "remove them",
        );
    }
    found
}

/// Returns the lines of literals that have several: they may quote C or a
/// Makefile.
fn quoted_lines(rust: &str) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    // What does not parse is found by the check of doc comments.
    let mut streams = Vec::from_iter(rust.parse::<TokenStream>());
    while let Some(stream) = streams.pop() {
        for token in stream {
            match token {
                TokenTree::Group(group) => streams.push(group.stream()),
                TokenTree::Literal(literal) => {
                    let (start, end) = (literal.span().start().line, literal.span().end().line);
                    if start < end {
                        lines.extend(start..=end);
                    }
                }
                _ => {}
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_no_reader_sees() {
        let table = [
            ("a.rs", "fn f() {}\n", None),
            ("a.rs", "", None),
            (
                "a.rs",
                "a\nb \n",
                Some((2, "white space at the end of the line")),
            ),
            ("a.rs", "\ta\n", Some((1, "a tab"))),
            ("a.rs", "f(\"a\n\tb\")\n", None),
            ("a.rs", "f(\"\ta\")\n", Some((1, "a tab"))),
            ("a.c", "\ta\n", None),
            (
                "a.c",
                "\ta\t\n",
                Some((1, "white space at the end of the line")),
            ),
            ("a.md", "a\r\n", Some((1, "a carriage return"))),
            (
                "a.md",
                "a\nb",
                Some((2, "no newline at the end of the file")),
            ),
            (
                "a.md",
                "a\nb\n\n\n",
                Some((3, "empty lines at the end of the file")),
            ),
            ("a.patch", "-- \n", None),
        ];
        for (path, text, want) in table {
            let found = check(&Repo::of(&[(path, text)]));
            let got: Vec<(usize, &str)> = found.iter().map(|f| (f.line, f.what.as_str())).collect();
            assert_eq!(got, Vec::from_iter(want), "{path}: {text:?}");
        }
    }
}

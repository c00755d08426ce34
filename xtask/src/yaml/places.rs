//! Where the parts of a YAML file stand in its text: serde gives values
//! without their places, and a message about a value must show it.

use saphyr::{LoadableYamlNode, MarkedYaml, Marker};

/// One step from a value to a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The value of a key.
    Key(&'a str),
    /// An item of a list.
    Item(usize),
}

/// The bytes (offset and length) of the part of `text` that `path` leads to;
/// of the last part on the way that is there.
pub fn span(text: &str, path: &[Step<'_>]) -> (usize, usize) {
    let documents = MarkedYaml::load_from_str(text).unwrap_or_default();
    let Some(mut node) = documents.first() else {
        return (0, 0);
    };
    let mut found = (0, 0);
    for step in path {
        let next = match step {
            Step::Key(key) => node.data.as_mapping_get(key),
            Step::Item(n) => node.data.as_sequence().and_then(|items| items.get(*n)),
        };
        let Some(next) = next else { break };
        node = next;
        let start = offset(text, node.span.start);
        let rest = &text[start..];
        // A list or a map shows by its first line.
        let end = match node.data.is_sequence() || node.data.is_mapping() {
            true => rest.lines().next().map_or(0, str::len),
            false => offset(text, node.span.end).saturating_sub(start),
        };
        found = (start, rest.get(..end).unwrap_or(rest).trim_end().len());
    }
    found
}

/// Markers count characters, from line 1 and column 0.
fn offset(text: &str, marker: Marker) -> usize {
    let line: usize = text
        .split_inclusive('\n')
        .take(marker.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let rest = text.get(line..).unwrap_or_default();
    let column = rest.char_indices().nth(marker.col());
    line + column.map_or(rest.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let text = "a: 1\nb:\n  - {id: x, needs: [é, z]}\n  - id: 'y'\n    more: |\n      long\n      text\n";
        use Step::{Item, Key};
        let table: [(&[Step<'_>], &str); 7] = [
            (&[Key("a")], "1"),
            (&[Key("b"), Item(0), Key("id")], "x"),
            (&[Key("b"), Item(0), Key("needs"), Item(1)], "z"),
            (&[Key("b"), Item(1), Key("id")], "'y'"),
            (&[Key("b"), Item(1), Key("none")], "id: 'y'"),
            (&[Key("b"), Item(0)], "{id: x, needs: [é, z]}"),
            (&[], ""),
        ];
        for (path, want) in table {
            let (start, len) = span(text, path);
            assert_eq!(&text[start..start + len], want, "{path:?}");
        }
    }

    #[test]
    fn what_is_no_yaml_has_no_places() {
        for text in ["", "a: [", "\t", "a: &x *x", "- \u{feff}", "é: é\n\0"] {
            let (start, len) = span(text, &[Step::Key("a"), Step::Item(3)]);
            assert!(text.get(start..start + len).is_some(), "{text:?}");
        }
    }
}

//! Where the parts of a YAML file stand in its text: serde gives values
//! without their places, and a message about a value must show it.

use saphyr::{LoadableYamlNode, MarkedYaml, Marker};

/// One step from a value to a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathSegment<'a> {
    /// The value of a key.
    Key(&'a str),
    /// An item of a list.
    Item(usize),
}

/// Returns the bytes (offset and length) of the part of `text` that `path`
/// leads to; of the last part on the way that is there.
pub fn span(text: &str, path: &[PathSegment<'_>]) -> (usize, usize) {
    let documents = MarkedYaml::load_from_str(text).unwrap_or_default();
    let Some(mut node) = documents.first() else {
        return (0, 0);
    };
    let mut found = (0, 0);
    for step in path {
        let next = match step {
            PathSegment::Key(key) => node.data.as_mapping_get(key),
            PathSegment::Item(n) => node.data.as_sequence().and_then(|items| items.get(*n)),
        };
        let Some(next) = next else { break };
        node = next;
        let start = offset(text, node.span.start);
        let rest = &text[start..];
        let mut end = offset(text, node.span.end).saturating_sub(start);
        // A list or a map shows by its first line. Where it has brackets, the
        // last one is not in its span.
        if node.data.is_sequence() || node.data.is_mapping() {
            let is_closed = rest.starts_with(['[', '{']);
            let line = rest.lines().next().map_or(0, str::len);
            end = (end + usize::from(is_closed)).min(line);
        }
        found = (start, rest.get(..end).unwrap_or(rest).trim_end().len());
    }
    found
}

/// Like [`span`], of the last key itself and not of its value.
pub fn key(text: &str, path: &[PathSegment<'_>]) -> (usize, usize) {
    let value = span(text, path);
    let Some((PathSegment::Key(name), above)) = path.split_last() else {
        return value;
    };
    let documents = MarkedYaml::load_from_str(text).unwrap_or_default();
    let node = above.iter().try_fold(documents.first(), |node, step| {
        let data = &node?.data;
        Some(match step {
            PathSegment::Key(key) => data.as_mapping_get(key),
            PathSegment::Item(n) => data.as_sequence().and_then(|items| items.get(*n)),
        })
    });
    let map = node.flatten().and_then(|node| node.data.as_mapping());
    let key = map.and_then(|map| map.keys().find(|key| key.data.as_str() == Some(name)));
    key.map_or(value, |key| {
        let start = offset(text, key.span.start);
        (start, offset(text, key.span.end).saturating_sub(start))
    })
}

/// Returns the second of two keys that are the same, if there is one: in one
/// map, a key stands once.
pub fn duplicate(text: &str) -> Option<(usize, usize)> {
    let error = MarkedYaml::load_from_str(text).err()?;
    error.info().contains("duplicated key").then(|| {
        let start = offset(text, *error.marker());
        let rest = &text[start..];
        (start, rest.find([':', '\n']).unwrap_or(rest.len()))
    })
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
        use PathSegment::{Item, Key};
        let table: [(&[PathSegment<'_>], &str); 7] = [
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
    fn keys_are_found() {
        let text = "a: 1\nb:\n  - {id: x, \"long key\": 2}\n";
        use PathSegment::{Item, Key};
        let table: [(&[PathSegment<'_>], &str); 4] = [
            (&[Key("a")], "a"),
            (&[Key("b"), Item(0), Key("id")], "id"),
            (&[Key("b"), Item(0), Key("long key")], "\"long key\""),
            (&[Key("b"), Item(0)], "{id: x, \"long key\": 2}"),
        ];
        for (path, want) in table {
            let (start, len) = key(text, path);
            assert_eq!(&text[start..start + len], want, "{path:?}");
        }
    }

    #[test]
    fn duplicates_are_found() {
        for (text, want) in [
            ("a: 1\nb: 2\na: 3\n", Some(10)),
            ("a: 1\nb:\n  - {id: x, a: 1, id: y}\n", Some(26)),
            ("a: 1\nb: {a: 1}\n", None),
            ("a: [", None),
        ] {
            assert_eq!(duplicate(text).map(|(at, _)| at), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_yaml_has_no_places() {
        for text in ["", "a: [", "\t", "a: &x *x", "- \u{feff}", "é: é\n\0"] {
            let (start, len) = span(text, &[PathSegment::Key("a"), PathSegment::Item(3)]);
            assert!(text.get(start..start + len).is_some(), "{text:?}");
        }
    }
}

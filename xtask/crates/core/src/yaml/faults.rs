//! Finds all errors in a YAML text of a known shape. serde stops at the first
//! error; this module removes the wrong part and reads the rest again.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use serde_yaml::Value;

use crate::yaml::places::{self, PathSegment};
use crate::yaml::{TOO_DEEP, closest, message, too_deep};

/// One error in a YAML text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The description of the error.
    pub text: String,
    /// The values that are accepted there, if they are known.
    pub help: Option<String>,
    /// The bytes in the text: offset and length.
    pub span: (usize, usize),
}

/// Parses `text`, or returns all errors in it.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Fault>> {
    if let Some(line) = too_deep(text) {
        let start = text.lines().take(line - 1).map(|line| line.len() + 1).sum();
        return Err(vec![Fault {
            text: TOO_DEEP.into(),
            help: None,
            span: (start, 0),
        }]);
    }
    let first = match serde_yaml::from_str(text) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let all = match serde_yaml::from_str::<Value>(text) {
        Ok(value) => shape::<T>(text, value),
        Err(_) => Vec::new(),
    };
    if !all.is_empty() {
        return Err(all);
    }
    if let Some((at, len)) = places::duplicate(text) {
        return Err(vec![Fault {
            text: format!("duplicate key '{}'", &text[at..at + len]),
            help: Some("remove one of the two keys; the rest of the file was not checked".into()),
            span: (at, len),
        }]);
    }
    let place = first.location().map_or(text.len(), |place| place.index());
    let place = (0..=place.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    let rest = text.get(place..).unwrap_or_default();
    Err(vec![Fault {
        text: format!("cannot be read: {}", message(&first)),
        help: None,
        span: (place, rest.find([':', '\n']).unwrap_or(rest.len())),
    }])
}

/// A step from a value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Key(String),
    Item(usize),
}

fn shape<T: DeserializeOwned>(text: &str, mut value: Value) -> Vec<Fault> {
    let mut found = Vec::new();
    // The parts that were removed, by their places in the text.
    let mut gone: BTreeSet<Vec<Part>> = BTreeSet::new();
    while let Err(error) = serde_path_to_error::deserialize::<_, T>(value.clone()) {
        let here = parts(error.path());
        let there = original(&gone, &here);
        let said = error.inner().to_string();
        let missing = quoted(&said, "missing field `").map(|field| {
            let mut path = there.clone();
            path.push(Part::Key(field.to_owned()));
            path
        });
        let follows = missing.is_some_and(|path| gone.contains(&path));
        if !follows && !is_plain_text(&value, &here, &said) {
            found.push(fault(text, &there, &said));
        }
        if !remove_part(&mut value, &here) || !gone.insert(there) {
            break;
        }
    }
    found
}

fn parts(path: &Path) -> Vec<Part> {
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Part::Item(*index)),
        Segment::Map { key } => Some(Part::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(part).collect()
}

/// Returns the place of the part at `path` before other parts were removed from
/// its lists.
fn original(gone: &BTreeSet<Vec<Part>>, path: &[Part]) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    for part in path {
        let Part::Item(n) = part else {
            out.push(part.clone());
            continue;
        };
        let (mut left, mut at) = (*n, 0);
        loop {
            out.push(Part::Item(at));
            if !gone.contains(&out) {
                if left == 0 {
                    break;
                }
                left -= 1;
            }
            out.pop();
            at += 1;
        }
    }
    out
}

/// Returns whether the error is a number or a boolean that YAML accepts as a
/// text, but serde does not once it is a value.
fn is_plain_text(value: &Value, path: &[Part], said: &str) -> bool {
    let plain = matches!(at(value, path), Some(Value::Number(_) | Value::Bool(_)));
    plain && said.contains("expected a string")
}

fn at<'a>(value: &'a Value, path: &[Part]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| match part {
        Part::Key(key) => value.get(key.as_str()),
        Part::Item(n) => value.get(*n),
    })
}

/// Removes the part at `path`. Returns false if there is no such part, or if it
/// is the whole value.
fn remove_part(value: &mut Value, path: &[Part]) -> bool {
    let Some((last, above)) = path.split_last() else {
        return false;
    };
    let mut value = value;
    for part in above {
        let next = match part {
            Part::Key(key) => value.get_mut(key.as_str()),
            Part::Item(n) => value.get_mut(*n),
        };
        let Some(next) = next else { return false };
        value = next;
    }
    match (value, last) {
        (Value::Mapping(map), Part::Key(key)) => map.remove(key.as_str()).is_some(),
        (Value::Sequence(list), Part::Item(n)) if *n < list.len() => {
            list.remove(*n);
            true
        }
        _ => false,
    }
}

fn quoted<'a>(said: &'a str, before: &str) -> Option<&'a str> {
    said.strip_prefix(before)?.split('`').next()
}

fn fault(text: &str, path: &[Part], said: &str) -> Fault {
    let steps: Vec<PathSegment<'_>> = path
        .iter()
        .map(|part| match part {
            Part::Key(key) => PathSegment::Key(key),
            Part::Item(n) => PathSegment::Item(*n),
        })
        .collect();
    let name = path.iter().rev().find_map(|part| match part {
        Part::Key(key) => Some(key.as_str()),
        Part::Item(_) => None,
    });
    let name = name.unwrap_or("the manifest");
    let expected: Vec<&str> = said.split('`').skip(3).step_by(2).collect();
    let one_of = (!expected.is_empty()).then(|| format!("use one of: {}", expected.join(", ")));
    if let Some(key) = quoted(said, "unknown field `") {
        let mut fault = Fault {
            text: format!("unknown key '{key}'"),
            help: one_of.or_else(|| Some("remove it: no key is allowed there".into())),
            span: places::key(text, &steps),
        };
        if let Some(meant) = closest(key, expected) {
            fault.text.push_str(&format!("; did you mean '{meant}'?"));
        }
        return fault;
    }
    let span = places::span(text, &steps);
    if let Some(key) = quoted(said, "missing field `") {
        return Fault {
            text: match path.last() {
                Some(Part::Item(n)) => format!("item {} of '{name}' has no key '{key}'", n + 1),
                _ => format!("{} has no key '{key}'", part_name(name)),
            },
            help: Some(format!("add `{key}:`")),
            span,
        };
    }
    if let Some(word) = quoted(said, "unknown variant `") {
        let mut text = format!("'{name}' cannot be '{word}'");
        if let Some(meant) = closest(word, expected) {
            text.push_str(&format!("; did you mean '{meant}'?"));
        }
        return Fault {
            text,
            help: one_of,
            span,
        };
    }
    let said = said.replace("expected u32", "expected a whole number");
    Fault {
        text: format!("{} is wrong: {said}", part_name(name)),
        help: None,
        span,
    }
}

fn part_name(name: &str) -> String {
    match name {
        "the manifest" => name.to_owned(),
        name => format!("'{name}'"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Example {
        name: String,
        number: u32,
        #[serde(default)]
        list: Vec<Inner>,
        #[serde(default)]
        words: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Inner {
        id: String,
        kind: Kind,
        #[serde(default)]
        note: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Good,
        Bad,
    }

    /// Each error with the text that it is about.
    fn faults(text: &str) -> Vec<(String, String)> {
        let faults = read::<Example>(text).err().unwrap_or_default();
        let shown = |fault: Fault| {
            let (start, len) = fault.span;
            (fault.text, text[start..start + len].to_owned())
        };
        faults.into_iter().map(shown).collect()
    }

    fn pairs(want: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        want.iter().map(owned).collect()
    }

    #[test]
    fn everything_is_found_at_its_place() {
        let text = "\
nme: x
number: many
list:
  - {id: a, kind: goood, extra: 1}
  - {kind: bad}
  - {id: [], kind: good, nte: 2}
words: [a, {}, b, []]
more: 1
";
        let want = [
            ("unknown key 'nme'; did you mean 'name'?", "nme"),
            (
                "'number' is wrong: invalid type: string \"many\", expected a whole number",
                "many",
            ),
            ("'kind' cannot be 'goood'; did you mean 'good'?", "goood"),
            ("unknown key 'extra'", "extra"),
            ("item 2 of 'list' has no key 'id'", "{kind: bad}"),
            (
                "'id' is wrong: invalid type: sequence, expected a string",
                "[]",
            ),
            ("unknown key 'nte'; did you mean 'note'?", "nte"),
            (
                "'words' is wrong: invalid type: map, expected a string",
                "{}",
            ),
            (
                "'words' is wrong: invalid type: sequence, expected a string",
                "[]",
            ),
            ("unknown key 'more'", "more"),
            ("the manifest has no key 'name'", ""),
        ];
        let mut want = pairs(&want);
        let mut got = faults(text);
        want.sort();
        got.sort();
        assert_eq!(got, want);
    }

    #[test]
    fn a_good_text_has_none() {
        assert_eq!(faults("name: 15\nnumber: 1\nwords: [1, true]\n"), []);
        // Numbers are good texts beside what is wrong, too.
        let got = faults("name: 15\nnumber: 1\nwords: [1, true]\nwrong: 1\n");
        assert_eq!(got.len(), 1, "{got:?}");
    }

    #[test]
    fn invalid_yaml_has_its_place() {
        for (text, want) in [
            ("name: a\nnumber: 1\nname: b\n", "duplicate key 'name'"),
            (
                "name: a\nnumber: 1\nlist:\n  - {id: a, kind: good, id: b}\n",
                "duplicate key 'id'",
            ),
            ("name: a\nlist: [{id", "cannot be read: "),
            ("", "the manifest has no key 'name'"),
            ("\t", "cannot be read: "),
            ("name: \u{0}", "cannot be read: "),
        ] {
            let got = faults(text);
            assert_eq!(got.len(), 1, "{text}: {got:?}");
            assert!(got[0].0.starts_with(want), "{text}: {got:?}");
        }
    }
}

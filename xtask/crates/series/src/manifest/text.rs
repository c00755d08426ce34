//! Edits a manifest as text, which preserves its comments and layout. The
//! caller parses the result and verifies it.

use super::Class;
use kdk_core::yaml::places::{self, PathSegment};

const PATCHES: PathSegment<'static> = PathSegment::Key("patches");

/// Returns the manifest of a series without patches.
pub fn skeleton(name: &str, repo: &str, branch: &str, osreldate: u32) -> String {
    format!(
        "schema: 1\nseries: {{name: {name}, revision: 1}}\nbase: {{repo: {repo}, branch: {branch}, commit: \
         null, osreldate: {osreldate}}}\npatches: []\n"
    )
}

/// Returns the entry of a new patch, not indented.
pub fn entry(id: &str, class: Class, ai_assisted: bool) -> String {
    let class = class.name();
    format!(
        "- id: {id}\n  file: {id}.patch\n  class: {class}\n  needs: []\n  upstream: {{status: none, \
         channel: null, url: null, reason: \"\"}}\n  provenance: {{origin: own, ai_assisted: \
         {ai_assisted}, attested_by: \"\"}}\n  check: {{tests: [], expect_without: fail, waive: []}}\n"
    )
}

/// Returns `text` with the value at `path` replaced.
pub fn set(text: &str, path: &[PathSegment<'_>], value: &str) -> String {
    let (start, len) = places::span(text, path);
    replaced(text, start, start + len, value)
}

/// Returns `text` with `entry` inserted as patch `at` of `count`; `None` if the
/// layout of the list is not supported.
pub fn insert(text: &str, at: usize, count: usize, entry: &str) -> Option<String> {
    if count == 0 {
        return Some(first(text, &indented(entry, 2)));
    }
    let lines = block(text, at.min(count - 1))?;
    let entry = indented(entry, lines.indent);
    let place = if at < count { lines.start } else { lines.end };
    let gap = match text[..place].is_empty() || text[..place].ends_with('\n') {
        true => "",
        false => "\n",
    };
    Some(replaced(text, place, place, &format!("{gap}{entry}")))
}

/// Returns `text` without patch `n` and the comments right above it.
pub fn remove(text: &str, n: usize) -> Option<String> {
    let lines = block(text, n)?;
    Some(replaced(text, lines.start, lines.end, ""))
}

/// Returns `text`, whose list of patches lost its last entry, with an empty
/// list.
pub fn set_empty(text: &str) -> String {
    let key = text
        .split_inclusive('\n')
        .find(|line| line.starts_with("patches:"));
    match key {
        Some(line) => text.replacen(line, &line.replacen("patches:", "patches: []", 1), 1),
        None => text.to_owned(),
    }
}

/// Returns `text` without item `m` of the list at `path`, which is in brackets.
pub fn remove_item(text: &str, path: &[PathSegment<'_>], m: usize) -> Option<String> {
    let mut path = path.to_vec();
    path.push(PathSegment::Item(m));
    let (start, len) = places::span(text, &path);
    let (before, after) = (&text[..start], &text[start + len..]);
    let rest = after.trim_start();
    let (start, end) = if let Some(rest) = rest.strip_prefix(',') {
        (start, text.len() - rest.trim_start().len())
    } else if rest.starts_with(']') {
        let kept = before.trim_end();
        (kept.strip_suffix(',').unwrap_or(kept).len(), start + len)
    } else {
        return None;
    };
    Some(replaced(text, start, end, ""))
}

fn replaced(text: &str, start: usize, end: usize, with: &str) -> String {
    format!("{}{with}{}", &text[..start], &text[end..])
}

fn indented(entry: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    entry
        .lines()
        .map(|line| format!("{margin}{line}\n"))
        .collect()
}

/// Returns `text` with a first entry in the list, which is empty or missing.
fn first(text: &str, entry: &str) -> String {
    let (start, _) = places::span(text, &[PATCHES]);
    // The span of a list begins at its bracket.
    let empty = text[start..].strip_prefix('[');
    if let Some(after) = empty.and_then(|rest| rest.trim_start().strip_prefix(']')) {
        // The rest of the line is a comment.
        let (comment, after) = after.split_once('\n').unwrap_or((after, ""));
        let (before, comment) = (text[..start].trim_end(), comment.trim_end());
        return format!("{before}{comment}\n{entry}{after}");
    }
    let gap = if text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}patches:\n{entry}")
}

/// The lines of an entry, with the comments right above it.
struct Block {
    start: usize,
    end: usize,
    /// The indentation of the dash.
    indent: usize,
}

fn block(text: &str, n: usize) -> Option<Block> {
    let (at, _) = places::span(text, &[PATCHES, PathSegment::Item(n)]);
    // Each line with its offset.
    let mut place = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        lines.push((place, line));
        place += line.len();
    }
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let here = lines.iter().rposition(|(place, _)| *place <= at)?;
    let dash = (0..=here)
        .rev()
        .find(|n| lines[*n].1.trim_start().starts_with('-'))?;
    let margin = indent(lines[dash].1);
    let within = |line: &str| line.trim().is_empty() || indent(line) > margin;
    let mut end = dash + 1;
    while lines.get(end).is_some_and(|(_, line)| within(line)) {
        end += 1;
    }
    while end > dash + 1 && lines[end - 1].1.trim().is_empty() {
        end -= 1;
    }
    let is_above = |line: &str| line.trim_start().starts_with('#') && indent(line) == margin;
    let mut start = dash;
    while start > 0 && is_above(lines[start - 1].1) {
        start -= 1;
    }
    Some(Block {
        start: lines[start].0,
        end: lines.get(end).map_or(text.len(), |(place, _)| *place),
        indent: margin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use kdk_core::yaml;

    const HEAD: &str = "# The series.\nschema: 1\nseries: {name: x, revision: 1}\nbase: {repo: r, branch: b, \
                        commit: null, osreldate: 1} # here\n";

    fn item(id: &str, needs: &str) -> String {
        format!(
            "  # About {id}.\n  - id: {id}\n    file: {id}.patch\n    class: fix # a fix\n    needs: \
             [{needs}]\n\n    # Mine.\n    provenance:\n      origin: own\n      ai_assisted: false\n"
        )
    }

    fn ids(text: &str) -> Vec<String> {
        let manifest: Manifest = yaml::parse("series.yaml", text).unwrap();
        manifest.patches.into_iter().map(|patch| patch.id).collect()
    }

    #[test]
    fn an_entry_is_put_where_it_belongs() {
        let (a, b) = (item("a", ""), item("b", "a"));
        let new = entry("n", Class::Feature, true);
        let lists = [
            (format!("patches:\n{a}\n{b}"), 2),
            (format!("patches:\n{a}\n{b}# The end.\n"), 2),
            (format!("patches:\n{a}{b}track: []\n"), 2),
            (format!("patches:\n{a}{}", b.trim_end()), 2),
            (format!("patches:\n{}", indented_less(&a, &b)), 2),
            ("patches: [] # none yet\ntrack: []\n".into(), 0),
            ("patches: []".into(), 0),
            (String::new(), 0),
        ];
        for (list, count) in lists {
            let text = format!("{HEAD}{list}");
            for at in 0..=count {
                let done = insert(&text, at, count, &new).unwrap();
                let mut want = vec!["a".to_owned(), "b".into()];
                want.truncate(count);
                want.insert(at, "n".into());
                assert_eq!(ids(&done), want, "{done}");
                let comments = |text: &str| text.matches('#').count();
                assert_eq!(comments(&done), comments(&text), "{done}");
                // Taken out again, nothing else has changed.
                if count > 0 {
                    assert_eq!(remove(&done, at).unwrap().trim_end(), text.trim_end());
                }
            }
        }
    }

    fn indented_less(a: &str, b: &str) -> String {
        format!("{a}{b}")
            .replace("\n  ", "\n")
            .trim_start()
            .to_owned()
    }

    #[test]
    fn an_entry_goes_with_its_comments() {
        let (a, b) = (item("a", ""), item("b", ""));
        let text = format!("{HEAD}patches:\n{a}\n{b}");
        assert_eq!(remove(&text, 1).unwrap(), format!("{HEAD}patches:\n{a}\n"));
        assert_eq!(remove(&text, 0).unwrap(), format!("{HEAD}patches:\n\n{b}"));
    }

    #[test]
    fn values_and_items_are_replaced() {
        let text = format!("{HEAD}patches:\n{}", item("a", "b, c, d"));
        let key = |name| PathSegment::Key(name);
        let done = set(&text, &[key("base"), key("osreldate")], "1501001");
        assert!(done.contains("osreldate: 1501001} # here\n"), "{done}");
        let done = set(&text, &[key("base"), key("commit")], "abc");
        assert!(done.contains("commit: abc, "), "{done}");
        let path = [PATCHES, PathSegment::Item(0), key("needs")];
        for (m, want) in [(0, "[c, d]"), (1, "[b, d]"), (2, "[b, c]")] {
            let done = remove_item(&text, &path, m).unwrap();
            assert!(done.contains(&format!("needs: {want}\n")), "{done}");
        }
        let one = format!("{HEAD}patches:\n{}", item("a", "b"));
        let done = remove_item(&one, &path, 0).unwrap();
        assert!(done.contains("needs: []\n"), "{done}");
    }

    #[test]
    fn a_skeleton_is_a_manifest() {
        let text = skeleton("main", "https://git.FreeBSD.org/src.git", "main", 1_600_000);
        assert!(ids(&text).is_empty());
        let text = insert(&text, 0, 0, &entry("n", Class::Local, false)).unwrap();
        assert_eq!(ids(&text), ["n"]);
    }
}

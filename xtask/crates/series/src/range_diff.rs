//! Compares two revisions of a series, patch by patch.

use std::collections::BTreeMap;
use std::fmt;

use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// How a patch differs between the revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Message and diff are the same.
    Unchanged,
    /// Message or diff differ.
    Changed,
    /// Only the new revision has it.
    Added,
    /// Only the old revision has it.
    Removed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        })
    }
}

/// A patch in both revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The id of the patch.
    pub id: String,
    /// How it differs.
    pub state: State,
    /// The output of `git range-diff`; empty unless it changed.
    pub text: String,
}

/// A revision of a series, as commits.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The ids, in apply order.
    pub ids: &'a [String],
    /// The commit of each patch.
    pub commits: &'a [String],
}

impl<'a> Side<'a> {
    /// Returns the commits by the patches' ids.
    fn by_id(self) -> BTreeMap<&'a str, &'a str> {
        let ids = self.ids.iter().map(String::as_str);
        ids.zip(self.commits.iter().map(String::as_str)).collect()
    }
}

/// Compares the patches of both by id. Returns those of `new` in order, then
/// the removed ones. All commits are in `git`.
pub fn compare(git: &Git, old: Side<'_>, new: Side<'_>) -> Result<Vec<Pair>, Failure> {
    let (before, after) = (old.by_id(), new.by_id());
    let pair = |id: &str, state, text: String| Pair {
        id: id.to_owned(),
        state,
        text,
    };
    let mut pairs = Vec::new();
    for (id, commit) in new.ids.iter().zip(new.commits) {
        pairs.push(match before.get(id.as_str()) {
            None => pair(id, State::Added, String::new()),
            Some(then) if then == commit => pair(id, State::Unchanged, String::new()),
            Some(then) => match range_diff(git, then, commit)? {
                None => pair(id, State::Unchanged, String::new()),
                Some(text) => pair(id, State::Changed, text),
            },
        });
    }
    let gone = old.ids.iter().filter(|id| !after.contains_key(id.as_str()));
    pairs.extend(gone.map(|id| pair(id, State::Removed, String::new())));
    Ok(pairs)
}

/// Returns the output of `git range-diff` for two versions of a patch; `None`
/// if they do not differ.
fn range_diff(git: &Git, old: &str, new: &str) -> Result<Option<String>, Failure> {
    const TRIED: &str = "compare two versions of a patch";
    let range = |commit: &str| format!("{commit}^..{commit}");
    let args = [
        "range-diff",
        "--no-color",
        // They are the same patch, however little they have in common.
        "--creation-factor=1000",
        &range(old),
        &range(new),
    ];
    let text = git.must(TRIED, &args, b"")?.stdout;
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    // `1:  HASH = 1:  HASH SUBJECT`
    let same = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(2))
        == Some("=");
    Ok((!same).then_some(text))
}

/// Returns a line about the order, if the patches that are in both have another
/// one now.
pub fn reordered(old: &[String], new: &[String]) -> Option<String> {
    let common = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|id| other.contains(id)).cloned().collect()
    };
    let (before, after) = (common(old, new), common(new, old));
    (before != after).then(|| {
        format!(
            "reordered: was {}; is {}",
            before.join(", "),
            after.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::apply::{Change, chain};
    use crate::base::fixtures::kdk_repo;

    fn change(id: &str, file: &str, lines: &str) -> Change {
        let diff = format!("--- a/sys/kern/{file}\n+++ b/sys/kern/{file}\n{lines}");
        Change {
            id: id.to_owned(),
            diff: diff.into(),
        }
    }

    #[test]
    fn patches_are_compared_by_their_ids() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kdk_repo(dir.path());
        let a = |to: &str| {
            let lines = format!("@@ -1,3 +1,3 @@\n one\n-two\n+{to}\n three\n");
            change("a", "a.c", &lines)
        };
        let b = change("b", "b.c", "@@ -1 +1 @@\n-b\n+c\n");
        let after_b = change("c", "b.c", "@@ -1 +1 @@\n-c\n+d\n");
        let old = [a("2"), b.clone(), after_b];
        // The same patch on another commit is not a change.
        let new = [
            b,
            a("something else altogether"),
            change("d", "b.c", "@@ -1 +1 @@\n-c\n+e\n"),
        ];
        let ids = |changes: &[Change]| changes.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        let (old_ids, new_ids) = (ids(&old), ids(&new));
        let commits = [&old, &new].map(|changes| chain(&git, &head, changes).unwrap());
        let side = |ids, commits| Side { ids, commits };
        let pairs = compare(
            &git,
            side(&old_ids, &commits[0]),
            side(&new_ids, &commits[1]),
        )
        .unwrap();
        let got: Vec<String> = pairs
            .iter()
            .map(|p| format!("{} {}", p.id, p.state))
            .collect();
        assert_eq!(got, ["b unchanged", "a changed", "d added", "c removed"]);
        let text = &pairs[1].text;
        assert!(text.contains("    -+2\n    ++something else"), "{text}");
        assert!(pairs.iter().filter(|pair| pair.text.is_empty()).count() == 3);
    }

    #[test]
    fn another_order_is_reported() {
        let list = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for (old, new, want) in [
            ("a b c", "a b c", None),
            ("a b c", "a c", None),
            ("a b c", "x b c y", None),
            ("a b c", "c x a", Some("reordered: was a, c; is c, a")),
            ("", "a", None),
        ] {
            assert_eq!(reordered(&list(old), &list(new)).as_deref(), want);
        }
    }
}

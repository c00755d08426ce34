//! Checks of a manifest that parses.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::Manifest;
use crate::lint::Check;
use kdk_core::yaml::places::PathSegment::{self, Item, Key};

/// A problem in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem<'a> {
    /// The check that found it.
    pub check: Check,
    /// The path to the value in the manifest.
    pub path: Vec<PathSegment<'a>>,
    /// A description of the problem.
    pub text: String,
    /// How to fix it.
    pub help: &'static str,
}

/// Returns all problems in the manifest of the folder `dir`.
pub fn problems<'a>(manifest: &Manifest, dir: &str) -> Vec<Problem<'a>> {
    let mut found = Vec::new();
    let mut say = |check, path: Vec<PathSegment<'a>>, text: String, help| {
        found.push(Problem {
            check,
            path,
            text,
            help,
        });
    };
    if manifest.schema != 1 {
        let text = format!(
            "schema {}; this version of kdk reads schema 1",
            manifest.schema
        );
        say(Check::Key, vec![Key("schema")], text, "write `schema: 1`");
    }
    if manifest.series.name != dir {
        let text = format!(
            "the series '{}' is in the folder '{dir}'",
            manifest.series.name
        );
        let help = "a series has the name of its folder and of its base";
        say(Check::Key, vec![Key("series"), Key("name")], text, help);
    }
    if let Some(cover) = manifest.cover.as_ref().filter(|name| !is_plain_name(name)) {
        let text = format!("'{cover}' is not the name of a file beside the manifest");
        say(Check::Listing, vec![Key("cover")], text, BESIDE);
    }
    patches(manifest, &mut say);
    found
}

const BESIDE: &str = "the files of a series are in its folder: write the plain file name";

fn patches<'a>(
    manifest: &Manifest,
    say: &mut dyn FnMut(Check, Vec<PathSegment<'a>>, String, &'static str),
) {
    let ids: BTreeSet<&str> = manifest.patches.iter().map(|p| p.id.as_str()).collect();
    let (mut seen, mut files) = (BTreeSet::new(), BTreeSet::new());
    for (n, patch) in manifest.patches.iter().enumerate() {
        let id = patch.id.as_str();
        let at = |key| vec![Key("patches"), Item(n), Key(key)];
        if !is_id(id) {
            let text = format!("'{id}' is not a valid id");
            let help =
                "an id has lower case letters, digits and `-`, and begins with a letter or digit";
            say(Check::Id, at("id"), text, help);
        }
        if !seen.insert(id) {
            say(
                Check::Id,
                at("id"),
                format!("duplicate id '{id}'"),
                "give each patch another id",
            );
        }
        for (m, need) in patch.needs.iter().enumerate() {
            let mut at = at("needs");
            at.push(Item(m));
            if need == id {
                let help = "a patch cannot need itself: remove the entry";
                say(Check::Order, at, format!("'{id}' needs itself"), help);
            } else if !ids.contains(need.as_str()) {
                let help = "`needs` lists ids of patches of this series";
                say(
                    Check::Order,
                    at,
                    format!("'{id}' needs '{need}', which is not in the series"),
                    help,
                );
            } else if !seen.contains(need.as_str()) {
                let (text, help) = if leads_to(manifest, need, id) {
                    (
                        format!("'{id}' needs '{need}', which needs '{id}'"),
                        "no order of the list can apply them: remove one of the needs, or combine the \
                            patches",
                    )
                } else {
                    (
                        format!("'{id}' needs '{need}', which comes later"),
                        "patches are applied in the order of the list: move one of them",
                    )
                };
                say(Check::Order, at, text, help);
            }
        }
        if !is_plain_name(&patch.file) {
            let text = format!(
                "'{}' is not the name of a file beside the manifest",
                patch.file
            );
            say(Check::Listing, at("file"), text, BESIDE);
        } else if !files.insert(patch.file.as_str()) {
            let text = format!("'{}' is also the file of another patch", patch.file);
            say(Check::Id, at("file"), text, "give each patch another file");
        }
    }
}

/// Returns whether the patch `from` needs `to`, directly or through others.
fn leads_to(manifest: &Manifest, from: &str, to: &str) -> bool {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
    while let Some(id) = todo.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            let patches = manifest.patches.iter().filter(|patch| patch.id == id);
            todo.extend(patches.flat_map(|patch| patch.needs.iter().map(String::as_str)));
        }
    }
    false
}

/// Returns whether `text` is a valid id of a patch.
pub fn is_id(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain) && text.chars().all(|c| plain(c) || c == '-')
}

/// Returns whether `name` is the plain name of a file that is not hidden.
pub fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    plain && !name.ends_with('/') && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_core::yaml;

    fn manifest(patches: &str) -> Manifest {
        let text = format!(
            "schema: 1\nseries: {{name: x, revision: 1}}\nbase: {{repo: r, branch: b, \
             osreldate: 1}}\npatches:\n{patches}"
        );
        yaml::parse("series.yaml", &text).unwrap()
    }

    fn patch(id: &str, file: &str, needs: &str) -> String {
        format!(
            "  - {{id: {id}, file: {file}, class: fix, needs: [{needs}], provenance: {{origin: own, \
             ai_assisted: false}}}}\n"
        )
    }

    #[test]
    fn problems_of_the_list() {
        let (a, b) = (patch("a", "a.patch", ""), patch("b", "b.patch", "a"));
        let table = [
            (a.clone() + &b, vec![]),
            (
                a.clone() + &patch("a", "b.patch", ""),
                vec!["duplicate id 'a'"],
            ),
            (b.clone() + &a, vec!["'b' needs 'a', which comes later"]),
            (b.clone(), vec!["'b' needs 'a', which is not in the series"]),
            (patch("b", "b.patch", "b"), vec!["'b' needs itself"]),
            (
                patch("a", "a.patch", "b") + &b,
                vec!["'a' needs 'b', which needs 'a'"],
            ),
            (
                patch("a", "a.patch", "c")
                    + &patch("b", "b.patch", "a")
                    + &patch("c", "c.patch", "b"),
                vec!["'a' needs 'c', which needs 'a'"],
            ),
            (
                a.clone() + &patch("b", "a.patch", ""),
                vec!["'a.patch' is also the file of another patch"],
            ),
            (patch("A", "a.patch", ""), vec!["'A' is not a valid id"]),
            (
                patch("'a/b'", "a.patch", ""),
                vec!["'a/b' is not a valid id"],
            ),
        ];
        for (patches, want) in table {
            let manifest = manifest(&patches);
            let got: Vec<String> = problems(&manifest, "x")
                .into_iter()
                .map(|p| p.text)
                .collect();
            assert_eq!(got, want, "{patches}");
        }
    }

    #[test]
    fn files_lie_beside_the_manifest() {
        for name in [
            "../a.patch",
            "/a.patch",
            "b/a.patch",
            "'.a.patch'",
            "'..'",
            "'.'",
            "''",
            "a/",
        ] {
            let manifest = manifest(&patch("a", name, ""));
            let got = problems(&manifest, "x");
            assert_eq!(got.len(), 1, "{name}");
            assert!(
                got[0]
                    .text
                    .ends_with("is not the name of a file beside the manifest")
            );
        }
    }

    #[test]
    fn problems_of_the_head() {
        let text = "schema: 2\nseries: {name: y, revision: 1}\nbase: {repo: r, branch: b, \
                    osreldate: 1}\ncover: ../c.md\n";
        let manifest: Manifest = yaml::parse("series.yaml", text).unwrap();
        let got: Vec<String> = problems(&manifest, "x")
            .into_iter()
            .map(|p| p.text)
            .collect();
        let want = [
            "schema 2; this version of kdk reads schema 1",
            "the series 'y' is in the folder 'x'",
            "'../c.md' is not the name of a file beside the manifest",
        ];
        assert_eq!(got, want);
    }
}

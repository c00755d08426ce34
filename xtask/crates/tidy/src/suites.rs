//! Test suites: each is declared, and each test that a manifest names exists.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{Finding, Repo};

/// The folder of the userland suites, and the file that declares one.
const SUITES: &str = "userland-tests/suites/";
const DECLARATION: &str = "suite.yaml";

/// Folders whose Rust files register tests.
const TESTS: [&str; 3] = ["kmod/", "userland-tests/", "vm/demo-guest/"];

/// Finds suites without a declaration, and names of tests that no source has.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = undeclared(repo);
    let tests = registered(repo);
    for source in &repo.sources {
        let is_manifest = matches!(source.name(), "series.yaml" | "mutants.yaml");
        if !is_manifest {
            continue;
        }
        match named(&source.text) {
            Ok(names) => {
                let unknown = names
                    .iter()
                    .filter(|name| !tests.iter().any(|test| matches(name, test)));
                found.extend(unknown.map(|name| {
                    Finding::new(
                        &source.path,
                        line_of(&source.text, name),
                        format!("no source has the test `{name}`"),
                        "correct the name, or remove it",
                    )
                }));
            }
            Err(error) => found.push(Finding::new(
                &source.path,
                error.location().map_or(1, |place| place.line()),
                format!("it cannot be read ({error})"),
                "correct it",
            )),
        }
    }
    found
}

fn undeclared(repo: &Repo) -> Vec<Finding> {
    let suites: BTreeSet<&str> = repo
        .paths
        .iter()
        .filter_map(|path| path.strip_prefix(SUITES)?.split_once('/'))
        .map(|(suite, _)| suite)
        .collect();
    suites
        .into_iter()
        .map(|suite| format!("{SUITES}{suite}/{DECLARATION}"))
        .filter(|declaration| !repo.paths.contains(declaration))
        .map(|declaration| {
            Finding::new(
                declaration,
                1,
                "the suite has no declaration",
                "add the file; CONTRIBUTING.md shows one",
            )
        })
        .collect()
}

/// What both manifests have: names of tests.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    patches: Vec<Patch>,
    #[serde(default)]
    mutants: Vec<Named>,
}

#[derive(Deserialize)]
struct Patch {
    check: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    tests: Vec<String>,
}

/// Returns the names of tests in a manifest.
fn named(text: &str) -> Result<BTreeSet<String>, serde_yaml::Error> {
    let manifest: Manifest = serde_yaml::from_str(text)?;
    let patches = manifest.patches.into_iter().filter_map(|patch| patch.check);
    Ok(patches
        .chain(manifest.mutants)
        .flat_map(|named| named.tests)
        .collect())
}

/// Returns the names that the sources register: literals `"suite/case"`.
fn registered(repo: &Repo) -> BTreeSet<&str> {
    repo.with_extension(&["rs"])
        .filter(|source| TESTS.iter().any(|dir| source.path.starts_with(dir)))
        .flat_map(|source| source.text.split('"'))
        .filter(|literal| is_a_name(literal))
        .collect()
}

fn is_a_name(literal: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    literal
        .split_once('/')
        .is_some_and(|(suite, case)| part(suite) && part(case))
}

/// Reports whether `test` matches `pattern`, in which `*` is any text.
fn matches(pattern: &str, test: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == test;
    };
    test.strip_prefix(first).is_some_and(|test| {
        test.char_indices()
            .map(|(at, _)| at)
            .chain([test.len()])
            .any(|at| matches(rest, &test[at..]))
    })
}

fn line_of(text: &str, name: &str) -> usize {
    let line = text.lines().position(|line| line.contains(name));
    line.map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: (&str, &str) = (
        "kmod/src/tests/a.rs",
        "kdk_test!(\"a/one\", one);\nkdk_test!(\"a/two-tcp\", two);",
    );

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Repo::of(&[SOURCE, (path, text)]))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn tests_of_manifests_exist() {
        let patches = |tests: &str| format!("patches:\n  - check: {{tests: [{tests}]}}\n");
        let mutants = |tests: &str| format!("mutants:\n  - id: x\n    tests: [{tests}]\n");
        for (path, text, names) in [
            ("patches/x/series.yaml", patches("a/one, a/two-*"), ""),
            (
                "patches/x/series.yaml",
                "patches:\n  - id: a\n".to_owned(),
                "",
            ),
            (
                "patches/x/series.yaml",
                patches("a/three"),
                "2: no source has the test `a/three`",
            ),
            ("s/mutants/x/mutants.yaml", mutants("a/one"), ""),
            (
                "s/mutants/x/mutants.yaml",
                mutants("b/*"),
                "3: no source has the test `b/*`",
            ),
            ("other.yaml", mutants("b/*"), ""),
        ] {
            let want = match names {
                "" => Vec::new(),
                what => vec![format!("{path}:{what}: correct the name, or remove it")],
            };
            assert_eq!(found(path, &text), want, "{text}");
        }
        assert_eq!(found("patches/x/series.yaml", "patches: 1\n").len(), 1);
    }

    #[test]
    fn a_suite_has_a_declaration() {
        let main = "userland-tests/suites/new/src/main.rs";
        assert_eq!(
            found(main, ""),
            [
                "userland-tests/suites/new/suite.yaml:1: the suite has no declaration: \
              add the file; CONTRIBUTING.md shows one"
            ]
        );
        let repo = Repo::of(&[(main, ""), ("userland-tests/suites/new/suite.yaml", "")]);
        assert_eq!(check(&repo), []);
    }

    #[test]
    fn a_star_is_any_text() {
        let table = [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/*", "a/", true),
            ("a/*-tcp", "a/x-tcp", true),
            ("a/*-tcp", "a/x-udp", false),
            ("*", "a/b", true),
        ];
        for (pattern, test, want) in table {
            assert_eq!(matches(pattern, test), want, "{pattern} {test}");
        }
    }
}

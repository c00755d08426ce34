//! Reads the mutants of a series: `userland-tests/suites/SUITE/mutants/SERIES/`.
//! A mutant is a deliberate mistake, as a diff on top of the series.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use kdk_core::failure::Failure;
use kdk_core::yaml;
use kdk_guest::build::digest::MUTANTS;
use kdk_series::base::apply::Change;
use kdk_series::manifest::is_id;

/// The file that describes them.
pub const MANIFEST: &str = "mutants.yaml";

/// The manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Version of the file's format: 1.
    schema: u32,
    mutants: Vec<Described>,
}

/// One mutant, as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// The name. The diff is in the file `ID.patch`.
    pub id: String,
    /// The mistake, in one sentence.
    pub about: String,
    /// Tests that kill it, as names or globs; if none, the complete suite runs.
    #[serde(default)]
    pub tests: Vec<String>,
    /// The number of virtual CPUs that the tests run on, instead of those that
    /// they declare.
    #[serde(default)]
    pub cpus: Option<u32>,
}

/// A mutant and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The suite that must kill it.
    pub suite: String,
    /// Its description in the manifest.
    pub described: Described,
    /// The file with the diff.
    pub path: PathBuf,
}

impl Mutant {
    /// Returns the suite and the id: `sendfile/early`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.suite, self.described.id)
    }

    /// Returns the tests to run first.
    pub fn tests(&self) -> Vec<String> {
        match self.described.tests.as_slice() {
            [] => self.complete_suite(),
            tests => tests.to_vec(),
        }
    }

    /// Returns a pattern for all tests of its suite.
    pub fn complete_suite(&self) -> Vec<String> {
        vec![self.suite.clone()]
    }

    /// Returns the diff, as a change on top of the series.
    pub fn change(&self) -> Result<Change, Failure> {
        let diff = fs::read(&self.path)
            .map_err(|error| Failure::io("read the mutant", &self.path, error))?;
        // The path, because a user's own diff has it as its id, too: both runs
        // then use the same commit.
        let id = self.path.display().to_string();
        Ok(Change { id, diff })
    }
}

/// Returns the mutants of `series` in all suites of the folder `suites`, sorted
/// by suite, then in the order of the manifest.
pub fn all(suites: &Path, series: &str) -> Result<Vec<Mutant>, Failure> {
    let failed = |error| Failure::io("look for mutants", suites, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(suites).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort();
    let mut all = Vec::new();
    for name in names {
        let dir = suites.join(&name).join(MUTANTS).join(series);
        all.extend(of(&dir, &name.to_string_lossy())?);
    }
    Ok(all)
}

/// Returns the mutants in `dir`; none if there is no such folder.
fn of(dir: &Path, suite: &str) -> Result<Vec<Mutant>, Failure> {
    let path = dir.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Failure::io("read the mutants", &path, error))?,
    };
    let place = path.display().to_string();
    let manifest: Manifest = yaml::parse(&place, &text)?;
    let bad = |why: String, help: &str| Failure::usage(format!("use {place}"), why).help(help);
    if manifest.schema != 1 {
        let why = format!("it has schema {}; kdk reads schema 1", manifest.schema);
        return Err(bad(why, "write `schema: 1`"));
    }
    let mut mutants: Vec<Mutant> = Vec::new();
    for described in manifest.mutants {
        let id = &described.id;
        if !is_id(id) {
            let why = format!("'{id}' is not a valid id");
            return Err(bad(why, "use lower case letters, digits and `-`"));
        }
        if mutants.iter().any(|other| other.described.id == *id) {
            return Err(bad(format!("two mutants have the id '{id}'"), "rename one"));
        }
        let diff = dir.join(format!("{id}.patch"));
        if !diff.is_file() {
            let why = format!("there is no {}", diff.display());
            return Err(bad(why, "write the mutant as a diff on top of the series"));
        }
        mutants.push(Mutant {
            suite: suite.to_owned(),
            path: diff,
            described,
        });
    }
    Ok(mutants)
}

/// Returns the mutants of `all` that `names` select, by id or by suite and id.
/// No name selects all.
pub fn chosen(all: Vec<Mutant>, names: &[String]) -> Result<Vec<Mutant>, Failure> {
    let is_called =
        |mutant: &Mutant, name: &String| mutant.described.id == *name || mutant.name() == *name;
    for name in names {
        if all.iter().any(|mutant| is_called(mutant, name)) {
            continue;
        }
        let ids = all.iter().map(|mutant| mutant.described.id.as_str());
        let help = match yaml::closest(name, ids) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`cargo xtask prove --mutants` without a name runs all".into(),
        };
        let why = "no suite has a mutant of that name";
        return Err(Failure::usage(format!("find the mutant `{name}`"), why).help(help));
    }
    let is_wanted =
        |mutant: &Mutant| names.is_empty() || names.iter().any(|name| is_called(mutant, name));
    Ok(all.into_iter().filter(is_wanted).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use kdk_core::failure::rendered;

    /// Returns a folder of suites with mutants of the series `s`.
    fn suites(list: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (suite, text) in list {
            let dir = root.path().join(suite).join("mutants/s");
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(MANIFEST), text).unwrap();
            for id in ["a", "b"] {
                fs::write(dir.join(format!("{id}.patch")), "diff").unwrap();
            }
        }
        fs::create_dir(root.path().join("no-mutants")).unwrap();
        root
    }

    #[test]
    fn mutants_are_found_in_their_suites() {
        let root = suites(&[
            (
                "y",
                "schema: 1\nmutants:\n  - {id: b, about: x, tests: [y/1], cpus: 2}\n  - {id: a, about: x}\n",
            ),
            ("x", "schema: 1\nmutants: [{id: a, about: x}]\n"),
        ]);
        let found = all(root.path(), "s").unwrap();
        let names: Vec<String> = found.iter().map(Mutant::name).collect();
        assert_eq!(names, ["x/a", "y/b", "y/a"]);
        assert_eq!(found[1].tests(), ["y/1"]);
        assert_eq!(found[2].tests(), ["y"]);
        assert!(all(root.path(), "other").unwrap().is_empty());
        for (wanted, count) in [
            (vec![], 3),
            (vec!["a"], 2),
            (vec!["y/a"], 1),
            (vec!["b", "x/a"], 2),
        ] {
            let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            assert_eq!(
                chosen(found.clone(), &wanted).unwrap().len(),
                count,
                "{wanted:?}"
            );
        }
        let unknown = chosen(found, &["bb".into()]).unwrap_err();
        assert_eq!(unknown.exit_code(), 2);
        assert!(rendered(&unknown).contains("did you mean `b`?"));
    }

    #[test]
    fn an_invalid_manifest_is_rejected_with_the_reason() {
        for (text, want) in [
            (
                "schema: 2\nmutants: []\n",
                "it has schema 2; kdk reads schema 1",
            ),
            (
                "schema: 1\nmutants: [{id: A, about: x}]\n",
                "'A' is not a valid id",
            ),
            (
                "schema: 1\nmutants: [{id: a, about: x}, {id: a, about: x}]\n",
                "two mutants have the id 'a'",
            ),
            ("schema: 1\nmutants: [{id: c, about: x}]\n", "there is no"),
            ("schema: 1\nmutants: [{id: a}]\n", "missing field `about`"),
        ] {
            let root = suites(&[("x", text)]);
            let failure = all(root.path(), "s").unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            let line = failure.in_one_line();
            assert!(line.contains(want), "{want}: {line}");
        }
    }
}

//! `userland-tests/suites/SUITE/mutants/SERIES/`: a series' patches with deliberate
//! mistakes, one diff each on top of the series. A suite that is worth its
//! name fails on every one.

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
    /// Version of the file's form; 1.
    schema: u32,
    mutants: Vec<Described>,
}

/// One mutant, as its manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Its name; the diff is in the file `ID.patch`.
    pub id: String,
    /// What is wrong in it, in a sentence.
    pub about: String,
    /// Tests that notice it, by name or glob; none: the whole suite is asked.
    #[serde(default)]
    pub tests: Vec<String>,
    /// Virtual CPUs that these need to show it, where one is not enough.
    #[serde(default)]
    pub cpus: Option<u32>,
}

/// A mutant and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The suite that has to notice it.
    pub suite: String,
    /// What its manifest says.
    pub described: Described,
    /// The diff.
    pub path: PathBuf,
}

impl Mutant {
    /// Suite and id: `sendfile/early`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.suite, self.described.id)
    }

    /// The tests that are asked first.
    pub fn tests(&self) -> Vec<String> {
        match self.described.tests.as_slice() {
            [] => self.whole_suite(),
            tests => tests.to_vec(),
        }
    }

    /// All tests of its suite.
    pub fn whole_suite(&self) -> Vec<String> {
        vec![self.suite.clone()]
    }

    /// The diff, as a change on top of the series.
    pub fn change(&self) -> Result<Change, Failure> {
        let diff = fs::read(&self.path)
            .map_err(|error| Failure::io("read the mutant", &self.path, error))?;
        // The path, as where a user's own diff is applied: it is one commit.
        let id = self.path.display().to_string();
        Ok(Change { id, diff })
    }
}

/// The mutants of `series` in all suites of the folder `suites`, by suite, in
/// the order of their manifests.
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

/// The mutants in `dir`, which a suite need not have.
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
        let why = format!("it has schema {}; this kit reads 1", manifest.schema);
        return Err(bad(why, "write `schema: 1`"));
    }
    let mut mutants: Vec<Mutant> = Vec::new();
    for described in manifest.mutants {
        let id = &described.id;
        if !is_id(id) {
            let why = format!("'{id}' is no id");
            return Err(bad(why, "an id has lower case letters, digits and `-`"));
        }
        if mutants.iter().any(|other| other.described.id == *id) {
            return Err(bad(format!("two mutants are called '{id}'"), "rename one"));
        }
        let diff = dir.join(format!("{id}.patch"));
        if !diff.is_file() {
            let why = format!("there is no {}", diff.display());
            return Err(bad(why, "a mutant is a diff on top of the series"));
        }
        mutants.push(Mutant {
            suite: suite.to_owned(),
            path: diff,
            described,
        });
    }
    Ok(mutants)
}

/// Those of `all` that `names` name, by id or with their suite; all without a
/// name.
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
            None => "`cargo xtask prove --mutants` without a name plays all".into(),
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

    /// A folder of suites with mutants of the series `s`.
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
    fn what_is_no_description_is_refused_with_the_reason() {
        for (text, want) in [
            (
                "schema: 2\nmutants: []\n",
                "it has schema 2; this kit reads 1",
            ),
            ("schema: 1\nmutants: [{id: A, about: x}]\n", "'A' is no id"),
            (
                "schema: 1\nmutants: [{id: a, about: x}, {id: a, about: x}]\n",
                "two mutants are called 'a'",
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

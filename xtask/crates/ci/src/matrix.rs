//! The matrix: `ci/matrix.yaml`. It says what runs on each patch revision, and
//! what runs nightly.

mod problem;

pub use problem::{Finding, Known, lint};

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use crate::job::{Cpus, Work};
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};
use kdk_core::workspace::workspace;
use kdk_core::yaml;
use kdk_series::base::definition::DEBUG;

/// The path of the matrix in this repository.
pub const FILE: &str = "ci/matrix.yaml";

/// The largest matrix that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The content of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The version of the file's format: 1.
    pub schema: u32,
    /// The bases, which are also the series.
    pub bases: Vec<String>,
    /// What runs on each patch revision.
    pub revision: Vec<Step>,
    /// What runs nightly, beside what runs on each revision.
    #[serde(default)]
    pub nightly: Vec<Step>,
}

/// One entry of a list: work of one kind, for each combination of its values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The kind of work.
    pub run: Kind,
    /// The bases; none for all of the matrix.
    #[serde(default)]
    pub bases: Option<Vec<String>>,
    /// The kernel configurations; none for `debug`.
    #[serde(default)]
    pub configs: Option<Vec<String>>,
    /// The numbers of virtual CPUs; none for those that each test declares.
    #[serde(default)]
    pub cpus: Option<Vec<Cpus>>,
    /// The suites; none for all that run by default.
    #[serde(default)]
    pub suites: Option<Vec<String>>,
    /// The studies of `cargo xtask bench`.
    #[serde(default)]
    pub studies: Option<Vec<String>>,
}

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Check the style of each patch.
    Lint,
    /// Build and boot each prefix of the series.
    Prefixes,
    /// Run the tests of each patch with and without it.
    Prove,
    /// Run suites on the series.
    Suites,
    /// Run suites on the base without the series, to compare with.
    Base,
    /// Run the mutants of suites.
    Mutants,
    /// Measure studies of benchmarks.
    Bench,
}

impl Kind {
    /// Returns the name in the matrix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lint => "lint",
            Self::Prefixes => "prefixes",
            Self::Prove => "prove",
            Self::Suites => "suites",
            Self::Base => "base",
            Self::Mutants => "mutants",
            Self::Bench => "bench",
        }
    }

    /// Returns the keys that this kind of work uses, beside `run` and `bases`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Lint | Self::Prefixes | Self::Prove => &[],
            Self::Suites | Self::Base => &["configs", "cpus", "suites"],
            Self::Mutants => &["suites"],
            Self::Bench => &["studies"],
        }
    }
}

/// The suites that run only when they are named.
const NOT_BY_DEFAULT: [&str; 2] = ["bench", "fault"];

/// What a series and this repository have, as far as a matrix selects from it.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The patches in apply order, and whether each lists tests.
    pub patches: Vec<(String, bool)>,
    /// The names of all suites.
    pub suites: Vec<String>,
    /// The suites that have mutants of the series.
    pub mutated: Vec<String>,
}

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What runs on each patch revision. Results on an earlier base are valid
    /// for patches that have not changed.
    Revision,
    /// Also what runs nightly. Only results on the same trees are valid.
    Nightly,
}

/// Returns the path of the matrix: `KDK_MATRIX`, else the one of this
/// repository.
pub fn path() -> PathBuf {
    std::env::var_os("KDK_MATRIX")
        .filter(|path| !path.is_empty())
        .map_or_else(|| workspace().join(FILE), PathBuf::from)
}

/// Reads the text of the matrix.
///
/// # Errors
/// The file cannot be read.
pub fn text() -> Result<String, Failure> {
    input::read_text("read the matrix of CI", &path(), LARGEST, Links::Refuse)
}

/// Parses the matrix `text`.
///
/// # Errors
/// Its form is wrong, or it names something that `known` does not have.
pub fn parse(text: &str, known: &Known) -> Result<Matrix, Failure> {
    let matrix: Matrix = yaml::parse(FILE, text)?;
    match problem::problems(&matrix, text, known).into_iter().next() {
        None => Ok(matrix),
        Some(problem) => Err(Failure::usage(format!("use {FILE}"), problem.text)
            .help(problem.help)
            .at(FILE, text, problem.span, "here")),
    }
}

impl Matrix {
    /// Returns the work of a run of depth `depth` on the base `base`, each once.
    pub fn works(&self, base: &str, depth: Depth, contents: &Contents) -> Vec<Work> {
        let nightly = self.nightly.iter().filter(|_| depth == Depth::Nightly);
        let mut works = Vec::new();
        for step in self.revision.iter().chain(nightly) {
            let bases = step.bases.as_ref().unwrap_or(&self.bases);
            if !bases.iter().any(|name| name == base) {
                continue;
            }
            for work in step.works(contents) {
                if !works.contains(&work) {
                    works.push(work);
                }
            }
        }
        works
    }
}

impl Step {
    fn works(&self, contents: &Contents) -> Vec<Work> {
        let patches = contents.patches.iter();
        match self.run {
            Kind::Lint => patches
                .map(|(id, _)| Work::Lint { patch: id.clone() })
                .collect(),
            Kind::Prefixes => (0..=contents.patches.len())
                .map(|count| Work::Prefix {
                    count,
                    last: contents.patches[..count].last().map(|(id, _)| id.clone()),
                })
                .collect(),
            Kind::Prove => patches
                .filter(|(_, has_tests)| *has_tests)
                .map(|(id, _)| Work::Prove { patch: id.clone() })
                .collect(),
            Kind::Suites => self.combinations(contents, |config, cpus, suite| Work::Suite {
                config,
                cpus,
                suite,
            }),
            Kind::Base => self.combinations(contents, |config, cpus, suite| Work::Base {
                config,
                cpus,
                suite,
            }),
            Kind::Mutants => self
                .suites(contents)
                .into_iter()
                .filter(|suite| contents.mutated.contains(suite))
                .map(|suite| Work::Mutants { suite })
                .collect(),
            Kind::Bench => {
                let studies = self.studies.iter().flatten().cloned();
                studies.map(|study| Work::Bench { study }).collect()
            }
        }
    }

    /// Returns the work of each configuration, number of CPUs and suite.
    fn combinations(
        &self,
        contents: &Contents,
        work: impl Fn(String, Cpus, String) -> Work,
    ) -> Vec<Work> {
        let debug = [DEBUG.to_owned()];
        let configs = self.configs.as_deref().unwrap_or(&debug);
        let cpus = self.cpus.as_deref().unwrap_or(&[Cpus::Declared]);
        let mut works = Vec::new();
        for config in configs {
            for cpus in cpus {
                let suites = self.suites(contents).into_iter();
                works.extend(suites.map(|suite| work(config.clone(), *cpus, suite)));
            }
        }
        works
    }

    fn suites(&self, contents: &Contents) -> Vec<String> {
        if let Some(suites) = &self.suites {
            return suites.clone();
        }
        let all: BTreeSet<&String> = contents.suites.iter().collect();
        let by_default = |suite: &&String| !NOT_BY_DEFAULT.contains(&suite.as_str());
        all.into_iter().filter(by_default).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::problem::tests::known;

    fn ids(text: &str, base: &str, depth: Depth) -> Vec<String> {
        let contents = Contents {
            patches: vec![("one".into(), true), ("two".into(), false)],
            suites: vec!["smoke".into(), "fault".into(), "sendfile".into()],
            mutated: vec!["sendfile".into()],
        };
        let matrix = parse(text, &known()).unwrap();
        let works = matrix.works(base, depth, &contents);
        works.iter().map(|work| work.id(base)).collect()
    }

    const TEXT: &str = "\
schema: 1
bases: [releng-15.1, head-2014]
revision:
  - run: lint
  - run: prefixes
  - run: prove
  - run: suites
    configs: [debug, bench]
    cpus: [declared, 4]
    bases: [releng-15.1]
    suites: [smoke]
nightly:
  - {run: lint}
  - {run: suites}
  - {run: base, bases: [head-2014], suites: [smoke]}
  - {run: mutants}
  - {run: bench, bases: [releng-15.1], studies: [ixgbe]}
";

    #[test]
    fn a_step_runs_for_each_combination_of_its_values() {
        let revision = [
            "lint/one",
            "lint/two",
            "prefix/00",
            "prefix/01",
            "prefix/02",
            "prove/one",
            "suite/debug/declared/smoke",
            "suite/debug/4/smoke",
            "suite/bench/declared/smoke",
            "suite/bench/4/smoke",
        ];
        let on = |base: &str, works: &[&str]| -> Vec<String> {
            works.iter().map(|work| format!("{base}/{work}")).collect()
        };
        let base = "releng-15.1";
        assert_eq!(ids(TEXT, base, Depth::Revision), on(base, &revision));
        let nightly = [
            "suite/debug/declared/sendfile",
            "mutants/sendfile",
            "bench/ixgbe",
        ];
        let nightly = [&revision[..], &nightly[..]].concat();
        assert_eq!(ids(TEXT, base, Depth::Nightly), on(base, &nightly));
        let base = "head-2014";
        assert_eq!(ids(TEXT, base, Depth::Revision), on(base, &revision[..6]));
        let nightly = [
            &revision[..6],
            &[
                "suite/debug/declared/sendfile",
                "suite/debug/declared/smoke",
                "base/debug/declared/smoke",
                "mutants/sendfile",
            ],
        ];
        assert_eq!(ids(TEXT, base, Depth::Nightly), on(base, &nightly.concat()));
    }
}

//! Checks of a matrix that parses.

use std::collections::BTreeSet;

use super::{Kind, Matrix, Step};
use crate::job::Cpus;
use kdk_bench::studies;
use kdk_core::failure::Failure;
use kdk_core::yaml::places::{self, PathSegment, PathSegment::Item, PathSegment::Key};
use kdk_core::yaml::{closest, faults};
use kdk_guest::request::KernelChoice;
use kdk_series::base::definition;
use kdk_suites::Suites;
use kdk_vm::MAX_CPUS;

/// A finding in a matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The description of the problem.
    pub text: String,
    /// How to fix it.
    pub help: String,
    /// The bytes in the text: offset and length.
    pub span: (usize, usize),
}

/// The names that a matrix can use.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The bases, each with the names of its kernel configurations.
    pub bases: Vec<(String, Vec<String>)>,
    /// The suites of tests.
    pub suites: Vec<String>,
    /// The studies of `cargo xtask bench`.
    pub studies: Vec<String>,
}

impl Known {
    /// Returns the names that this repository has.
    ///
    /// # Errors
    /// A definition or a declaration cannot be read.
    pub fn of_this_repository(suites: &Suites) -> Result<Self, Failure> {
        let configs = |kernel: &definition::Kernel| {
            let all = KernelChoice::NAMES.into_iter();
            all.filter(|name| kernel.named(name).is_some())
                .map(str::to_owned)
                .collect()
        };
        let bases = definition::all()?.into_iter();
        Ok(Self {
            bases: bases
                .map(|base| (base.name, configs(&base.kernel)))
                .collect(),
            suites: suites.iter().map(|suite| suite.name.clone()).collect(),
            studies: studies().iter().map(|study| study.name.into()).collect(),
        })
    }

    /// Returns the names of the configurations of the bases `bases`.
    fn configs_of(&self, bases: &[String]) -> BTreeSet<&str> {
        let bases = self.bases.iter().filter(|(name, _)| bases.contains(name));
        bases
            .flat_map(|(_, configs)| configs.iter().map(String::as_str))
            .collect()
    }
}

/// Returns all findings in the matrix `text`.
///
/// # Errors
/// There is none: a text of another form is a finding.
pub fn lint(text: &str, known: &Known) -> Vec<Finding> {
    let matrix: Matrix = match faults::read(text) {
        Ok(matrix) => matrix,
        Err(all) => {
            let found = all.into_iter().map(|fault| Finding {
                text: fault.text,
                help: fault.help.unwrap_or_default(),
                span: fault.span,
            });
            return found.collect();
        }
    };
    problems(&matrix, text, known)
}

/// Returns all problems in the matrix with the text `text`.
pub(super) fn problems(matrix: &Matrix, text: &str, known: &Known) -> Vec<Finding> {
    let mut found = Findings {
        text,
        all: Vec::new(),
    };
    if matrix.schema != 1 {
        let what = format!(
            "schema {}; this version of kdk reads schema 1",
            matrix.schema
        );
        found.add(&[Key("schema")], what, "write `schema: 1`");
    }
    let names: Vec<&str> = known.bases.iter().map(|(name, _)| name.as_str()).collect();
    found.names(&[Key("bases")], "base", &matrix.bases, &names);
    let lists = [("revision", &matrix.revision), ("nightly", &matrix.nightly)];
    for (list, steps) in lists {
        for (n, step) in steps.iter().enumerate() {
            check(step, &[Key(list), Item(n)], matrix, known, &mut found);
        }
    }
    found.all
}

/// Checks the step at `at`.
fn check(
    step: &Step,
    at: &[PathSegment<'_>],
    matrix: &Matrix,
    known: &Known,
    found: &mut Findings<'_>,
) {
    let below = |key: &'static str| [at, &[Key(key)]].concat();
    let given = [
        ("configs", step.configs.is_some()),
        ("cpus", step.cpus.is_some()),
        ("suites", step.suites.is_some()),
        ("studies", step.studies.is_some()),
    ];
    for (key, _) in given
        .iter()
        .filter(|(key, is_given)| *is_given && !step.run.keys().contains(key))
    {
        let what = format!("`run: {}` does not use `{key}`", step.run.name());
        let help = match step.run.keys() {
            [] => format!("remove `{key}`"),
            keys => format!("remove `{key}`; it uses {}", keys.join(", ")),
        };
        found.key(&below(key), what, &help);
    }
    if let Some(bases) = &step.bases {
        let all: Vec<&str> = matrix.bases.iter().map(String::as_str).collect();
        found.names(&below("bases"), "base of this matrix", bases, &all);
    }
    let bases = step.bases.as_ref().unwrap_or(&matrix.bases);
    if let Some(configs) = &step.configs {
        found.names(&below("configs"), "config", configs, &KernelChoice::NAMES);
        for (n, config) in configs.iter().enumerate() {
            let lacks = |base: &&String| {
                let is_base = known.bases.iter().any(|(name, _)| name == *base);
                let has = known.configs_of(std::slice::from_ref(*base));
                is_base && !has.contains(config.as_str())
            };
            let is_config = KernelChoice::NAMES.contains(&config.as_str());
            if let Some(base) = bases.iter().find(lacks).filter(|_| is_config) {
                let at = [&below("configs")[..], &[Item(n)]].concat();
                let what = format!("the base `{base}` has no config `{config}`");
                let help = "name the bases that have it: `bases: [..]`";
                found.add(&at, what, help);
            }
        }
    }
    for (n, cpus) in step.cpus.iter().flatten().enumerate() {
        if let Cpus::Number(number) = cpus
            && !(1..=MAX_CPUS).contains(number)
        {
            let at = [&below("cpus")[..], &[Item(n)]].concat();
            let what = format!("{number} virtual CPUs; a machine has 1 to {MAX_CPUS}");
            found.add(&at, what, "write `declared`, or a number in this range");
        }
    }
    if let Some(suites) = &step.suites {
        let all: Vec<&str> = known.suites.iter().map(String::as_str).collect();
        found.names(&below("suites"), "suite", suites, &all);
    }
    let all: Vec<&str> = known.studies.iter().map(String::as_str).collect();
    match &step.studies {
        Some(studies) => found.names(&below("studies"), "study", studies, &all),
        None if step.run == Kind::Bench => {
            let what = "`run: bench` names no study".to_owned();
            let help = format!("add `studies: [..]` with some of {}", all.join(", "));
            found.add(at, what, &help);
        }
        None => {}
    }
}

/// The findings in a text.
struct Findings<'a> {
    text: &'a str,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, path: &[PathSegment<'_>], text: String, help: &str) {
        self.all.push(Finding {
            text,
            help: help.to_owned(),
            span: places::span(self.text, path),
        });
    }

    /// Adds a finding about a key itself.
    fn key(&mut self, path: &[PathSegment<'_>], text: String, help: &str) {
        self.all.push(Finding {
            text,
            help: help.to_owned(),
            span: places::key(self.text, path),
        });
    }

    /// Checks that a list has names of `known`, each once, and at least one.
    fn names(&mut self, path: &[PathSegment<'_>], what: &str, names: &[String], known: &[&str]) {
        if names.is_empty() {
            let text = format!("the list names no {what}");
            self.add(path, text, "name one, or remove the key");
        }
        let mut seen = BTreeSet::new();
        for (n, name) in names.iter().enumerate() {
            let at = [path, &[Item(n)]].concat();
            if !seen.insert(name) {
                let text = format!("the {what} `{name}` is listed twice");
                self.add(&at, text, "remove one of the two");
            } else if !known.contains(&name.as_str()) {
                let help = match closest(name, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("there is {}", known.join(", ")),
                };
                self.add(&at, format!("there is no {what} `{name}`"), &help);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::matrix::{FILE, parse};
    use kdk_core::failure::rendered;
    use kdk_core::workspace::workspace;

    /// Returns the names of a small repository.
    pub fn known() -> Known {
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Known {
            bases: vec![
                ("releng-15.1".into(), strings(&["debug", "bench"])),
                ("head-2014".into(), strings(&["debug"])),
            ],
            suites: strings(&["smoke", "sendfile", "fault"]),
            studies: strings(&["ixgbe"]),
        }
    }

    const HEAD: &str = "schema: 1\nbases: [releng-15.1, head-2014]\nrevision:\n";

    #[test]
    fn each_problem_is_a_finding_with_its_place() {
        let table = [
            (
                "schema: 2\nbases: [releng-15.1]\nrevision: []\n",
                "schema 2; this version of kdk reads schema 1",
            ),
            (
                "schema: 1\nbases: []\nrevision: []\n",
                "the list names no base",
            ),
            (
                "schema: 1\nbases: [releng-15]\nrevision: []\n",
                "there is no base `releng-15`",
            ),
            (
                "schema: 1\nbases: [main, main]\nrevision: []\n",
                "there is no base `main`",
            ),
            (
                "  - {run: lint, configs: [debug]}\n",
                "`run: lint` does not use `configs`",
            ),
            (
                "  - {run: mutants, cpus: [4]}\n",
                "`run: mutants` does not use `cpus`",
            ),
            (
                "  - {run: suites, studies: [ixgbe]}\n",
                "`run: suites` does not use `studies`",
            ),
            (
                "  - {run: suites, configs: [kasan]}\n",
                "there is no config `kasan`",
            ),
            (
                "  - {run: suites, configs: [bench]}\n",
                "the base `head-2014` has no config `bench`",
            ),
            (
                "  - {run: suites, configs: [debug, debug]}\n",
                "the config `debug` is listed twice",
            ),
            (
                "  - {run: suites, cpus: [declared, 65]}\n",
                "65 virtual CPUs; a machine has 1 to 64",
            ),
            (
                "  - {run: suites, cpus: [0]}\n",
                "0 virtual CPUs; a machine has 1 to 64",
            ),
            (
                "  - {run: suites, suites: [smok]}\n",
                "there is no suite `smok`",
            ),
            (
                "  - {run: lint, bases: [main]}\n",
                "there is no base of this matrix `main`",
            ),
            ("  - {run: bench}\n", "`run: bench` names no study"),
            (
                "  - {run: bench, studies: [ixgb]}\n",
                "there is no study `ixgb`",
            ),
        ];
        for (text, want) in table {
            let text = match text.starts_with("schema") {
                true => text.to_owned(),
                false => HEAD.to_owned() + text,
            };
            let found = lint(&text, &known());
            let first = found.first().map(|finding| finding.text.as_str());
            assert_eq!(first, Some(want), "{text}");
            assert!(found[0].span.1 > 0, "{text}");
            assert!(parse(&text, &known()).is_err());
        }
        assert!(lint(&(HEAD.to_owned() + "  - {run: lint}\n"), &known()).is_empty());
    }

    #[test]
    fn a_text_of_another_form_is_shown_with_its_place() {
        let mut texts = Vec::new();
        for text in [
            "schema: 1\nbases: [releng-15.1]\nrevison: []\n",
            "schema: 1\nbases: [releng-15.1]\nrevision: [{run: suites, cpu: [4]}]\n",
            "schema: 1\nbases: [releng-15.1]\nrevision: [{run: suite}]\n",
            "schema: 1\nbases: [releng-15.1]\nrevision: [{run: suites, cpus: [many]}]\n",
            "schema: 1\nbases: [releng-15.1]\nrevision: [{run: suites, configs: [kasan]}]\n",
        ] {
            let failure = parse(text, &known()).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            texts.push(rendered(&failure));
            assert!(!lint(text, &known()).is_empty());
        }
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn the_matrix_of_this_repository_has_no_findings() {
        let text = std::fs::read_to_string(workspace().join(FILE)).unwrap();
        let suites = Suites::read(workspace()).unwrap();
        let known = Known::of_this_repository(&suites).unwrap();
        assert_eq!(lint(&text, &known), []);
    }
}

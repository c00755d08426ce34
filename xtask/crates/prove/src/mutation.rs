//! Runs a series' mutants and checks that the suites kill each of them.

use std::collections::BTreeMap;

use kdk_vm::verdict::Verdict;

use crate::evaluate::{self, RunResult};
use crate::key::Kind;
use crate::mutants::{MANIFEST, Mutant};
use crate::runner::{Baseline, KernelVariant, Runner, TestSelection, on};
use crate::trees::{Tested, Trees};
use crate::{names, reason, unchanged};
use kdk_core::columns::columns;
use kdk_core::failure::Failure;
use kdk_guest::build::digest::MUTANTS;
use kdk_series::applied::AppliedSeries;
use kdk_series::base::apply;
use kdk_series::base::repo;
use kdk_series::load::Loaded;
use kdk_series::manifest::Without;
use kdk_series::results::{Killed, Results};

/// A mutant, applied to the series.
#[derive(Debug)]
pub struct MutantCase {
    mutant: Mutant,
    /// Id of the tree of the series with the mutant.
    tree: String,
}

impl MutantCase {
    /// Returns the suite and the id of the mutant.
    pub fn name(&self) -> String {
        self.mutant.name()
    }
}

/// Applies each mutant to the series.
///
/// # Errors
/// There is no mutant, or one does not apply.
pub fn cases(
    applied: &AppliedSeries<'_>,
    mutants: Vec<Mutant>,
) -> Result<Vec<MutantCase>, Failure> {
    if mutants.is_empty() {
        let series = applied.series.name();
        return Err(Failure::usage(
            "run mutants",
            format!("no suite has mutants of the series {series}"),
        )
        .help(format!(
            "describe mutants in userland-tests/suites/SUITE/{MUTANTS}/{series}/{MANIFEST}"
        )));
    }
    let case = |mutant: Mutant| {
        let changes = [mutant.change()?];
        let commit = apply::commit(applied.git(), applied.tip(), &changes)
            .map_err(|failure| does_not_apply(&mutant, applied.series, &failure))?;
        let tree = repo::tree_of(applied.git(), &commit)?;
        Ok(MutantCase { mutant, tree })
    };
    mutants.into_iter().map(case).collect()
}

fn does_not_apply(mutant: &Mutant, series: &Loaded, failure: &Failure) -> Failure {
    Failure::usage(
        format!("apply the mutant `{}`", mutant.name()),
        failure.in_one_line(),
    )
    .help(format!(
        "the series {} has changed: make the same mistake in it again, and write the diff to {}",
        series.name(),
        mutant.path.display()
    ))
}

/// The result of a mutant.
#[derive(Debug, PartialEq, Eq)]
enum MutantResult {
    /// Tests that pass with the series did not pass, and ended like this.
    Killed(BTreeMap<String, String>),
    /// All tests passed.
    Survived,
    /// The mutant does not show whether the tests are good, for this reason.
    Invalid(String),
}

/// Runs the tests of each mutant and stores which mutants are killed. A mutant
/// that was killed and is unchanged is repeated only with `force`.
///
/// # Errors
/// A mutant survives, or the host failed.
pub fn run_mutants(
    runner: &Runner<'_>,
    series: &Loaded,
    trees: &Trees,
    cases: &[MutantCase],
    force: bool,
) -> Result<(), Failure> {
    let mut results = Results::read(runner.results)?;
    let mut stale: Vec<KeyedMutant<'_>> = Vec::new();
    for case in cases {
        let key = key(series, trees, case)?;
        let known = results.mutants.get(&case.mutant.name());
        if force || known.is_none_or(|killed| killed.key != key) {
            stale.push((&case.mutant, key));
        }
    }
    let mut failed: BTreeMap<String, String> = BTreeMap::new();
    let mut store = |mutant: &Mutant, key: &str, result: MutantResult| {
        let name = mutant.name();
        results.mutants.remove(&name);
        match result {
            MutantResult::Killed(by) => {
                let key = key.to_owned();
                results.mutants.insert(name, Killed { key, by });
            }
            MutantResult::Survived => {
                failed.insert(name, "SURVIVED".into());
            }
            MutantResult::Invalid(why) => {
                failed.insert(name, why);
            }
        }
        // After each mutant, so that an interrupted run keeps its results.
        results.clone().write(runner.results, &series.ids())
    };
    let is_unchanged = stale.is_empty();
    let own = |mutant: &Mutant| mutant.tests();
    let mut survivors = Vec::new();
    each(runner, &stale, &own, &mut |(mutant, key), result| {
        if result == MutantResult::Survived && own(mutant) != mutant.complete_suite() {
            survivors.push((*mutant, key.clone()));
            return Ok(());
        }
        store(mutant, key, result)
    })?;
    // Last, because it takes long.
    let suite = |mutant: &Mutant| mutant.complete_suite();
    each(runner, &survivors, &suite, &mut |(mutant, key), result| {
        store(mutant, key, by_others(result))
    })?;
    let mutants: Vec<&Mutant> = cases.iter().map(|case| &case.mutant).collect();
    let terminal = &runner.cx.terminal;
    for line in columns(&table(&mutants, &results, &failed)) {
        terminal.print(&line);
    }
    if is_unchanged {
        terminal.print(unchanged(series));
    }
    terminal.print(format!(
        "{}: {} of {} mutants killed",
        series.name(),
        mutants.len() - failed.len(),
        mutants.len()
    ));
    match failed.len() {
        0 => Ok(()),
        some => Err(Failure::tests(format!(
            "{some} of {} mutants are not killed",
            mutants.len()
        ))
        .help("write a test that fails on the mutant, and list it in the mutant's `tests`")),
    }
}

/// Returns the key of a mutant's result.
fn key(series: &Loaded, trees: &Trees, case: &MutantCase) -> Result<String, Failure> {
    trees.key(
        series,
        &Tested {
            kind: Kind::Mutant,
            tree: &case.tree,
            patterns: &case.mutant.tests(),
            cpus: case.mutant.described.cpus,
            expect_without: None,
            direct_boot: false,
        },
    )
}

/// A mutant, and the key of its result.
type KeyedMutant<'a> = (&'a Mutant, String);

/// Runs the tests that `tests` returns for each mutant, on the series and then
/// on the mutant. Reports each result to `done`.
fn each<'a>(
    runner: &Runner<'_>,
    mutants: &[KeyedMutant<'a>],
    tests: &dyn Fn(&Mutant) -> Vec<String>,
    done: &mut dyn FnMut(&KeyedMutant<'a>, MutantResult) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let tests: Vec<Vec<String>> = mutants.iter().map(|(mutant, _)| tests(mutant)).collect();
    let selections: Vec<TestSelection<'_>> = mutants
        .iter()
        .zip(&tests)
        .map(|((mutant, _), patterns)| TestSelection {
            cpus: mutant.described.cpus,
            patterns,
        })
        .collect();
    let mut kernels = runner.baseline_kernels(&selections);
    let with_tests = mutants.iter().zip(&tests);
    kernels.extend(with_tests.map(|((mutant, _), tests)| kernel_of(mutant, tests)));
    runner.ahead(&kernels)?;
    let baseline = runner.baseline(&selections)?;
    for (mutant, tests) in mutants.iter().zip(&tests) {
        let result = run_one(runner, mutant.0, tests, &baseline)?;
        done(mutant, result)?;
    }
    Ok(())
}

/// Returns the result of a mutant that its own tests do not kill, from that of
/// the complete suite.
fn by_others(result: MutantResult) -> MutantResult {
    match result {
        MutantResult::Killed(by) => {
            let by: Vec<&str> = by.keys().map(String::as_str).collect();
            MutantResult::Invalid(format!(
                "killed by none of its `tests`, but by {}",
                by.join(", ")
            ))
        }
        other => other,
    }
}

fn run_one(
    runner: &Runner<'_>,
    mutant: &Mutant,
    tests: &[String],
    baseline: &Baseline,
) -> Result<MutantResult, Failure> {
    let cpus = mutant.described.cpus;
    runner.say(&format!("mutant {}{}", mutant.name(), on(cpus)));
    let result = runner.run(&kernel_of(mutant, tests))?;
    let with = baseline.with(cpus)?;
    Ok(evaluate(&names(tests, with)?, &result, with))
}

/// Returns the kernel with a mutant, and the tests to run on it.
fn kernel_of(mutant: &Mutant, tests: &[String]) -> KernelVariant {
    KernelVariant {
        name: format!("mutant/{}", mutant.name()),
        patch: Some(mutant.path.clone()),
        cpus: mutant.described.cpus,
        patterns: tests.to_vec(),
        ..KernelVariant::default()
    }
}

/// Evaluates the results of `tests` on a mutant and on the series.
fn evaluate(tests: &[String], mutant: &RunResult, with: &RunResult) -> MutantResult {
    if let Some(why) = reason("with the series", with).or_else(|| reason("invalid", mutant)) {
        return MutantResult::Invalid(why);
    }
    // As for an excluded patch: a test that passes with the series must fail.
    let rows = evaluate::evaluate(tests, Without::Fail, mutant, with);
    if rows.iter().all(|row| row.with != Verdict::Pass.word()) {
        return MutantResult::Invalid("none of its tests passes with the series".into());
    }
    let killed = rows.into_iter().filter(|row| row.reason.is_empty());
    let by: BTreeMap<String, String> = killed.map(|row| (row.test, row.without)).collect();
    match by.is_empty() {
        true => MutantResult::Survived,
        false => MutantResult::Killed(by),
    }
}

fn table(
    mutants: &[&Mutant],
    results: &Results,
    failed: &BTreeMap<String, String>,
) -> Vec<Vec<String>> {
    let head = ["mutant", "result", "by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for mutant in mutants {
        let name = mutant.name();
        let (result, by) = match (results.mutants.get(&name), failed.get(&name)) {
            (_, Some(why)) => (why.clone(), mutant.described.about.clone()),
            (Some(killed), None) => {
                let by = killed.by.iter();
                let by: Vec<String> = by.map(|(test, word)| format!("{test} {word}")).collect();
                ("killed".into(), by.join(", "))
            }
            (None, None) => ("not run".into(), String::new()),
        };
        rows.push(vec![name, result, by]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_report::fixtures::outcome;

    fn ran(verdicts: &[(&str, Verdict)]) -> RunResult {
        let outcomes = verdicts
            .iter()
            .map(|(name, verdict)| outcome(name, *verdict, 1));
        RunResult::Ran(outcomes.collect())
    }

    #[test]
    fn a_test_that_passes_with_the_series_kills_a_mutant() {
        use Verdict::{Crash, Fail, NotRun, Pass, Skip, Timeout, Xfail};
        let tests = ["a/x".to_owned(), "a/y".to_owned()];
        let good = ran(&[("a/x", Pass), ("a/y", Pass)]);
        let flaky = ran(&[("a/x", Pass), ("a/y", Pass), ("a/x", Fail)]);
        let killed = |list: &[(&str, &str)]| {
            let by = list
                .iter()
                .map(|(test, word)| ((*test).into(), (*word).into()));
            MutantResult::Killed(by.collect())
        };
        for (mutant, with, want) in [
            (
                ran(&[("a/x", Pass), ("a/y", Fail)]),
                &good,
                killed(&[("a/y", "FAIL")]),
            ),
            (
                ran(&[("a/x", Crash), ("a/y", Timeout)]),
                &good,
                killed(&[("a/x", "CRASH"), ("a/y", "TIMEOUT")]),
            ),
            (
                ran(&[("a/x", Pass), ("a/y", Pass), ("a/y", Fail)]),
                &good,
                killed(&[("a/y", "FAIL")]),
            ),
            (
                ran(&[("a/x", Pass), ("a/y", Pass)]),
                &good,
                MutantResult::Survived,
            ),
            (
                ran(&[("a/x", Skip), ("a/y", NotRun)]),
                &good,
                MutantResult::Survived,
            ),
            (
                ran(&[("a/x", Xfail), ("a/y", Pass)]),
                &good,
                MutantResult::Survived,
            ),
            (
                ran(&[("a/x", Fail), ("a/y", Pass)]),
                &flaky,
                MutantResult::Survived,
            ),
            (
                ran(&[("a/x", Fail), ("a/y", Fail)]),
                &ran(&[("a/x", Fail), ("a/y", Skip)]),
                MutantResult::Invalid("none of its tests passes with the series".into()),
            ),
            (
                RunResult::NoBoot("silent".into()),
                &good,
                MutantResult::Invalid("invalid: silent".into()),
            ),
            (
                ran(&[]),
                &RunResult::NoBuild("error".into()),
                MutantResult::Invalid("with the series: error".into()),
            ),
        ] {
            assert_eq!(evaluate(&tests, &mutant, with), want, "{mutant:?}");
        }
    }
}

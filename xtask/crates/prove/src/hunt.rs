//! Whether the suites notice a series' mutants.

use std::collections::BTreeMap;

use kdk_vm::verdict::Verdict;

use crate::judge::{self, Trial};
use crate::mutants::{MANIFEST, Mutant};
use crate::trees::Trees;
use crate::trial::{Kernel, Prover, Whole, Wish, on};
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

/// A mutant and the tree it makes.
#[derive(Debug)]
pub struct Quarry {
    mutant: Mutant,
    /// Id of the tree of the series with it.
    tree: String,
}

/// Applies each mutant to the series.
///
/// # Errors
/// One does not apply.
pub fn quarry(applied: &AppliedSeries<'_>, mutants: Vec<Mutant>) -> Result<Vec<Quarry>, Failure> {
    if mutants.is_empty() {
        let series = applied.series.name();
        return Err(Failure::usage(
            "play mutants",
            format!("no suite has mutants of the series {series}"),
        )
        .help(format!(
            "they are described in userland-tests/suites/SUITE/{MUTANTS}/{series}/{MANIFEST}"
        )));
    }
    let case = |mutant: Mutant| {
        let changes = [mutant.change()?];
        let commit = apply::commit(applied.git(), applied.tip(), &changes)
            .map_err(|failure| does_not_fit(&mutant, applied.series, &failure))?;
        let tree = repo::tree_of(applied.git(), &commit)?;
        Ok(Quarry { mutant, tree })
    };
    mutants.into_iter().map(case).collect()
}

fn does_not_fit(mutant: &Mutant, series: &Loaded, failure: &Failure) -> Failure {
    Failure::usage(
        format!("apply the mutant `{}`", mutant.name()),
        failure.in_one_line(),
    )
    .help(format!(
        "the series {} has changed since: make the same mistake in it again, and write the diff to {}",
        series.name(),
        mutant.path.display()
    ))
}

/// What came of a mutant.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Tests that pass with the series did not, and how they ended.
    Noticed(BTreeMap<String, String>),
    /// All passed.
    Survived,
    /// It says nothing of the tests, and why.
    Void(String),
}

/// Runs the tests of each mutant, and says which are not noticed. What was
/// noticed before and has not changed is not run again, unless `again`.
///
/// # Errors
/// A mutant survives, or the host failed.
pub fn hunt(
    prover: &Prover<'_>,
    series: &Loaded,
    trees: &Trees,
    quarry: &[Quarry],
    again: bool,
) -> Result<(), Failure> {
    let mut results = Results::read(&series.dir)?;
    let stale: Vec<Prey<'_>> = quarry
        .iter()
        .map(|prey| (&prey.mutant, key(series, trees, prey)))
        .filter(|(mutant, key)| {
            let known = results.mutants.get(&mutant.name());
            again || known.is_none_or(|noticed| noticed.key != *key)
        })
        .collect();
    let mut failed: BTreeMap<String, String> = BTreeMap::new();
    let mut note = |mutant: &Mutant, key: &str, end: End| {
        let name = mutant.name();
        results.mutants.remove(&name);
        match end {
            End::Noticed(by) => {
                let key = key.to_owned();
                results.mutants.insert(name, Killed { key, by });
            }
            End::Survived => {
                failed.insert(name, "SURVIVED".into());
            }
            End::Void(why) => {
                failed.insert(name, why);
            }
        }
        // At once: a run that is cut off keeps what it has found out.
        results.clone().write(&series.dir, &series.ids())
    };
    let nothing_new = stale.is_empty();
    let own = |mutant: &Mutant| mutant.tests();
    let mut survivors = Vec::new();
    each(prover, &stale, &own, &mut |(mutant, key), end| {
        if end == End::Survived && own(mutant) != mutant.whole_suite() {
            survivors.push((*mutant, key.clone()));
            return Ok(());
        }
        note(mutant, key, end)
    })?;
    // Last, as that takes its time.
    let suite = |mutant: &Mutant| mutant.whole_suite();
    each(prover, &survivors, &suite, &mut |(mutant, key), end| {
        note(mutant, key, by_others(end))
    })?;
    let mutants: Vec<&Mutant> = quarry.iter().map(|prey| &prey.mutant).collect();
    for line in columns(&table(&mutants, &results, &failed)) {
        println!("{line}");
    }
    if nothing_new {
        println!("{}", unchanged(series));
    }
    println!(
        "{}: {} of {} mutants noticed",
        series.name(),
        mutants.len() - failed.len(),
        mutants.len()
    );
    match failed.len() {
        0 => Ok(()),
        some => Err(Failure::tests(format!(
            "{some} of {} mutants are not noticed",
            mutants.len()
        ))
        .help("write a test that fails on it, and name it in the mutant's `tests`")),
    }
}

/// Digest of all that a mutant's end depends on.
fn key(series: &Loaded, trees: &Trees, prey: &Quarry) -> String {
    let more = format!("mutant {:?}", prey.mutant.described.cpus);
    trees.key(series, &prey.tree, &prey.mutant.tests(), &more)
}

/// A mutant, and the digest of all that its end depends on.
type Prey<'a> = (&'a Mutant, String);

/// Runs the tests that `tests` says for each mutant, on the series and then on
/// the mutant.
fn each<'a>(
    prover: &Prover<'_>,
    prey: &[Prey<'a>],
    tests: &dyn Fn(&Mutant) -> Vec<String>,
    tell: &mut dyn FnMut(&Prey<'a>, End) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let tests: Vec<Vec<String>> = prey.iter().map(|(mutant, _)| tests(mutant)).collect();
    let wishes: Vec<Wish<'_>> = prey
        .iter()
        .zip(&tests)
        .map(|((mutant, _), tests)| (mutant.described.cpus, tests.as_slice()))
        .collect();
    let whole = prover.whole(&wishes)?;
    for (prey, tests) in prey.iter().zip(&tests) {
        let end = tried(prover, prey.0, tests, &whole)?;
        tell(prey, end)?;
    }
    Ok(())
}

/// What the whole suite says of a mutant that its own tests do not notice.
fn by_others(end: End) -> End {
    match end {
        End::Noticed(by) => {
            let by: Vec<&str> = by.keys().map(String::as_str).collect();
            End::Void(format!(
                "noticed, but by none of its `tests`; by {}",
                by.join(", ")
            ))
        }
        other => other,
    }
}

fn tried(
    prover: &Prover<'_>,
    mutant: &Mutant,
    tests: &[String],
    whole: &Whole,
) -> Result<End, Failure> {
    let cpus = mutant.described.cpus;
    prover.say(&format!("mutant {}{}", mutant.name(), on(cpus)));
    let trial = prover.trial(&Kernel {
        patch: Some(mutant.path.clone()),
        cpus,
        patterns: tests.to_vec(),
        ..Kernel::default()
    })?;
    let with = whole.with(cpus)?;
    Ok(judge(&names(tests, with)?, &trial, with))
}

/// What `tests` say of a mutant.
fn judge(tests: &[String], mutant: &Trial, with: &Trial) -> End {
    if let Some(why) = reason("with the series", with).or_else(|| reason("void", mutant)) {
        return End::Void(why);
    }
    // As for a patch that is left out: what passes with the series has to fail.
    let rows = judge::judge(tests, Without::Fail, mutant, with);
    if rows.iter().all(|row| row.with != Verdict::Pass.word()) {
        return End::Void("none of its tests passes with the series".into());
    }
    let noticed = rows.into_iter().filter(|row| row.reason.is_empty());
    let by: BTreeMap<String, String> = noticed.map(|row| (row.test, row.without)).collect();
    match by.is_empty() {
        true => End::Survived,
        false => End::Noticed(by),
    }
}

fn table(
    mutants: &[&Mutant],
    results: &Results,
    failed: &BTreeMap<String, String>,
) -> Vec<Vec<String>> {
    let head = ["mutant", "so", "by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for mutant in mutants {
        let name = mutant.name();
        let (so, by) = match (results.mutants.get(&name), failed.get(&name)) {
            (_, Some(why)) => (why.clone(), mutant.described.about.clone()),
            (Some(noticed), None) => {
                let by = noticed.by.iter();
                let by: Vec<String> = by.map(|(test, word)| format!("{test} {word}")).collect();
                ("noticed".into(), by.join(", "))
            }
            (None, None) => ("not run".into(), String::new()),
        };
        rows.push(vec![name, so, by]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_report::fixtures::outcome;

    fn ran(verdicts: &[(&str, Verdict)]) -> Trial {
        let outcomes = verdicts
            .iter()
            .map(|(name, verdict)| outcome(name, *verdict, 1));
        Trial::Ran(outcomes.collect())
    }

    #[test]
    fn a_mutant_is_noticed_by_a_test_that_else_passes() {
        use Verdict::{Crash, Fail, NotRun, Pass, Skip, Timeout, Xfail};
        let tests = ["a/x".to_owned(), "a/y".to_owned()];
        let good = ran(&[("a/x", Pass), ("a/y", Pass)]);
        let flaky = ran(&[("a/x", Pass), ("a/y", Pass), ("a/x", Fail)]);
        let noticed = |list: &[(&str, &str)]| {
            let by = list
                .iter()
                .map(|(test, word)| ((*test).into(), (*word).into()));
            End::Noticed(by.collect())
        };
        for (mutant, with, want) in [
            (
                ran(&[("a/x", Pass), ("a/y", Fail)]),
                &good,
                noticed(&[("a/y", "FAIL")]),
            ),
            (
                ran(&[("a/x", Crash), ("a/y", Timeout)]),
                &good,
                noticed(&[("a/x", "CRASH"), ("a/y", "TIMEOUT")]),
            ),
            (
                ran(&[("a/x", Pass), ("a/y", Pass), ("a/y", Fail)]),
                &good,
                noticed(&[("a/y", "FAIL")]),
            ),
            (ran(&[("a/x", Pass), ("a/y", Pass)]), &good, End::Survived),
            (ran(&[("a/x", Skip), ("a/y", NotRun)]), &good, End::Survived),
            (ran(&[("a/x", Xfail), ("a/y", Pass)]), &good, End::Survived),
            (ran(&[("a/x", Fail), ("a/y", Pass)]), &flaky, End::Survived),
            (
                ran(&[("a/x", Fail), ("a/y", Fail)]),
                &ran(&[("a/x", Fail), ("a/y", Skip)]),
                End::Void("none of its tests passes with the series".into()),
            ),
            (
                Trial::NoBoot("silent".into()),
                &good,
                End::Void("void: silent".into()),
            ),
            (
                ran(&[]),
                &Trial::NoBuild("error".into()),
                End::Void("with the series: error".into()),
            ),
        ] {
            assert_eq!(judge(&tests, &mutant, with), want, "{mutant:?}");
        }
    }
}

//! Whether each patch of a series is needed: its tests fail without it and
//! pass with it.

pub mod hunt;
pub mod judge;
pub mod mutants;
pub mod plan;
mod programs;
pub mod steps;
pub mod trees;
pub mod trial;

use std::collections::BTreeMap;

use kdk_vm::select;

use crate::judge::{Trial, judge};
use crate::trees::Trees;
use crate::trial::{Kernel, Prover, Wish, on};
use kdk_core::columns::columns;
use kdk_core::failure::Failure;
use kdk_series::load::Loaded;
use kdk_series::manifest::{Check, Class, Patch};
use kdk_series::results::{Proof, Results};

/// Proves the patches `ids` of `series`, or all that have tests, and notes
/// what came of it. What was proven before and has not changed is not run
/// again, unless `again`.
///
/// # Errors
/// A patch is not proven, or the host failed.
pub fn prove(
    prover: &Prover<'_>,
    series: &Loaded,
    trees: &Trees,
    ids: &[String],
    again: bool,
) -> Result<(), Failure> {
    let chosen = chosen(series, ids)?;
    let mut results = Results::read(&series.dir)?;
    let keys: BTreeMap<&str, String> = chosen
        .iter()
        .map(|patch| (patch.id.as_str(), key(series, trees, patch)))
        .collect();
    let stale: Vec<&Patch> = chosen
        .iter()
        .copied()
        .filter(|patch| {
            let known = results.proofs.get(&patch.id);
            again
                || !known.is_some_and(|proof| proof.holds() && proof.key == keys[patch.id.as_str()])
        })
        .collect();
    let mut reasons = Vec::new();
    let wishes: Vec<Wish<'_>> = stale
        .iter()
        .map(|patch| (patch.check.cpus, patch.check.tests.as_slice()))
        .collect();
    let whole = prover.whole(&wishes)?;
    for patch in &stale {
        let (check, id) = (&patch.check, &patch.id);
        let with = whole.with(check.cpus)?;
        prover.say(&format!("without {id}{}", on(check.cpus)));
        let without = prover.trial(&Kernel {
            without: vec![id.clone()],
            pvh: patch.class == Class::Enabling,
            cpus: check.cpus,
            patterns: check.tests.clone(),
            ..Kernel::default()
        })?;
        let tests = names(&check.tests, with)?;
        let proof = Proof {
            key: keys[id.as_str()].clone(),
            patch_id: trees.patch_ids[id].clone(),
            tree: trees.whole.clone(),
            without: trees.without[id].clone(),
            tests: judge(&tests, check.expect_without, &without, with),
        };
        reasons.extend(reason(&format!("without {id}"), &without));
        results.proofs.insert(id.clone(), proof);
        // At once: a run that is cut off keeps what it has found out.
        results.clone().write(&series.dir, &series.ids())?;
    }
    for with in whole.trials() {
        reasons.extend(reason("with the series", with));
    }
    for line in columns(&table(&chosen, &results)) {
        println!("{line}");
    }
    for reason in reasons {
        println!("{reason}");
    }
    if stale.is_empty() {
        println!("{}", unchanged(series));
    }
    verdict(series, &chosen, &results)
}

/// What is said when all is known already.
pub fn unchanged(series: &Loaded) -> String {
    let name = series.name();
    format!("{name}: nothing has changed since, so nothing was run")
}

/// The patches that are to be proven.
fn chosen<'a>(series: &'a Loaded, ids: &[String]) -> Result<Vec<&'a Patch>, Failure> {
    let tried = "prove a patch";
    if ids.is_empty() {
        let patches = series.manifest.patches.iter();
        let chosen: Vec<&Patch> = patches
            .filter(|patch| !patch.check.tests.is_empty())
            .collect();
        if chosen.is_empty() {
            let none = format!("no patch of {} says which tests prove it", series.name());
            return Err(Failure::usage(tried, none).help("list them under `check: {tests: [..]}`"));
        }
        return Ok(chosen);
    }
    let mut chosen = Vec::new();
    for id in ids {
        let patch = series.patch(id)?;
        if patch.check.tests.is_empty() {
            return Err(
                Failure::usage(tried, format!("'{id}' does not say which tests prove it"))
                    .help("list them under `check: {tests: [..]}` in series.yaml"),
            );
        }
        chosen.push(patch);
    }
    Ok(chosen)
}

/// Digest of all that the proof of `patch` depends on.
pub fn key(series: &Loaded, trees: &Trees, patch: &Patch) -> String {
    let Check {
        cpus,
        expect_without,
        ..
    } = patch.check;
    let more = format!("{expect_without:?} {:?} {cpus:?}", patch.class);
    trees.key(series, &trees.without[&patch.id], &patch.check.tests, &more)
}

/// The names that `patterns` stand for; where no test ran, the patterns.
pub fn names(patterns: &[String], trial: &Trial) -> Result<Vec<String>, Failure> {
    let Trial::Ran(outcomes) = trial else {
        return Ok(patterns.to_vec());
    };
    let mut names: Vec<String> = Vec::new();
    for outcome in outcomes {
        for pattern in patterns {
            let named = select::stands_for(pattern, &outcome.name)
                .map_err(|error| Failure::usage("choose tests", error.to_string()))?;
            if named && !names.contains(&outcome.name) {
                names.push(outcome.name.clone());
            }
        }
    }
    Ok(names)
}

/// Why no test ran, if none did.
pub fn reason(which: &str, trial: &Trial) -> Option<String> {
    match trial {
        Trial::Ran(_) => None,
        Trial::NoBoot(why) | Trial::NoBuild(why) => Some(format!("{which}: {why}")),
    }
}

fn table(patches: &[&Patch], results: &Results) -> Vec<Vec<String>> {
    let head = ["patch", "test", "without", "with", "so"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for patch in patches {
        for row in results.rows(&patch.id) {
            let so = match row.reason.as_str() {
                "" => "proven",
                why => why,
            };
            let cells = [&patch.id, &row.test, &row.without, &row.with, so];
            rows.push(cells.map(str::to_owned).to_vec());
        }
    }
    rows
}

fn verdict(series: &Loaded, chosen: &[&Patch], results: &Results) -> Result<(), Failure> {
    let holds = |patch: &&&Patch| results.proofs.get(&patch.id).is_some_and(Proof::holds);
    let proven = chosen.iter().filter(holds).count();
    let untested: Vec<&str> = series
        .manifest
        .patches
        .iter()
        .filter(|patch| patch.check.tests.is_empty())
        .map(|patch| patch.id.as_str())
        .collect();
    if !untested.is_empty() {
        println!("no test proves {}", untested.join(", "));
    }
    println!(
        "{}: {proven} of {} patches proven",
        series.name(),
        chosen.len()
    );
    if proven == chosen.len() {
        return Ok(());
    }
    Err(Failure::tests(format!(
        "{} of {} patches are not proven",
        chosen.len() - proven,
        chosen.len()
    )))
}

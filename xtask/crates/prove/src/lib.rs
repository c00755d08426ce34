//! Proves that each patch of a series is needed: its tests fail without it and
//! pass with it. Tests the prefixes of a series, and checks that its tests
//! kill its mutants.

pub mod evaluate;
pub mod guest_sources;
mod key;
pub mod mutants;
pub mod mutation;
mod normal_form;
pub mod plan;
pub mod prefixes;
pub mod runner;
pub mod trees;

use std::collections::BTreeMap;

use kdk_vm::select;

use crate::evaluate::{RunResult, evaluate};
use crate::key::Kind;
use crate::runner::{KernelVariant, Runner, TestSelection, on};
use crate::trees::{Tested, Trees};
use kdk_core::columns::columns;
use kdk_core::failure::Failure;
use kdk_core::terminal::Terminal;
use kdk_series::load::Loaded;
use kdk_series::manifest::{Class, Patch};
use kdk_series::results::{Proof, Results};

/// Proves the patches `ids` of `series`, or all that have tests, and stores the
/// results. A proof whose inputs are unchanged is repeated only with `force`.
///
/// # Errors
/// A patch is not proven, or the host failed.
pub fn prove(
    runner: &Runner<'_>,
    series: &Loaded,
    trees: &Trees,
    ids: &[String],
    force: bool,
) -> Result<(), Failure> {
    let chosen = chosen(series, ids)?;
    let mut results = Results::read(runner.results)?;
    let mut keys: BTreeMap<&str, String> = BTreeMap::new();
    for patch in &chosen {
        keys.insert(patch.id.as_str(), key(series, trees, patch)?);
    }
    let stale: Vec<&Patch> = chosen
        .iter()
        .copied()
        .filter(|patch| {
            let known = results.proofs.get(&patch.id);
            force
                || !known.is_some_and(|proof| proof.holds() && proof.key == keys[patch.id.as_str()])
        })
        .collect();
    let mut reasons = Vec::new();
    let selections: Vec<TestSelection<'_>> = stale
        .iter()
        .map(|patch| TestSelection {
            cpus: patch.check.cpus,
            patterns: &patch.check.tests,
        })
        .collect();
    let mut kernels = runner.baseline_kernels(&selections);
    kernels.extend(stale.iter().map(|patch| without(patch)));
    runner.ahead(&kernels)?;
    let baseline = runner.baseline(&selections)?;
    for patch in &stale {
        let (check, id) = (&patch.check, &patch.id);
        let with = baseline.with(check.cpus)?;
        runner.say(&format!("without {id}{}", on(check.cpus)));
        let without = runner.run(&without(patch))?;
        let tests = names(&check.tests, with)?;
        let proof = Proof {
            key: keys[id.as_str()].clone(),
            patch_id: trees.patch_ids[id].clone(),
            tree: trees.all.clone(),
            without: trees.without[id].clone(),
            tests: evaluate(&tests, check.expect_without, &without, with),
        };
        reasons.extend(reason(&format!("without {id}"), &without));
        results.proofs.insert(id.clone(), proof);
        // After each proof, so that an interrupted run keeps its results.
        results.clone().write(runner.results, &series.ids())?;
    }
    for with in baseline.results() {
        reasons.extend(reason("with the series", with));
    }
    let terminal = &runner.cx.terminal;
    for line in columns(&table(&chosen, &results)) {
        terminal.print(&line);
    }
    for reason in reasons {
        terminal.print(&reason);
    }
    if stale.is_empty() {
        terminal.print(unchanged(series));
    }
    verdict(terminal, series, &chosen, &results)
}

/// Returns the kernel without `patch`, and the tests of the patch.
fn without(patch: &Patch) -> KernelVariant {
    let check = &patch.check;
    KernelVariant {
        name: format!("without/{}", patch.id),
        exclude: vec![patch.id.clone()],
        pvh: is_enabling(patch),
        cpus: check.cpus,
        patterns: check.tests.clone(),
        ..KernelVariant::default()
    }
}

/// Returns the message for a command that had nothing to run.
pub fn unchanged(series: &Loaded) -> String {
    let name = series.name();
    format!("{name}: nothing has changed since the last run; nothing to do")
}

/// Returns the patches to prove.
fn chosen<'a>(series: &'a Loaded, ids: &[String]) -> Result<Vec<&'a Patch>, Failure> {
    let tried = "prove a patch";
    if ids.is_empty() {
        let patches = series.manifest.patches.iter();
        let chosen: Vec<&Patch> = patches
            .filter(|patch| !patch.check.tests.is_empty())
            .collect();
        if chosen.is_empty() {
            let none = format!(
                "no patch of {} lists the tests that prove it",
                series.name()
            );
            return Err(Failure::usage(tried, none)
                .help("list them under `check: {tests: [..]}` in series.yaml"));
        }
        return Ok(chosen);
    }
    let mut chosen = Vec::new();
    for id in ids {
        let patch = series.patch(id)?;
        if patch.check.tests.is_empty() {
            return Err(Failure::usage(
                tried,
                format!("'{id}' does not list the tests that prove it"),
            )
            .help("list them under `check: {tests: [..]}` in series.yaml"));
        }
        chosen.push(patch);
    }
    Ok(chosen)
}

/// Returns the key of the proof of `patch`.
///
/// # Errors
/// The host failed.
pub fn key(series: &Loaded, trees: &Trees, patch: &Patch) -> Result<String, Failure> {
    let check = &patch.check;
    trees.key(
        series,
        &Tested {
            kind: Kind::Proof,
            tree: &trees.without[&patch.id],
            patterns: &check.tests,
            cpus: check.cpus,
            expect_without: Some(check.expect_without),
            direct_boot: is_enabling(patch),
        },
    )
}

/// Returns whether the kernel boots directly because of `patch`. The kernel
/// without it is booted directly too, which shows that the patch is needed.
fn is_enabling(patch: &Patch) -> bool {
    patch.class == Class::Enabling
}

/// Returns the names of the tests in `result` that `patterns` select; the
/// patterns themselves where no test ran.
pub fn names(patterns: &[String], result: &RunResult) -> Result<Vec<String>, Failure> {
    let RunResult::Ran(outcomes) = result else {
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

/// Returns why no test ran on the kernel `which`; `None` if some ran.
pub fn reason(which: &str, result: &RunResult) -> Option<String> {
    match result {
        RunResult::Ran(_) => None,
        RunResult::NoBoot(why) | RunResult::NoBuild(why) => Some(format!("{which}: {why}")),
    }
}

fn table(patches: &[&Patch], results: &Results) -> Vec<Vec<String>> {
    let head = ["patch", "test", "without", "with", "result"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for patch in patches {
        for row in results.rows(&patch.id) {
            let result = match row.reason.as_str() {
                "" => "proven",
                why => why,
            };
            let cells = [&patch.id, &row.test, &row.without, &row.with, result];
            rows.push(cells.map(str::to_owned).to_vec());
        }
    }
    rows
}

fn verdict(
    terminal: &Terminal,
    series: &Loaded,
    chosen: &[&Patch],
    results: &Results,
) -> Result<(), Failure> {
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
        terminal.print(format!("without tests: {}", untested.join(", ")));
    }
    terminal.print(format!(
        "{}: {proven} of {} patches proven",
        series.name(),
        chosen.len()
    ));
    if proven == chosen.len() {
        return Ok(());
    }
    Err(Failure::tests(format!(
        "{} of {} patches are not proven",
        chosen.len() - proven,
        chosen.len()
    )))
}

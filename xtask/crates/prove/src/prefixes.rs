//! Tests every prefix of a series: it builds, boots and passes its tests.

use std::collections::BTreeMap;

use kdk_vm::verdict::Outcome;

use crate::evaluate::RunResult;
use crate::key::Kind;
use crate::plan;
use crate::runner::{KernelVariant, Runner};
use crate::trees::{self, Trees};
use crate::unchanged;
use kdk_core::columns::columns;
use kdk_core::failure::Failure;
use kdk_series::load::Loaded;
use kdk_series::results::{Results, Tested};

/// Tests every prefix of `series`, from no patch to all, and stores which
/// passed. A prefix that passed and is unchanged is repeated only with `force`.
///
/// # Errors
/// A prefix did not pass, or the host failed.
pub fn each_prefix(
    runner: &Runner<'_>,
    series: &Loaded,
    trees: &Trees,
    force: bool,
) -> Result<(), Failure> {
    let ids = series.ids();
    let mut results = Results::read(runner.results)?;
    let mut rows = vec![
        ["patches", "last", "verdicts", "result"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let (mut failed, mut ran) = (0, 0);
    let mut keys = Vec::new();
    for (count, tree) in trees.prefixes.iter().enumerate() {
        let tested = trees::Tested {
            kind: Kind::Prefix,
            tree,
            patterns: &plan::tests_of_prefix(&series.manifest.patches, count),
            cpus: None,
            expect_without: None,
            direct_boot: false,
        };
        keys.push((tree, trees.key(series, &tested)?));
    }
    let is_known = |results: &Results, tree: &String, key: &str| {
        let known = results.tested.get(tree);
        known.is_some_and(|known| known.key == key && !force)
    };
    let all = keys.iter().enumerate();
    let stale = all.filter(|(_, (tree, key))| !is_known(&results, tree, key));
    let stale: Vec<KernelVariant> = stale.map(|(count, _)| prefix(series, count)).collect();
    runner.ahead(&stale)?;
    for (count, (tree, key)) in keys.into_iter().enumerate() {
        let (here, _) = ids.split_at(count);
        let last = here.last().map_or("(none)", String::as_str);
        let known = results
            .tested
            .get(tree)
            .filter(|_| is_known(&results, tree, &key));
        let (verdicts, result) = match known {
            Some(known) => (
                known.verdicts.clone(),
                "passed before, unchanged".to_owned(),
            ),
            None => {
                ran += 1;
                runner.say(&format!("with the first {count} of {} patches", ids.len()));
                let result = runner.run(&prefix(series, count))?;
                let (verdicts, result) = summarize(&result);
                if result == PASSED {
                    let tested = Tested {
                        key,
                        patches: here.to_vec(),
                        verdicts: verdicts.clone(),
                    };
                    results.tested.insert(tree.clone(), tested);
                } else {
                    failed += 1;
                    results.tested.remove(tree);
                }
                results.clone().write(runner.results, &ids)?;
                (verdicts, result)
            }
        };
        let counts: Vec<String> = verdicts
            .iter()
            .map(|(word, n)| format!("{n} {word}"))
            .collect();
        rows.push(vec![
            count.to_string(),
            last.to_owned(),
            counts.join(", "),
            result,
        ]);
    }
    let terminal = &runner.cx.terminal;
    for line in columns(&rows) {
        terminal.print(&line);
    }
    if ran == 0 {
        terminal.print(unchanged(series));
    }
    if failed == 0 {
        return Ok(());
    }
    let prefixes = trees.prefixes.len();
    Err(Failure::tests(format!(
        "{failed} of {prefixes} prefixes did not pass"
    )))
}

/// Returns the kernel with the first `count` patches of a series, and the tests
/// that it must pass.
fn prefix(series: &Loaded, count: usize) -> KernelVariant {
    KernelVariant {
        name: format!("prefix/{count:02}"),
        exclude: series.ids().split_off(count),
        patterns: plan::tests_of_prefix(&series.manifest.patches, count),
        ..KernelVariant::default()
    }
}

const PASSED: &str = "passed";

/// Returns the number of tests by verdict, and the result of the prefix.
fn summarize(result: &RunResult) -> (BTreeMap<String, usize>, String) {
    let mut verdicts = BTreeMap::new();
    let outcomes = match result {
        RunResult::Ran(outcomes) => outcomes,
        RunResult::NoBoot(why) | RunResult::NoBuild(why) => return (verdicts, why.clone()),
    };
    for outcome in outcomes {
        *verdicts
            .entry(outcome.verdict.word().to_owned())
            .or_insert(0) += 1;
    }
    let unexpected = |outcome: &&Outcome| !outcome.verdict.is_as_expected();
    let names: Vec<&str> = outcomes
        .iter()
        .filter(unexpected)
        .map(|o| o.name.as_str())
        .collect();
    let result = match names.as_slice() {
        [] => PASSED.to_owned(),
        names => format!("not as expected: {}", names.join(", ")),
    };
    (verdicts, result)
}

#[cfg(test)]
mod tests {
    use kdk_vm::verdict::Verdict::{Fail, Pass, Skip, Xfail};

    use super::*;
    use kdk_report::fixtures::outcome;

    #[test]
    fn a_prefix_passes_when_every_test_ends_as_expected() {
        let ran = |verdicts: &[kdk_vm::verdict::Verdict]| {
            let outcomes = verdicts.iter().map(|verdict| outcome("a/x", *verdict, 1));
            summarize(&RunResult::Ran(outcomes.collect())).1
        };
        assert_eq!(ran(&[Pass, Skip, Xfail]), PASSED);
        assert_eq!(ran(&[Pass, Fail]), "not as expected: a/x");
        assert_eq!(summarize(&RunResult::NoBoot("no".into())).1, "no");
    }
}

//! Every prefix of a series: it builds, boots, and passes what it should.

use std::collections::BTreeMap;

use kdk_vm::verdict::Outcome;

use crate::judge::Trial;
use crate::plan;
use crate::trees::Trees;
use crate::trial::{Kernel, Prover};
use crate::unchanged;
use kdk_core::columns::columns;
use kdk_core::failure::Failure;
use kdk_series::load::Loaded;
use kdk_series::results::{Results, Tested};

/// Tests the first patches of `series`, from none to all, and notes which are
/// good. What was good before and has not changed is not run again, unless
/// `again`.
///
/// # Errors
/// A step is not good, or the host failed.
pub fn each_step(
    prover: &Prover<'_>,
    series: &Loaded,
    trees: &Trees,
    again: bool,
) -> Result<(), Failure> {
    let ids = series.ids();
    let mut results = Results::read(&series.dir)?;
    let mut rows = vec![
        ["patches", "last", "verdicts", "so"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let (mut bad, mut ran) = (0, 0);
    for (count, tree) in trees.steps.iter().enumerate() {
        let (here, later) = ids.split_at(count);
        let last = here.last().map_or("(none)", String::as_str);
        let patterns = plan::tests_of_step(&series.manifest.patches, count);
        let key = trees.key(series, tree, &patterns, "step");
        let known = results
            .tested
            .get(tree)
            .filter(|known| known.key == key && !again);
        let (verdicts, so) = match known {
            Some(known) => (
                known.verdicts.clone(),
                "good, and unchanged since".to_owned(),
            ),
            None => {
                ran += 1;
                prover.say(&format!("with the first {count} of {} patches", ids.len()));
                let trial = prover.trial(&Kernel {
                    without: later.to_vec(),
                    patterns,
                    ..Kernel::default()
                })?;
                let (verdicts, so) = judged(&trial);
                if so == GOOD {
                    let tested = Tested {
                        key,
                        patches: here.to_vec(),
                        verdicts: verdicts.clone(),
                    };
                    results.tested.insert(tree.clone(), tested);
                } else {
                    bad += 1;
                    results.tested.remove(tree);
                }
                results.clone().write(&series.dir, &ids)?;
                (verdicts, so)
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
            so,
        ]);
    }
    for line in columns(&rows) {
        println!("{line}");
    }
    if ran == 0 {
        println!("{}", unchanged(series));
    }
    if bad == 0 {
        return Ok(());
    }
    let steps = trees.steps.len();
    Err(Failure::tests(format!(
        "{bad} of {steps} steps are not good"
    )))
}

const GOOD: &str = "good";

/// Counts by verdict, and what to say of them.
fn judged(trial: &Trial) -> (BTreeMap<String, usize>, String) {
    let mut verdicts = BTreeMap::new();
    let outcomes = match trial {
        Trial::Ran(outcomes) => outcomes,
        Trial::NoBoot(why) | Trial::NoBuild(why) => return (verdicts, why.clone()),
    };
    for outcome in outcomes {
        *verdicts
            .entry(outcome.verdict.word().to_owned())
            .or_insert(0) += 1;
    }
    let bad = |outcome: &&Outcome| !outcome.verdict.is_as_expected();
    let names: Vec<&str> = outcomes
        .iter()
        .filter(bad)
        .map(|o| o.name.as_str())
        .collect();
    let so = match names.as_slice() {
        [] => GOOD.to_owned(),
        names => format!("not as expected: {}", names.join(", ")),
    };
    (verdicts, so)
}

#[cfg(test)]
mod tests {
    use kdk_vm::verdict::Verdict::{Fail, Pass, Skip, Xfail};

    use super::*;
    use kdk_report::fixtures::outcome;

    #[test]
    fn a_step_is_good_when_all_ends_as_expected() {
        let ran = |verdicts: &[kdk_vm::verdict::Verdict]| {
            let outcomes = verdicts.iter().map(|verdict| outcome("a/x", *verdict, 1));
            judged(&Trial::Ran(outcomes.collect())).1
        };
        assert_eq!(ran(&[Pass, Skip, Xfail]), GOOD);
        assert_eq!(ran(&[Pass, Fail]), "not as expected: a/x");
        assert_eq!(judged(&Trial::NoBoot("no".into())).1, "no");
    }
}

//! The slowest tests.

use kdk_vm::verdict::Outcome;

use kdk_core::terminal::seconds;

/// The number of slowest tests that are shown by default ...
const SHOWN: usize = 5;

/// ... if more tests than this ran.
const FEW: usize = 10;

/// Returns the `count` slowest tests, the slowest first, each once for each
/// number of CPUs.
pub fn slowest(outcomes: &[Outcome], count: usize) -> Vec<&Outcome> {
    let mut ran: Vec<&Outcome> = outcomes.iter().filter(|one| one.ms > 0).collect();
    ran.sort_by(|a, b| b.ms.cmp(&a.ms).then_with(|| a.name.cmp(&b.name)));
    let mut shown: Vec<&Outcome> = Vec::new();
    for one in ran {
        if shown.len() == count {
            break;
        }
        let is_same = |other: &&Outcome| (&other.name, other.cpus) == (&one.name, one.cpus);
        if !shown.iter().any(is_same) {
            shown.push(one);
        }
    }
    shown
}

/// Renders the slowest tests; `wanted` is the number that the user asked for.
pub fn lines(outcomes: &[Outcome], wanted: Option<usize>) -> Vec<String> {
    let count = match wanted {
        Some(count) => count,
        None if outcomes.len() > FEW => SHOWN,
        None => 0,
    };
    slowest(outcomes, count)
        .into_iter()
        .map(|one| {
            format!(
                "{:>9}  {:<7} {:>9}  {}",
                "slowest",
                "",
                seconds(one.ms),
                one.label()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::outcome;
    use kdk_vm::verdict::Verdict::{NotRun, Pass};

    #[test]
    fn the_slowest_first_each_test_once() {
        let outcomes = [
            outcome("a/x", Pass, 5),
            outcome("a/y", Pass, 70),
            outcome("a/x", Pass, 9),
            outcome("a/b", Pass, 9),
            outcome("a/z", NotRun, 0),
        ];
        let names = |count| -> Vec<&str> {
            slowest(&outcomes, count)
                .iter()
                .map(|one| one.name.as_str())
                .collect()
        };
        assert_eq!(names(9), ["a/y", "a/b", "a/x"]);
        assert_eq!(names(1), ["a/y"]);
        assert!(names(0).is_empty());
    }

    #[test]
    fn how_many_are_shown() {
        let outcomes = |count| -> Vec<Outcome> {
            (0..count)
                .map(|at| outcome(&format!("a/{at}"), Pass, 1 + at))
                .collect()
        };
        for (ran, wanted, shown) in [
            (10, None, 0),
            (11, None, 5),
            (11, Some(0), 0),
            (11, Some(7), 7),
            (3, Some(7), 3),
        ] {
            let lines = lines(&outcomes(ran), wanted);
            assert_eq!(lines.len(), shown, "{ran} {wanted:?}");
        }
        insta::assert_snapshot!(lines(&outcomes(3), Some(1)).join("\n"));
    }
}

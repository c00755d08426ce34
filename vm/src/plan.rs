//! Which tests run, how often, in which order, and which of them share a
//! kernel. Pure.

use std::collections::BTreeMap;

use crate::protocol::TestEntry;
use crate::select::{SelectError, select};

/// Which tests share a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// No tests: each has a fresh kernel.
    Test,
    /// The tests of one suite.
    Suite,
    /// All tests. A fresh kernel is started only after one was lost.
    #[default]
    None,
}

impl std::str::FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "test" => Ok(Self::Test),
            "suite" => Ok(Self::Suite),
            "none" => Ok(Self::None),
            _ => Err(format!("{text:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

impl Isolation {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 3] = ["test", "suite", "none"];

    /// Returns its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Suite => "suite",
            Self::None => "none",
        }
    }
}

/// The tests that a run selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names and globs. Without any, the default tests are selected.
    pub patterns: Vec<String>,
    /// The number of rounds. 0 counts as 1.
    pub repeat: usize,
    /// Whether the seed decides the order of the tests.
    pub shuffle: bool,
    /// The seed of all random choices of the run.
    pub seed: u64,
}

/// One run of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The test to run.
    pub test: TestEntry,
    /// The number of the round, from 1.
    pub round: usize,
    /// The seed of this case.
    pub seed: u64,
}

/// The cases that one kernel runs, in order, by their index in the plan.
pub type Batch = Vec<usize>;

/// Returns every case of a run, in the order of the report.
///
/// # Errors
/// Fails as [`select`] does.
pub fn plan(tests: &[TestEntry], selection: &Selection) -> Result<Vec<Case>, SelectError> {
    let chosen = select(tests, &selection.patterns)?;
    let mut cases: Vec<Case> = (1..=selection.repeat.max(1))
        .flat_map(|round| {
            chosen.iter().map(move |test| Case {
                test: test.clone(),
                round,
                seed: seed(selection.seed, &test.name, round),
            })
        })
        .collect();
    if selection.shuffle {
        fastrand::Rng::with_seed(selection.seed).shuffle(&mut cases);
    }
    Ok(cases)
}

/// Returns the seed of a case. It differs for each test and round, and depends
/// only on these and on the run's seed.
fn seed(run: u64, name: &str, round: usize) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&run.to_le_bytes());
    hasher.update(&(round as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Splits a plan into batches, each of which shares a kernel.
pub fn batches(cases: &[Case], isolation: Isolation) -> Vec<Batch> {
    match isolation {
        Isolation::Test => (0..cases.len()).map(|at| vec![at]).collect(),
        Isolation::None if cases.is_empty() => Vec::new(),
        Isolation::None => vec![(0..cases.len()).collect()],
        Isolation::Suite => {
            let mut batches: Vec<Batch> = Vec::new();
            let mut known: BTreeMap<(usize, &str), usize> = BTreeMap::new();
            for (at, case) in cases.iter().enumerate() {
                let key = (case.round, case.test.suite());
                let batch = *known.entry(key).or_insert_with(|| {
                    batches.push(Batch::new());
                    batches.len() - 1
                });
                batches[batch].push(at);
            }
            batches
        }
    }
}

/// Sorts the batches by their last duration, longest first, so that all workers
/// end at about the same time. A test without a duration counts with its limit.
pub fn longest_first(batches: &mut [Batch], cases: &[Case], last: &BTreeMap<String, u64>) {
    let ms = |case: &Case| {
        let known = last.get(&case.test.name).copied();
        known.unwrap_or_else(|| u64::try_from(case.test.limit.as_millis()).unwrap_or(u64::MAX))
    };
    batches.sort_by_key(|batch| {
        let time = batch.iter().filter_map(|at| cases.get(*at)).map(ms);
        std::cmp::Reverse(time.fold(0, u64::saturating_add))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(names: &[&str]) -> Vec<TestEntry> {
        let test = |name: &&str| {
            TestEntry::parse(&format!(
                "{name} where=kernel limit_ms=1000 expect=pass default=yes"
            ))
            .unwrap()
        };
        names.iter().map(test).collect()
    }

    fn names(cases: &[Case]) -> Vec<&str> {
        cases.iter().map(|case| case.test.name.as_str()).collect()
    }

    const NAMES: [&str; 4] = ["a/one", "b/one", "a/two", "c/one"];

    #[test]
    fn rounds_follow_each_other_and_every_case_has_its_own_seed() {
        let selection = Selection {
            repeat: 2,
            seed: 7,
            ..Selection::default()
        };
        let cases = plan(&tests(&NAMES), &selection).unwrap();
        assert_eq!(names(&cases), [NAMES, NAMES].concat());
        assert_eq!((cases[3].round, cases[4].round), (1, 2));
        let seeds: std::collections::BTreeSet<u64> = cases.iter().map(|case| case.seed).collect();
        assert_eq!(seeds.len(), cases.len());
        assert_eq!(plan(&tests(&NAMES), &selection).unwrap(), cases);
        // A test's seed does not depend on which others run.
        let alone = Selection {
            patterns: vec!["a/two".into()],
            ..selection
        };
        assert_eq!(plan(&tests(&NAMES), &alone).unwrap()[0], cases[2]);
    }

    #[test]
    fn a_seed_decides_the_order_of_a_shuffle() {
        let shuffled = |seed| {
            let selection = Selection {
                shuffle: true,
                seed,
                ..Selection::default()
            };
            plan(&tests(&NAMES), &selection).unwrap()
        };
        assert_eq!(shuffled(1), shuffled(1));
        let orders: std::collections::BTreeSet<Vec<String>> = (0..20)
            .map(|seed| {
                let cases = shuffled(seed);
                names(&cases).into_iter().map(str::to_owned).collect()
            })
            .collect();
        assert!(orders.len() > 5, "{orders:?}");
        for order in orders {
            let mut sorted = order.clone();
            sorted.sort();
            assert_eq!(sorted, ["a/one", "a/two", "b/one", "c/one"]);
        }
    }

    #[test]
    fn what_shares_a_kernel() {
        let selection = Selection {
            repeat: 2,
            ..Selection::default()
        };
        let cases = plan(&tests(&NAMES), &selection).unwrap();
        assert_eq!(batches(&cases, Isolation::Test).len(), 8);
        assert_eq!(
            batches(&cases, Isolation::Suite),
            [vec![0, 2], vec![1], vec![3], vec![4, 6], vec![5], vec![7]]
        );
        assert_eq!(batches(&cases, Isolation::None), [Vec::from_iter(0..8)]);
        for isolation in [Isolation::Test, Isolation::Suite, Isolation::None] {
            assert!(batches(&[], isolation).is_empty());
        }
    }

    #[test]
    fn what_took_longest_goes_first_and_the_unknown_before_the_quick() {
        let cases = plan(&tests(&NAMES), &Selection::default()).unwrap();
        let last = BTreeMap::from([
            ("a/one".into(), 10),
            ("b/one".into(), 5000),
            ("a/two".into(), 20),
        ]);
        let mut batches = batches(&cases, Isolation::Test);
        longest_first(&mut batches, &cases, &last);
        assert_eq!(batches, [[1], [3], [2], [0]]);
    }
}

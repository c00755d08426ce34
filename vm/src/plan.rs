//! Which tests run, on which machines, how often, in which order, and which of
//! them share a kernel. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hypervisor::MachineSize;
use crate::protocol::TestEntry;
use crate::select::{SelectError, select};

/// Which tests share a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The numbers of virtual CPUs that every test runs on, instead of those
    /// that it declares; none for those that it declares.
    pub cpus: Vec<u32>,
    /// The same for single tests, by name.
    pub cpus_of: BTreeMap<String, Vec<u32>>,
}

impl Selection {
    /// Returns the numbers of virtual CPUs that `test` runs on.
    fn cpus<'a>(&'a self, test: &'a TestEntry) -> &'a [u32] {
        match self.cpus.as_slice() {
            [] => self.cpus_of.get(&test.name).unwrap_or(&test.cpus),
            all => all,
        }
    }

    /// Returns the size of the machine whose tests decide which other machines
    /// are needed, where machines have the size `least` by default.
    pub fn first_size(&self, least: MachineSize) -> MachineSize {
        MachineSize {
            cpus: self.cpus.first().copied().unwrap_or(least.cpus),
            ..least
        }
    }
}

/// One run of one test on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The test to run.
    pub test: TestEntry,
    /// The size of its machine.
    pub size: MachineSize,
    /// The number of the round, from 1.
    pub round: usize,
    /// The seed of this case.
    pub seed: u64,
    /// The seed of a run whose first round has this case with the same seed.
    pub run_seed: u64,
}

/// How long each test took, in milliseconds, by its name and the number of
/// virtual CPUs.
pub type Durations = BTreeMap<(String, u32), u64>;

/// The cases that one kernel runs, in order, by their index in the plan.
pub type Batch = Vec<usize>;

/// Returns every case of a run, in the order of the report. A machine has the
/// memory of `least`, or more if the test declares it.
///
/// # Errors
/// Fails as [`select`] does.
pub fn plan(
    tests: &[TestEntry],
    selection: &Selection,
    least: MachineSize,
) -> Result<Vec<Case>, SelectError> {
    let chosen = select(tests, &selection.patterns)?;
    let mut cases = Vec::new();
    for round in 1..=selection.repeat.max(1) {
        let run_seed = selection.seed.wrapping_add(round as u64 - 1);
        for test in &chosen {
            cases.extend(selection.cpus(test).iter().map(|cpus| Case {
                test: test.clone(),
                size: MachineSize {
                    cpus: *cpus,
                    mem_mib: test.mem_mib.max(least.mem_mib),
                },
                round,
                seed: seed(run_seed, &test.name, *cpus),
                run_seed,
            }));
        }
    }
    if selection.shuffle {
        fastrand::Rng::with_seed(selection.seed).shuffle(&mut cases);
    }
    Ok(cases)
}

/// Returns the sizes of the machines that `cases` need, each once.
pub fn sizes(cases: &[Case]) -> Vec<MachineSize> {
    let mut sizes: Vec<MachineSize> = cases.iter().map(|case| case.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Returns the seed of a case. It differs for each test and number of CPUs, and
/// depends only on these and on the run's seed.
fn seed(run: u64, name: &str, cpus: u32) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&run.to_le_bytes());
    hasher.update(&cpus.to_le_bytes());
    hasher.update(name.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Splits a plan into batches, each of which shares a kernel, and so a machine.
pub fn batches(cases: &[Case], isolation: Isolation) -> Vec<Batch> {
    match isolation {
        Isolation::Test => (0..cases.len()).map(|at| vec![at]).collect(),
        Isolation::None => grouped(cases, |case| case.size),
        Isolation::Suite => grouped(cases, |case| (case.size, case.round, case.test.suite())),
    }
}

/// Returns a batch for each key, in the order in which the keys occur.
fn grouped<'a, K: Ord>(cases: &'a [Case], key: impl Fn(&'a Case) -> K) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut known: BTreeMap<K, usize> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        let batch = *known.entry(key(case)).or_insert_with(|| {
            batches.push(Batch::new());
            batches.len() - 1
        });
        batches[batch].push(at);
    }
    batches
}

/// Sorts the batches by their last duration, longest first, so that all workers
/// end at about the same time. A test without a duration counts with its limit.
pub fn longest_first(batches: &mut [Batch], cases: &[Case], last: &Durations) {
    let ms = |case: &Case| {
        let key = (case.test.name.clone(), case.size.cpus);
        let known = last.get(&key).copied();
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

    /// The size of a machine whose user needs no other.
    const LEAST: MachineSize = MachineSize {
        cpus: 1,
        mem_mib: 512,
    };

    fn planned(selection: &Selection) -> Vec<Case> {
        plan(&tests(&NAMES), selection, LEAST).unwrap()
    }

    const NAMES: [&str; 4] = ["a/one", "b/one", "a/two", "c/one"];

    #[test]
    fn rounds_follow_each_other_and_every_case_has_its_own_seed() {
        let selection = Selection {
            repeat: 2,
            seed: 7,
            ..Selection::default()
        };
        let cases = planned(&selection);
        assert_eq!(names(&cases), [NAMES, NAMES].concat());
        assert_eq!((cases[3].round, cases[4].round), (1, 2));
        let seeds: std::collections::BTreeSet<u64> = cases.iter().map(|case| case.seed).collect();
        assert_eq!(seeds.len(), cases.len());
        assert_eq!(planned(&selection), cases);
        // The first round of a run with its seed repeats a case.
        let first = planned(&Selection {
            repeat: 1,
            seed: cases[5].run_seed,
            ..Selection::default()
        });
        assert_eq!(first[1].seed, cases[5].seed);
        // A test's seed does not depend on which others run.
        let alone = Selection {
            patterns: vec!["a/two".into()],
            ..selection
        };
        assert_eq!(planned(&alone)[0], cases[2]);
    }

    #[test]
    fn a_seed_decides_the_order_of_a_shuffle() {
        let shuffled = |seed| {
            let selection = Selection {
                shuffle: true,
                seed,
                ..Selection::default()
            };
            planned(&selection)
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
        let cases = planned(&selection);
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
        let cases = planned(&Selection::default());
        let last = BTreeMap::from([
            (("a/one".into(), 1), 10),
            (("b/one".into(), 1), 5000),
            (("a/two".into(), 1), 20),
            (("c/one".into(), 4), 1),
        ]);
        let mut batches = batches(&cases, Isolation::Test);
        longest_first(&mut batches, &cases, &last);
        assert_eq!(batches, [[1], [3], [2], [0]]);
    }

    #[test]
    fn a_test_runs_on_each_machine_that_it_declares() {
        let mut tests = tests(&NAMES);
        tests[0].cpus = vec![1, 4];
        tests[2].cpus = vec![4];
        tests[2].mem_mib = 1024;
        tests[3].mem_mib = 64;
        let of = |selection: &Selection| -> Vec<(String, u32, u32)> {
            let cases = plan(&tests, selection, LEAST).unwrap();
            let one = |case: &Case| (case.test.name.clone(), case.size.cpus, case.size.mem_mib);
            cases.iter().map(one).collect()
        };
        let want = |list: &[(&str, u32, u32)]| -> Vec<(String, u32, u32)> {
            let own = |(name, cpus, mib): &(&str, u32, u32)| ((*name).to_owned(), *cpus, *mib);
            list.iter().map(own).collect()
        };
        let mut selection = Selection::default();
        assert_eq!(selection.first_size(LEAST), LEAST);
        assert_eq!(
            of(&selection),
            want(&[
                ("a/one", 1, 512),
                ("a/one", 4, 512),
                ("b/one", 1, 512),
                ("a/two", 4, 1024),
                ("c/one", 1, 512),
            ])
        );
        // The tests of one kernel have the same machine.
        let cases = plan(&tests, &selection, LEAST).unwrap();
        let shared = batches(&cases, Isolation::None);
        assert_eq!(shared, [vec![0, 2, 4], vec![1], vec![3]]);
        assert_eq!(sizes(&cases).len(), 3);
        // Single tests, then all of them, on other machines.
        selection.patterns = vec!["a/one".into(), "b/one".into()];
        selection.cpus_of = BTreeMap::from([("b/one".into(), vec![2])]);
        let single = [("a/one", 1, 512), ("a/one", 4, 512), ("b/one", 2, 512)];
        assert_eq!(of(&selection), want(&single));
        selection.cpus = vec![3, 2];
        assert_eq!(selection.first_size(LEAST).cpus, 3);
        assert_eq!(
            of(&selection),
            want(&[
                ("a/one", 3, 512),
                ("a/one", 2, 512),
                ("b/one", 3, 512),
                ("b/one", 2, 512),
            ])
        );
    }
}

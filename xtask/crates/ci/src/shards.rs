//! Balances jobs over shards by how long they take.
//!
//! The longest piece of work goes first, always to the shard with the least
//! work so far. Jobs on one kernel stay together, because its build takes most
//! of the time. A batch that is longer than a shard's fair share is divided:
//! then more than one shard builds its kernel.

use std::cmp::Reverse;
use std::num::NonZeroUsize;

use crate::job::{Job, Work, batches};

/// The jobs of one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shard {
    /// The jobs, in the order of the plan.
    pub jobs: Vec<Job>,
    /// How long they are expected to take together, in milliseconds.
    pub expected_ms: u64,
}

/// Returns how long each job is expected to take, in milliseconds: what it took
/// last time, else the median of its kind, else the median of all jobs, else a
/// guess for its kind.
pub fn durations(jobs: &[Job]) -> Vec<u64> {
    let median_of = |kind: Option<&str>| {
        let like = jobs
            .iter()
            .filter(|job| kind.is_none_or(|kind| job.work.kind() == kind));
        median(like.filter_map(|job| job.expected_ms).collect())
    };
    let all = median_of(None);
    jobs.iter()
        .map(|job| {
            job.expected_ms
                .or_else(|| median_of(Some(job.work.kind())))
                .or(all)
                .unwrap_or_else(|| guess_ms(&job.work))
        })
        .collect()
}

/// Returns the median: of an even number of values the upper one of the middle.
fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// Returns how long work of this kind takes roughly, in milliseconds. It counts
/// only where no job has been measured.
fn guess_ms(work: &Work) -> u64 {
    let seconds = match work {
        Work::Lint { .. } => 1,
        Work::Prefix { .. } => 240,
        Work::Prove { .. } | Work::Suite { .. } | Work::Base { .. } => 300,
        Work::Mutants { .. } | Work::Bench { .. } => 1800,
    };
    seconds * 1000
}

/// Distributes `jobs` over `count` shards. Each job is in one shard; a shard
/// can be empty. The result depends on the jobs and their order only.
pub fn balance(jobs: &[Job], count: NonZeroUsize) -> Vec<Shard> {
    let costs = durations(jobs);
    let mut loads = vec![Load::default(); count.get()];
    distribute(pieces(jobs, &costs, count), &mut loads);
    loads.into_iter().map(|load| shard(jobs, load)).collect()
}

/// What one shard or one piece runs: places in the list of jobs.
#[derive(Debug, Clone, Default)]
struct Load {
    jobs: Vec<usize>,
    ms: u64,
}

impl Load {
    fn add(&mut self, other: &Self) {
        self.jobs.extend(&other.jobs);
        self.ms += other.ms;
    }
}

/// Adds each piece to the load that is the smallest then, the longest first.
fn distribute(mut pieces: Vec<Load>, loads: &mut [Load]) {
    // The sort is stable, so equal pieces stay in the order of the plan.
    pieces.sort_by_key(|piece| Reverse(piece.ms));
    for piece in &pieces {
        if let Some(least) = loads.iter_mut().min_by_key(|load| load.ms) {
            least.add(piece);
        }
    }
}

/// Returns what a shard can run alone: batches, and parts of the batches that
/// are longer than the fair share of a shard.
fn pieces(jobs: &[Job], costs: &[u64], count: NonZeroUsize) -> Vec<Load> {
    let fair = costs
        .iter()
        .sum::<u64>()
        .div_ceil(count.get() as u64)
        .max(1);
    let single = |job: &Job| {
        let at = jobs.iter().position(|one| one.id == job.id)?;
        Some(Load {
            jobs: vec![at],
            ms: costs[at],
        })
    };
    let mut pieces = Vec::new();
    for batch in batches(jobs) {
        let each: Vec<Load> = batch.jobs.iter().filter_map(single).collect();
        let total: u64 = each.iter().map(|one| one.ms).sum();
        let wanted = usize::try_from(total.div_ceil(fair)).unwrap_or(usize::MAX);
        let mut parts = vec![Load::default(); wanted.clamp(1, each.len().max(1))];
        distribute(each, &mut parts);
        pieces.extend(parts.into_iter().filter(|part| !part.jobs.is_empty()));
    }
    pieces
}

fn shard(jobs: &[Job], mut load: Load) -> Shard {
    load.jobs.sort_unstable();
    Shard {
        jobs: load.jobs.iter().map(|&at| jobs[at].clone()).collect(),
        expected_ms: load.ms,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(count: usize, ms: Option<u64>) -> Job {
        let work = Work::Prefix { count, last: None };
        Job::new("b", work, format!("k{count}"), ms)
    }

    fn lint(patch: &str, ms: Option<u64>) -> Job {
        let work = Work::Lint {
            patch: patch.into(),
        };
        Job::new("b", work, format!("k-{patch}"), ms)
    }

    /// Returns the ids and the time of each shard.
    fn shards(jobs: &[Job], count: usize) -> Vec<(String, u64)> {
        balance(jobs, NonZeroUsize::new(count).unwrap())
            .into_iter()
            .map(|shard| {
                let ids: Vec<&str> = shard.jobs.iter().map(|job| job.id.as_str()).collect();
                (ids.join(" "), shard.expected_ms)
            })
            .collect()
    }

    #[test]
    fn a_duration_that_is_not_known_is_a_median() {
        let jobs = [
            prefix(1, Some(100)),
            prefix(2, None),
            prefix(3, Some(300)),
            prefix(4, Some(900)),
            lint("a", None),
        ];
        assert_eq!(durations(&jobs), [100, 300, 300, 900, 300]);
        // Without any measurement the kinds still differ.
        assert_eq!(
            durations(&[lint("a", None), prefix(1, None)]),
            [1000, 240_000]
        );
        assert!(durations(&[]).is_empty());
    }

    #[test]
    fn the_longest_goes_first_to_the_least_loaded_shard() {
        let jobs = [
            prefix(1, Some(30)),
            prefix(2, Some(50)),
            prefix(3, Some(40)),
            prefix(4, Some(20)),
        ];
        assert_eq!(
            shards(&jobs, 2),
            [
                ("b/prefix/02 b/prefix/04".to_owned(), 70),
                ("b/prefix/01 b/prefix/03".to_owned(), 70),
            ]
        );
    }

    #[test]
    fn jobs_on_one_kernel_stay_together_unless_they_are_too_long() {
        let small = [
            lint("a", Some(10)),
            prefix(1, Some(500)),
            lint("b", Some(10)),
        ];
        assert_eq!(
            shards(&small, 2),
            [
                ("b/prefix/01".to_owned(), 500),
                ("b/lint/a b/lint/b".to_owned(), 20),
            ]
        );
        let long = [
            lint("a", Some(500)),
            prefix(1, Some(10)),
            lint("b", Some(500)),
        ];
        assert_eq!(
            shards(&long, 2),
            [
                ("b/lint/a b/prefix/01".to_owned(), 510),
                ("b/lint/b".to_owned(), 500),
            ]
        );
    }

    #[test]
    fn more_shards_than_jobs_leave_some_empty() {
        let empty = (String::new(), 0);
        assert_eq!(shards(&[], 2), [empty.clone(), empty.clone()]);
        assert_eq!(
            shards(&[prefix(1, Some(5))], 2),
            [("b/prefix/01".to_owned(), 5), empty]
        );
    }

    /// Returns the time of the best distribution, by trying all.
    fn best(costs: &[u64], loads: &mut Vec<u64>) -> u64 {
        let Some((first, rest)) = costs.split_first() else {
            return loads.iter().copied().max().unwrap_or(0);
        };
        (0..loads.len())
            .map(|at| {
                loads[at] += first;
                let found = best(rest, loads);
                loads[at] -= first;
                found
            })
            .min()
            .unwrap_or(0)
    }

    fn any_job() -> impl Strategy<Value = (bool, Option<u64>)> {
        (any::<bool>(), prop::option::weighted(0.8, 1..100_000_u64))
    }

    proptest! {
        #[test]
        fn each_job_is_in_one_shard_and_no_shard_is_far_above_the_rest(
            list in prop::collection::vec(any_job(), 0..60),
            count in 1..9_usize,
        ) {
            let jobs: Vec<Job> = list
                .into_iter()
                .enumerate()
                .map(|(at, (shared, ms))| match shared {
                    true => lint(&format!("p{at:02}"), ms),
                    false => prefix(at, ms),
                })
                .collect();
            let number = NonZeroUsize::new(count).unwrap();
            let found = balance(&jobs, number);
            prop_assert_eq!(found.len(), count);
            let mut ids: Vec<&str> = found
                .iter()
                .flat_map(|shard| &shard.jobs)
                .map(|job| job.id.as_str())
                .collect();
            let mut want: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
            ids.sort_unstable();
            want.sort_unstable();
            prop_assert_eq!(ids, want);
            let costs = durations(&jobs);
            let total: u64 = costs.iter().sum();
            prop_assert_eq!(found.iter().map(|shard| shard.expected_ms).sum::<u64>(), total);
            let longest = found.iter().map(|shard| shard.expected_ms).max().unwrap();
            let job = costs.iter().copied().max().unwrap_or(0);
            prop_assert!(longest <= 2 * total.div_ceil(count as u64) + job);
            prop_assert_eq!(balance(&jobs, number), found);
        }

        #[test]
        fn separate_jobs_take_at_most_four_thirds_of_the_best_time(
            costs in prop::collection::vec(1..1000_u64, 1..8),
            count in 1..4_usize,
        ) {
            let jobs: Vec<Job> = costs
                .iter()
                .enumerate()
                .map(|(at, ms)| prefix(at, Some(*ms)))
                .collect();
            let longest = balance(&jobs, NonZeroUsize::new(count).unwrap())
                .iter()
                .map(|shard| shard.expected_ms)
                .max()
                .unwrap();
            prop_assert!(3 * longest <= 4 * best(&costs, &mut vec![0; count]));
        }
    }
}

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

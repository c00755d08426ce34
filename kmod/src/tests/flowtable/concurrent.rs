//! Concurrent insertion, expiry and flush of flows on all CPUs.

use super::{GRACE, IDLE, assert_references, each_cpu, random, release};
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{ROUTES, SMALLEST, Table, key};
use crate::kpi::kthread::Thread;
use crate::kpi::time;
use crate::tests::{FOREVER, join_all, resource_error};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use fastrand::Rng;
use kdk_harness::TestResult;

/// The number of rounds. The table is checked after each.
const ROUNDS: u32 = 8;
/// The number of buckets of packets: few, so that walks and packets often meet
/// in the same one.
const BUCKETS: u32 = 32;
/// The most flows of a bucket. All have one route, so that a flush empties it.
const FLOWS: u32 = 2;
/// The number of walks of a cleaner or flusher per round. Packets are sent until
/// all walks are done.
const WALKS: u32 = 4;
/// The threads that walk.
const WALKERS: [Role; 3] = [Role::Cleaner, Role::Flusher, Role::Flusher];

/// The repeated action of a thread.
#[derive(Clone, Copy)]
enum Role {
    Packets { cpu: u32 },
    Cleaner,
    Flusher,
}

struct Shared {
    table: Table,
    clock: AtomicU32,
    walkers: AtomicU32,
    /// The numbers of flushes that have started and that have ended.
    started: AtomicU32,
    ended: AtomicU32,
    failures: AtomicU32,
}

impl Shared {
    fn work(&self, role: Role, mut random: Rng) {
        match role {
            Role::Packets { .. } => {
                while self.walkers.load(Ordering::SeqCst) != 0 {
                    self.one(role, &mut random);
                }
            }
            Role::Cleaner | Role::Flusher => {
                for _ in 0..WALKS {
                    self.one(role, &mut random);
                }
                self.walkers.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    fn one(&self, role: Role, random: &mut Rng) {
        if self.step(role, random).is_err() {
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
        time::yield_now();
    }

    fn step(&self, role: Role, random: &mut Rng) -> TestResult {
        let table = &self.table;
        match role {
            Role::Packets { cpu } => {
                let bucket = random.u32(0..BUCKETS);
                let (route, nth) = (bucket % ROUTES, random.u32(0..FLOWS));
                let ended = self.ended.load(Ordering::SeqCst);
                let there = table.touch(cpu, key(SMALLEST, route, bucket, nth))?;
                // A flow whose route may have been flushed is not inserted.
                let flushed = self.started.load(Ordering::SeqCst) != ended;
                assert!(there || flushed, "a flow was refused without a flush");
            }
            Role::Cleaner => {
                let now = self.clock.fetch_add(20, Ordering::SeqCst);
                table.set_clock(now + 20)?;
                table.expire(IDLE)?;
            }
            Role::Flusher => {
                self.started.fetch_add(1, Ordering::SeqCst);
                table.flush(random.u32(0..ROUTES))?;
                self.ended.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

/// No flow and no reference is lost.
pub fn all() -> TestResult {
    let shared = Arc::new(Shared {
        table: Table::open(SMALLEST, cpus())?,
        clock: AtomicU32::new(super::START),
        walkers: AtomicU32::new(0),
        started: AtomicU32::new(0),
        ended: AtomicU32::new(0),
        failures: AtomicU32::new(0),
    });
    let (seed, mut random) = random()?;
    for number in 0..ROUNDS {
        round(&shared, &mut random)?;
        release(
            &shared.table,
            shared.clock.fetch_add(GRACE, Ordering::SeqCst),
        )?;
        consistent(&shared.table, seed, number)?;
    }
    assert_eq!(shared.failures.load(Ordering::SeqCst), 0);
    shared
        .table
        .set_clock(shared.clock.load(Ordering::SeqCst) + 1000)?;
    nothing_stays(&shared.table)
}

fn round(shared: &Arc<Shared>, random: &mut Rng) -> TestResult {
    let packets = each_cpu().flat_map(|cpu| [Role::Packets { cpu }; 2]);
    shared.walkers.store(WALKERS.len() as u32, Ordering::SeqCst);
    let mut threads = Vec::new();
    for role in packets.chain(WALKERS) {
        let (theirs, random) = (Arc::clone(shared), random.fork());
        let work = move || theirs.work(role, random);
        threads.push(Thread::spawn(c"kdk flows", work).map_err(resource_error)?);
    }
    join_all(threads, FOREVER)
}

/// Checks the counts of flows, and the masks of buckets in use.
fn consistent(table: &Table, seed: u64, round: u32) -> TestResult {
    let counts = table.counts()?;
    assert_eq!(
        counts.inserts,
        counts.frees + counts.flows,
        "after round {round} (seed {seed:016x})"
    );
    for cpu in each_cpu() {
        let (used, mask) = (table.used(cpu)?, table.mask(cpu)?);
        assert!(
            used == mask,
            "in use on CPU {cpu}: {used:x?}, and marked {mask:x?} after round {round} (seed {seed:016x})"
        );
    }
    Ok(())
}

fn nothing_stays(table: &Table) -> TestResult {
    table.expire(IDLE)?;
    assert_eq!(table.counts()?.flows, 0);
    for cpu in each_cpu() {
        assert!(table.used(cpu)?.iter().all(|word| *word == 0));
    }
    assert_references(table, |_| 0)
}

//! Flows come, expire and are flushed on all CPUs at once.

use super::{IDLE, assert_references, each_cpu, random};
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{ROUTES, SMALLEST, Table, key};
use crate::kpi::kthread::{End, Thread};
use crate::kpi::time;
use crate::tests::refused;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use fastrand::Rng;
use kdk_harness::{Stop, TestResult};

/// Packets of a thread.
const PACKETS: u32 = 4000;
/// Walks of a thread that expires or flushes.
const WALKS: u32 = 60;
const LONG: Duration = Duration::from_secs(50);

/// What a thread does, over and over.
#[derive(Clone, Copy)]
enum Role {
    Packets { cpu: u32 },
    Cleaner,
    Flusher,
}

struct Shared {
    table: Table,
    clock: AtomicU32,
    failures: AtomicU32,
}

impl Shared {
    fn work(&self, role: Role, mut random: Rng) {
        let rounds = match role {
            Role::Packets { .. } => PACKETS,
            Role::Cleaner | Role::Flusher => WALKS,
        };
        for round in 0..rounds {
            if self.step(role, &mut random).is_err() {
                self.failures.fetch_add(1, Ordering::SeqCst);
            }
            if round % 16 == 0 {
                time::give_way();
            }
        }
    }

    fn step(&self, role: Role, random: &mut Rng) -> TestResult {
        let table = &self.table;
        match role {
            Role::Packets { cpu } => {
                let (route, bucket) = (random.u32(0..ROUTES), random.u32(0..SMALLEST));
                let key = key(SMALLEST, route, bucket, random.u32(0..4));
                let there = table.touch(cpu, key)?;
                assert!(there, "{key:#x} was refused");
            }
            Role::Cleaner => {
                let now = self.clock.fetch_add(20, Ordering::SeqCst);
                table.set_clock(now + 20)?;
                table.expire(IDLE)?;
            }
            Role::Flusher => table.flush(random.u32(0..ROUTES))?,
        }
        Ok(())
    }
}

/// Nothing is lost, and nothing stays.
pub fn all() -> TestResult {
    let shared = Arc::new(Shared {
        table: Table::open(SMALLEST, cpus())?,
        clock: AtomicU32::new(super::START),
        failures: AtomicU32::new(0),
    });
    let (seed, mut random) = random()?;
    let packets = each_cpu().flat_map(|cpu| [Role::Packets { cpu }; 2]);
    let walks = [Role::Cleaner, Role::Flusher, Role::Flusher];
    let mut threads = Vec::new();
    for role in packets.chain(walks) {
        let (theirs, random) = (Arc::clone(&shared), random.fork());
        let work = move || theirs.work(role, random);
        threads.push(Thread::spawn(c"kdk flows", work).map_err(refused)?);
    }
    for thread in threads {
        match thread.join(LONG) {
            Ok(End::Returned(_)) => {}
            Ok(End::Panicked(_)) => return Err(Stop::Fail("a thread panicked")),
            Err(_) => return Err(Stop::Fail("a thread does not end")),
        }
    }
    assert_eq!(shared.failures.load(Ordering::SeqCst), 0);
    settled(&shared.table, seed)
}

fn settled(table: &Table, seed: u64) -> TestResult {
    let counts = table.counts()?;
    assert_eq!(
        counts.inserts,
        counts.frees + counts.flows,
        "(seed {seed:016x})"
    );
    for cpu in each_cpu() {
        let (used, mask) = (table.used(cpu)?, table.mask(cpu)?);
        assert!(used == mask, "in use on CPU {cpu} (seed {seed:016x})");
    }
    table.expire(-1)?;
    assert_eq!(table.counts()?.flows, 0);
    for cpu in each_cpu() {
        assert!(table.used(cpu)?.iter().all(|word| *word == 0));
    }
    assert_references(table, |_| 0)
}

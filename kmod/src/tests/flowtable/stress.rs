//! All operations of the flowtable at once, in a random order, from several
//! threads on each CPU, and a model of what must hold.
//!
//! The work is fixed. The clock advances only while no flow is in use, since the
//! kernel's time does not pass while a packet is on its way in this test.

use super::{GRACE, IDLE, START, assert_references, each_cpu, random, release};
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{
    Counts, Family, Flow, InsertStep, Key, ROUTES, RouteDefect, SMALLEST, Table, key, key6,
    route_of,
};
use crate::kpi::kthread::Thread;
use crate::kpi::notes::note;
use crate::kpi::time;
use crate::tests::{FOREVER, join_all, resource_error};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use fastrand::Rng;
use kdk_harness::{Stop, TestResult};

/// The number of rounds. The tables are checked after each.
const ROUNDS: u32 = 2;
/// Few buckets with several flows each, so that the threads often meet.
const BUCKETS: u32 = 16;
const FLOWS: u32 = 4;
/// The packets of a round, over all threads, so that the test takes no longer on
/// a machine of more CPUs.
const PACKETS: u32 = 600;
/// The most threads that send packets: kdk.ko has 32 threads.
const MOST_SENDERS: u32 = 16;
/// The operations of each other thread in a round.
const OTHERS: u32 = 10;
/// The times that a packet looks at its flow.
const LOOKS: u32 = 3;
/// What happens to a route and its lle. The kernel never takes the interface from
/// a route that a look-up can find.
const WRONGS: [RouteDefect; 5] = [
    RouteDefect::Missing,
    RouteDefect::Down,
    RouteDefect::LinkDown,
    RouteDefect::NoLle,
    RouteDefect::LleInvalid,
];

/// What a thread does.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// Looks up, inserts and uses flows.
    Packets(u32),
    /// Adds more specific routes, which flush a route.
    Routes,
    /// Deletes routes and resolves lles anew.
    Changes,
    /// Expires flows, and advances the clock.
    Cleaner,
    /// Reads the statistics.
    Statistics,
    /// Shows the tables as ddb does.
    Debugger,
}

/// The threads besides those of packets.
const ROLES: [Role; 6] = [
    Role::Routes,
    Role::Routes,
    Role::Changes,
    Role::Cleaner,
    Role::Statistics,
    Role::Debugger,
];

struct Shared {
    table: Table,
    clock: AtomicU32,
    /// The number of threads that send packets.
    senders: u32,
    /// Packets on their way.
    in_flight: AtomicU32,
    /// The clock is about to advance: no packet starts.
    advancing: AtomicBool,
    failed: AtomicBool,
}

/// Every operation of the test at once; nothing is lost, and no flow is freed
/// or changed while it is in use.
pub fn all() -> TestResult {
    let shared = Arc::new(Shared {
        table: Table::open(SMALLEST, cpus())?,
        clock: AtomicU32::new(START),
        senders: senders(),
        in_flight: AtomicU32::new(0),
        advancing: AtomicBool::new(false),
        failed: AtomicBool::new(false),
    });
    let (seed, mut random) = random()?;
    for round in 0..ROUNDS {
        let failed = run(&shared, &mut random).is_err() || shared.failed.load(Ordering::SeqCst);
        assert!(!failed, "in round {round} (seed {seed:016x})");
        consistent(&shared, seed, round)?;
    }
    Ok(())
}

/// Returns the number of threads that send packets, two on each CPU.
fn senders() -> u32 {
    (2 * cpus().count_ones()).min(MOST_SENDERS)
}

/// Runs the threads of one round.
fn run(shared: &Arc<Shared>, random: &mut Rng) -> TestResult {
    let senders = shared.senders as usize;
    let packets = each_cpu()
        .flat_map(|cpu| [Role::Packets(cpu); 2])
        .take(senders);
    let mut threads = Vec::new();
    for role in packets.chain(ROLES) {
        let (theirs, mut random) = (Arc::clone(shared), random.fork());
        let work = move || {
            if let Err(stop) = theirs.work(role, &mut random) {
                note("stopped", &format_args!("{role:?}: {stop:?}"));
                theirs.failed.store(true, Ordering::SeqCst);
            }
        };
        threads.push(Thread::spawn(c"kdk flows", work).map_err(resource_error)?);
    }
    join_all(threads, FOREVER)
}

impl Shared {
    fn work(&self, role: Role, random: &mut Rng) -> TestResult {
        let mut last = None;
        let count = match role {
            Role::Packets(_) => PACKETS / self.senders,
            _ => OTHERS,
        };
        for _ in 0..count {
            if self.failed.load(Ordering::SeqCst) {
                break;
            }
            match role {
                Role::Packets(cpu) => self.packet(cpu, random)?,
                Role::Routes => {
                    let family = any_family(random);
                    self.table.flush_family(family, random.u32(0..ROUTES))?;
                }
                Role::Changes => self.change(random)?,
                Role::Cleaner => self.clean(random)?,
                Role::Statistics => self.statistics(&mut last)?,
                Role::Debugger => self.debugger()?,
            }
            time::yield_now();
        }
        Ok(())
    }

    /// Sends a packet, and uses its flow meanwhile.
    fn packet(&self, cpu: u32, random: &mut Rng) -> TestResult {
        self.depart();
        let result = self.packet_in_flight(cpu, random);
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn packet_in_flight(&self, cpu: u32, random: &mut Rng) -> TestResult {
        let key = any_key(random);
        match random.u32(0..8) {
            0 => {
                let after = InsertStep::ALL[random.usize(0..InsertStep::ALL.len())];
                self.table.touch_and_flush(cpu, key, after)?;
            }
            1 => drop(self.table.insert(cpu, key)?),
            _ => {}
        }
        let Some(flow) = self.table.use_flow(cpu, key)? else {
            return Ok(());
        };
        let route = Some(route_of(key.hash()));
        let wanted = Some(Flow {
            key,
            route,
            lle: route,
        });
        for _ in 0..LOOKS {
            let got = flow.flow()?;
            check(
                got == wanted,
                format_args!("in use on CPU {cpu}: {got:x?}, not {wanted:x?}"),
            )?;
            time::yield_now();
        }
        Ok(())
    }

    /// Starts a packet, unless the clock is about to advance.
    fn depart(&self) {
        loop {
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            if !self.advancing.load(Ordering::SeqCst) {
                return;
            }
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            time::yield_now();
        }
    }

    fn change(&self, random: &mut Rng) -> TestResult {
        let route = random.u32(0..ROUTES);
        self.table
            .set_route(route, Some(WRONGS[random.usize(0..WRONGS.len())]))?;
        time::yield_now();
        Ok(self.table.set_route(route, None)?)
    }

    fn clean(&self, random: &mut Rng) -> TestResult {
        if random.bool() {
            self.advance(random.u32(1..20))?;
        }
        let max_idle = if random.bool() { 5 } else { IDLE };
        for family in Family::ALL {
            self.table.expire_family(family, max_idle)?;
        }
        Ok(())
    }

    /// Advances the clock while no packet is on its way.
    fn advance(&self, seconds: u32) -> TestResult {
        self.advancing.store(true, Ordering::SeqCst);
        while self.in_flight.load(Ordering::SeqCst) != 0 {
            // A thread that failed does not come back.
            if self.failed.load(Ordering::SeqCst) {
                break;
            }
            time::yield_now();
        }
        let now = self.clock.fetch_add(seconds, Ordering::SeqCst) + seconds;
        let set = self.table.set_clock(now);
        self.advancing.store(false, Ordering::SeqCst);
        Ok(set?)
    }

    /// No number ever becomes smaller.
    fn statistics(&self, last: &mut Option<Counts>) -> TestResult {
        let now = self.table.counts()?;
        if let Some(before) = last {
            let numbers = |counts: &Counts| {
                [
                    counts.collisions,
                    counts.free_checks,
                    counts.frees,
                    counts.hits,
                    counts.misses,
                    counts.lle_invalid,
                    counts.inserts,
                ]
            };
            let fell = numbers(before)
                .into_iter()
                .zip(numbers(&now))
                .any(|(before, now)| now < before);
            check(!fell, format_args!("{now:?} after {before:?}"))?;
        }
        *last = Some(now);
        Ok(())
    }

    /// ddb shows flows of the test alone, each on a CPU of the machine.
    fn debugger(&self) -> TestResult {
        let text = self.table.show()?;
        let mut cpu = None;
        for line in text.lines() {
            if let Some(number) = line.strip_prefix("cpu: ") {
                cpu = number.parse::<u32>().ok();
                let there = each_cpu().any(|id| Some(id) == cpu);
                check(there, format_args!("ddb: {line}"))?;
            } else if let Some((_, rest)) = line.split_once("hash=") {
                let hash = u32::from_str_radix(rest.get(..8).unwrap_or(rest), 16);
                let hash = hash.map_err(|_| Stop::Fail("a flow's hash is not a number"))?;
                let ours = hash % SMALLEST < BUCKETS && cpu.is_some();
                check(ours, format_args!("ddb: {line}"))?;
            }
        }
        Ok(())
    }
}

/// Reports what is wrong. A thread must not panic here: others wait for it.
fn check(ok: bool, what: Arguments<'_>) -> TestResult {
    if ok {
        return Ok(());
    }
    note("flowtable", &what);
    Err(Stop::Fail("a thread found a defect"))
}

fn any_family(random: &mut Rng) -> Family {
    Family::ALL[random.usize(0..Family::ALL.len())]
}

fn any_key(random: &mut Rng) -> Key {
    let (bucket, nth) = (random.u32(0..BUCKETS), random.u32(0..FLOWS));
    let route = bucket % ROUTES;
    match any_family(random) {
        Family::V4 => key(SMALLEST, route, bucket, nth).into(),
        Family::V6 => key6(route, bucket, nth).into(),
    }
}

/// Checks the tables while no thread uses them, and empties them.
fn consistent(shared: &Shared, seed: u64, round: u32) -> TestResult {
    let table = &shared.table;
    let when = format_args!("after round {round} (seed {seed:016x})");
    release(table, shared.clock.fetch_add(GRACE, Ordering::SeqCst))?;
    let counts = table.counts()?;
    assert_eq!(counts.freed_in_use, 0, "{when}");
    assert_eq!(counts.inserts, counts.frees + counts.flows, "{when}");
    for cpu in each_cpu() {
        for family in Family::ALL {
            let used = table.used_family(family, cpu)?;
            let mask = table.mask_family(family, cpu)?;
            assert!(
                used == mask,
                "{family:?} in use on CPU {cpu}: {used:x?}, and marked {mask:x?} {when}"
            );
        }
    }
    let now = shared.clock.fetch_add(1000, Ordering::SeqCst) + 1000;
    release(table, now)?;
    let counts = table.counts()?;
    assert_eq!(counts.flows, 0, "{when}");
    assert_references(table, |_| 0)
}

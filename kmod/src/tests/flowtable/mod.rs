//! The flowtable: the tree's own net/flowtable.c, with routes and a clock that
//! the test supplies.

mod bench;
mod bits;
mod concurrent;
mod cpus;
mod ddb;
mod flush;
mod in_use;
mod keys;
mod refused;
mod stale;
mod stress;
mod visits;

use crate::kpi::flowtable::{Family, Flow, ROUTES, References, SMALLEST, Table};
use crate::kpi::seed::seed;
use fastrand::Rng;
use kdk_harness::{Stop, TestResult, kdk_test};

/// The time limit for the slowest test on an emulated machine.
const LIMIT_MS: u32 = 60_000;

kdk_test!("flowtable/visits-example", visits::example);
kdk_test!("flowtable/visits-none", visits::none);
kdk_test!("flowtable/visits-all", visits::all, limit_ms = LIMIT_MS);
kdk_test!("flowtable/visits-edges", visits::edges, limit_ms = LIMIT_MS);
kdk_test!(
    "flowtable/visits-sparse",
    visits::sparse,
    limit_ms = LIMIT_MS
);
kdk_test!(
    "flowtable/visits-random",
    visits::every_second,
    limit_ms = LIMIT_MS
);
kdk_test!("flowtable/visits-dense", visits::dense, limit_ms = LIMIT_MS);
kdk_test!("flowtable/visits-work", visits::work, limit_ms = LIMIT_MS);
kdk_test!("flowtable/key-comparison", keys::comparison);
kdk_test!("flowtable/key-comparison-v6", keys::comparison_v6);
kdk_test!("flowtable/key-fibs", keys::fibs);
kdk_test!("flowtable/hit-refreshes", keys::hit_refreshes);
kdk_test!("flowtable/dead-flow-misses", keys::dead_flow_misses);
kdk_test!("flowtable/collision", keys::collision);
kdk_test!("flowtable/refused", refused::refused);
kdk_test!("flowtable/stale-only", stale::only, limit_ms = LIMIT_MS);
kdk_test!("flowtable/stale-boundary", stale::boundary);
kdk_test!("flowtable/stale-reasons", stale::reasons);
kdk_test!("flowtable/flush-fresh", flush::fresh);
kdk_test!("flowtable/flush-others-stay", flush::others_stay);
kdk_test!(
    "flowtable/flush-every-cpu",
    flush::every_cpu,
    cpus = &[1, 4]
);
kdk_test!(
    "flowtable/flush-during-insert",
    flush::during_insert,
    cpus = &[1, 4]
);
kdk_test!(
    "flowtable/flush-beside-insert",
    flush::beside_insert,
    cpus = &[4]
);
kdk_test!(
    "flowtable/in-use-flushed",
    in_use::flushed,
    limit_ms = LIMIT_MS,
    cpus = &[1, 4]
);
kdk_test!(
    "flowtable/in-use-stale",
    in_use::stale,
    limit_ms = LIMIT_MS,
    cpus = &[1, 4]
);
kdk_test!("flowtable/in-use-in-turn", in_use::in_turn);
kdk_test!("flowtable/in-use-ages", in_use::ages);
kdk_test!("flowtable/in-use-boundary", in_use::boundary);
kdk_test!("flowtable/each-cpu", cpus::each, cpus = &[1, 4]);
kdk_test!("flowtable/sparse-cpus-zeroed", cpus::zeroed, cpus = &[4]);
kdk_test!("flowtable/sparse-cpus", cpus::sparse, cpus = &[4]);
kdk_test!("flowtable/ddb-cpus", ddb::finds_each_cpu, cpus = &[4]);
kdk_test!("flowtable/ddb-show", ddb::show, cpus = &[1, 4]);
kdk_test!(
    "flowtable/concurrent",
    concurrent::all,
    limit_ms = LIMIT_MS,
    cpus = &[1, 4]
);
kdk_test!(
    "flowtable/stress",
    stress::all,
    limit_ms = LIMIT_MS,
    cpus = &[1, 4]
);

/// The initial time, in seconds.
const START: u32 = 1000;
/// The default time that a flow may be idle, in seconds.
const IDLE: i32 = 30;
/// The time after which a removed flow is freed, in seconds: more than the
/// kernel waits, and less than a flow may be idle.
const GRACE: u32 = 10;

/// Opens a small table on the first CPU.
fn small() -> Result<Table, Stop> {
    Ok(Table::open(SMALLEST, 1)?)
}

/// Looks up a flow, which has to exist or be inserted.
fn flow(table: &Table, cpu: u32, key: u32) -> Result<Flow, Stop> {
    table
        .look_up(cpu, key)?
        .ok_or(Stop::Fail("a look-up returned no flow"))
}

/// Lets the cleaner free the flows that were removed at the time `now`.
fn release(table: &Table, now: u32) -> TestResult {
    table.set_clock(now + GRACE)?;
    for family in Family::ALL {
        table.expire_family(family, IDLE)?;
    }
    Ok(())
}

/// Asserts the number of references to each route and its lle.
fn assert_references(table: &Table, wanted: impl Fn(u32) -> i32) -> TestResult {
    for route in 0..ROUTES {
        let both = wanted(route);
        let got = table.references(route)?;
        assert_eq!(
            got,
            References {
                route: both,
                lle: both
            },
            "references to route {route}"
        );
    }
    Ok(())
}

/// Iterates over the ids of the machine's CPUs.
fn each_cpu() -> impl Iterator<Item = u32> {
    let cpus = crate::kpi::cpus::cpus();
    (0..u64::BITS).filter(move |cpu| cpus & (1 << cpu) != 0)
}

/// Makes the random generator of this run, and returns its seed.
fn random() -> Result<(u64, Rng), Stop> {
    let seed = seed().ok_or(Stop::Fail("the host has set no kdk.seed"))?;
    Ok((seed, Rng::with_seed(seed)))
}

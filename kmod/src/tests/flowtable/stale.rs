//! The flows of a bucket that the cleaner frees.

use super::{GRACE, IDLE, START, assert_references, flow, random, release, small};
use crate::kpi::flowtable::{ROUTES, RouteDefect, key, route_of};
use alloc::vec::Vec;
use kdk_harness::TestResult;

const CPU: u32 = 0;

/// The cleaner frees exactly the idle ones of random flows, several per bucket.
pub fn only() -> TestResult {
    const FLOWS: usize = 700;
    let (seed, mut random) = random()?;
    let table = small()?;
    for round in 0..4 {
        let start = START + round * 10_000;
        table.set_clock(start)?;
        let mut flows: Vec<u32> = (0..FLOWS)
            .map(|_| {
                let (route, bucket) = (random.u32(0..ROUTES), random.u32(0..table.size()));
                key(table.size(), route, bucket, random.u32(0..8))
            })
            .collect();
        flows.sort_unstable();
        flows.dedup();
        for key in &flows {
            flow(&table, CPU, *key)?;
        }
        random.shuffle(&mut flows);
        let (used, idle) = flows.split_at(random.usize(0..flows.len()));
        table.set_clock(start + 100)?;
        for key in used {
            flow(&table, CPU, *key)?;
        }
        table.expire(IDLE)?;
        for (keys, stays) in [(used, true), (idle, false)] {
            for key in keys {
                let there = table.has(CPU, *key)?;
                assert_eq!(there, stays, "{key:#x} in round {round} (seed {seed:016x})");
            }
        }
        assert_eq!(table.counts()?.flows, used.len() as u64);
        assert_references(&table, |route| {
            let its = used.iter().filter(|key| route_of(**key) == route);
            i32::try_from(its.count()).unwrap_or(-1)
        })?;
        table.set_clock(start + 1000)?;
        table.expire(IDLE)?;
        assert_eq!(table.counts()?.flows, 0);
        assert_references(&table, |_| 0)?;
    }
    Ok(())
}

/// A flow that is idle for exactly the limit is kept.
pub fn boundary() -> TestResult {
    let table = small()?;
    let key = key(table.size(), 0, 255, 0);
    flow(&table, CPU, key)?;
    for (idle, stays) in [(29, true), (30, true), (31, false)] {
        table.set_clock(START + idle)?;
        table.expire(IDLE)?;
        assert_eq!(table.has(CPU, key)?, stays, "after {idle} seconds");
    }
    Ok(())
}

/// A flow with an invalid route or lle is removed at once.
pub fn reasons() -> TestResult {
    let wrongs = [
        RouteDefect::Down,
        RouteDefect::NoInterface,
        RouteDefect::LinkDown,
        RouteDefect::LleInvalid,
    ];
    let table = small()?;
    for (start, wrong) in (START..).step_by(1000).zip(wrongs) {
        table.set_clock(start)?;
        let key = |route| key(table.size(), route, 77, 0);
        for route in 0..ROUTES {
            flow(&table, CPU, key(route))?;
        }
        table.set_route(4, Some(wrong))?;
        table.expire(IDLE)?;
        for route in 0..ROUTES {
            let there = table.has(CPU, key(route))?;
            assert_eq!(there, route != 4, "route {route}, {wrong:?}");
        }
        release(&table, start)?;
        assert_references(&table, |route| i32::from(route != 4))?;
        table.set_clock(start + GRACE + 100)?;
        table.expire(IDLE)?;
        assert_eq!(table.counts()?.flows, 0);
        table.set_route(4, None)?;
    }
    Ok(())
}

//! Flushes of a route, which a more specific route causes.

use super::{START, assert_references, flow, small};
use crate::kpi::flowtable::{Table, key};
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};

const CPU: u32 = 0;
const BUCKETS: [u32; 5] = [0, 17, 42, 43, 255];
const FLUSHED: u32 = 1;
const OTHER: u32 = 2;

/// Inserts flows of two routes into the same buckets, in both orders.
fn flows(table: &Table) -> Result<Vec<(u32, u32)>, Stop> {
    let mut flows = Vec::new();
    for bucket in BUCKETS {
        for route in [FLUSHED, OTHER, FLUSHED] {
            let nth = u32::try_from(flows.len()).map_err(|_| Stop::Fail("too many flows"))?;
            let key = key(table.size(), route, bucket, nth);
            flow(table, CPU, key)?;
            flows.push((route, key));
        }
    }
    Ok(flows)
}

fn assert_flushed(table: &Table, flows: &[(u32, u32)]) -> TestResult {
    for (route, key) in flows {
        let there = table.has(CPU, *key)?;
        assert_eq!(there, *route == OTHER, "{key:#x} of route {route}");
    }
    let left = i32::try_from(BUCKETS.len()).map_err(|_| Stop::Fail("too many flows"))?;
    assert_references(table, |route| if route == OTHER { left } else { 0 })
}

/// A flush frees all flows of the route, including those just used.
pub fn fresh() -> TestResult {
    let table = small()?;
    let flows = flows(&table)?;
    table.flush(FLUSHED)?;
    assert_flushed(&table, &flows)
}

/// A flush keeps the flows of other routes, even stale ones.
pub fn others_stay() -> TestResult {
    let table = small()?;
    let flows = flows(&table)?;
    table.set_clock(START + 1000)?;
    table.flush(FLUSHED)?;
    assert_flushed(&table, &flows)
}

//! Flushes of a route, which a more specific route causes.

use super::{START, assert_references, each_cpu, flow, release, small};
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{Family, InsertStep, Key, SMALLEST, Table, key, key6};
use crate::kpi::kthread::Thread;
use crate::tests::{FOREVER, join_all, resource_error};
use alloc::sync::Arc;
use alloc::vec;
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
    Ok(())
}

fn assert_released(table: &Table) -> TestResult {
    let left = i32::try_from(BUCKETS.len()).map_err(|_| Stop::Fail("too many flows"))?;
    assert_references(table, |route| if route == OTHER { left } else { 0 })
}

/// A flush removes all flows of the route, including those just used.
pub fn fresh() -> TestResult {
    let table = small()?;
    let flows = flows(&table)?;
    table.flush(FLUSHED)?;
    assert_flushed(&table, &flows)?;
    release(&table, START)?;
    assert_flushed(&table, &flows)?;
    assert_released(&table)
}

/// A flush keeps the flows of other routes, even stale ones.
pub fn others_stay() -> TestResult {
    let table = small()?;
    let flows = flows(&table)?;
    table.set_clock(START + 1000)?;
    table.flush(FLUSHED)?;
    assert_flushed(&table, &flows)?;
    assert_released(&table)
}

/// A flush removes the flows of all CPUs, and of one family.
pub fn every_cpu() -> TestResult {
    let table = Table::open(SMALLEST, cpus())?;
    let keys = |family| -> [Key; 2] {
        match family {
            Family::V4 => [0, 1].map(|nth| key(SMALLEST, FLUSHED, 17, nth).into()),
            Family::V6 => [0, 1].map(|nth| key6(FLUSHED, 17, nth).into()),
        }
    };
    for family in Family::ALL {
        for flushed in Family::ALL {
            for cpu in each_cpu() {
                for key in keys(flushed) {
                    assert!(table.touch(cpu, key)?, "{key:x?} was refused");
                }
            }
        }
        table.flush_family(family, FLUSHED)?;
        for other in Family::ALL {
            for cpu in each_cpu() {
                for key in keys(other) {
                    let there = table.has(cpu, key)?;
                    assert_eq!(there, family != other, "{key:x?} on CPU {cpu}");
                }
            }
        }
    }
    Ok(())
}

fn each_step(key: Key) -> [(Key, InsertStep); 3] {
    InsertStep::ALL.map(|step| (key, step))
}

/// A flow whose route is flushed before the flow is inserted is not inserted:
/// no later flush would remove it.
pub fn during_insert() -> TestResult {
    let table = Table::open(SMALLEST, cpus())?;
    let keys = [
        Key::from(key(SMALLEST, FLUSHED, 17, 0)),
        key6(FLUSHED, 17, 0).into(),
    ];
    for cpu in each_cpu() {
        for (key, after) in keys.into_iter().flat_map(each_step) {
            let there = table.touch_and_flush(cpu, key, after)?;
            assert!(!there, "{key:x?} on CPU {cpu}, flushed after {after:?}");
            let there = table.has(cpu, key)?;
            assert!(!there, "{key:x?} on CPU {cpu}, flushed after {after:?}");
        }
    }
    assert_eq!(table.counts()?.flows, 0);
    assert_references(&table, |_| 0)?;
    for cpu in each_cpu() {
        for key in keys {
            assert!(table.touch(cpu, key)?, "{key:x?} on CPU {cpu} was refused");
            assert!(table.has(cpu, key)?, "{key:x?} on CPU {cpu}");
        }
    }
    Ok(())
}

/// The same if the flush has visited the CPU of the flow, and not yet all others.
pub fn beside_insert() -> TestResult {
    let keys = [
        (Family::V4, Key::from(key(SMALLEST, FLUSHED, 17, 0))),
        (Family::V6, key6(FLUSHED, 17, 0).into()),
    ];
    for (family, key) in keys {
        let table = Arc::new(Table::open(SMALLEST, cpus())?);
        let theirs = Arc::clone(&table);
        let flush = move || assert_eq!(theirs.flush_beside(family, FLUSHED), Ok(()));
        let flusher = Thread::spawn(c"kdk flush", flush).map_err(resource_error)?;
        let there = table.touch_beside(CPU, key)?;
        join_all(vec![flusher], FOREVER)?;
        assert!(!there, "{key:x?}");
        assert!(!table.has(CPU, key)?, "{key:x?}");
        assert_references(&table, |_| 0)?;
    }
    Ok(())
}

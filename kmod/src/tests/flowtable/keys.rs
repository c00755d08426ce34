//! Look-ups of flows.

use super::{IDLE, START, assert_references, flow, small};
use crate::kpi::flowtable::{Flow, Key, RouteDefect, key, key6};
use kdk_harness::{Stop, TestResult};

const CPU: u32 = 0;

/// Two addresses in one bucket are two flows, each with its own next hop.
pub fn comparison() -> TestResult {
    let table = small()?;
    let keys = [1, 2].map(|route| (route, key(table.size(), route, 17, route)));
    for _ in 0..2 {
        for (route, key) in keys {
            let wanted = Flow {
                key: key.into(),
                route: Some(route),
                lle: Some(route),
            };
            assert_eq!(flow(&table, CPU, key)?, wanted);
        }
    }
    let counts = table.counts()?;
    assert_eq!((counts.inserts, counts.hits, counts.flows), (2, 2, 2));
    assert_references(&table, |route| i32::from(route == 1 || route == 2))
}

/// Two IPv6 addresses that differ only in one of their later words are two
/// flows.
pub fn comparison_v6() -> TestResult {
    let table = small()?;
    let keys: [[u32; 4]; 6] = core::array::from_fn(|nth| key6(1, 17, nth as u32));
    for _ in 0..2 {
        for key in keys {
            let wanted = Flow {
                key: key.into(),
                route: Some(1),
                lle: Some(1),
            };
            assert_eq!(table.look_up(CPU, key)?, Some(wanted));
        }
    }
    let counts = table.counts()?;
    assert_eq!((counts.inserts, counts.hits, counts.flows), (6, 6, 6));
    assert_references(&table, |route| if route == 1 { 6 } else { 0 })
}

/// An address has a flow of its own in each FIB.
pub fn fibs() -> TestResult {
    let table = small()?;
    let v4 = key(table.size(), 1, 17, 0).into();
    let keys: [Key; 2] = [v4, key6(1, 17, 0).into()];
    for round in 0..2 {
        for fib in [0, 1, 15] {
            table.set_fib(fib)?;
            for key in keys {
                assert!(table.touch(CPU, key)?, "{key:x?} of fib {fib} was refused");
            }
        }
        let counts = table.counts()?;
        let wanted = (6, 6 * round, 6);
        assert_eq!((counts.inserts, counts.hits, counts.flows), wanted);
    }
    Ok(())
}

/// A hit refreshes the flow.
pub fn hit_refreshes() -> TestResult {
    let table = small()?;
    let [used, idle] = [3, 4].map(|bucket| key(table.size(), 0, bucket, 0));
    flow(&table, CPU, used)?;
    flow(&table, CPU, idle)?;
    table.set_clock(START + 20)?;
    flow(&table, CPU, used)?;
    table.set_clock(START + 45)?;
    table.expire(IDLE)?;
    assert!(table.has(CPU, used)?, "25 seconds are not 30");
    assert!(!table.has(CPU, idle)?, "45 seconds are more than 30");
    Ok(())
}

/// A flow with an invalid route or lle is not found.
pub fn dead_flow_misses() -> TestResult {
    let table = small()?;
    for (nth, wrong) in [RouteDefect::Down, RouteDefect::LleInvalid]
        .into_iter()
        .enumerate()
    {
        let nth = u32::try_from(nth).map_err(|_| Stop::Fail("too many flows"))?;
        let key = key(table.size(), nth, 5, nth);
        flow(&table, CPU, key)?;
        table.set_route(nth, Some(wrong))?;
        let before = table.counts()?;
        table.touch(CPU, key)?;
        let after = table.counts()?;
        assert_eq!(after.hits, before.hits, "found although {wrong:?}");
        assert_eq!(after.misses, before.misses + 1, "{wrong:?}");
    }
    Ok(())
}

/// A collision uses the existing flow, and releases the references of the new
/// one.
pub fn collision() -> TestResult {
    let table = small()?;
    let key = key(table.size(), 3, 200, 1);
    let first = flow(&table, CPU, key)?;
    table.set_clock(START + 20)?;
    assert_eq!(table.insert(CPU, key)?, Some(first));
    let counts = table.counts()?;
    assert_eq!((counts.collisions, counts.inserts, counts.flows), (1, 1, 1));
    assert_references(&table, |route| i32::from(route == 3))?;
    // It counts as a use.
    table.set_clock(START + 45)?;
    table.expire(IDLE)?;
    assert!(table.has(CPU, key)?);
    Ok(())
}

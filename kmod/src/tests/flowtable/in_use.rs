//! Flows that are removed while a packet uses them.
//!
//! A look-up takes no reference: the flow, its route and its lle have to stay
//! until the packet is on its way.

use super::{GRACE, IDLE, START, assert_references, each_cpu, release};
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{Family, Flow, Key, RouteDefect, SMALLEST, Table, key, key6};
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};

const ROUTE: u32 = 1;
const BUCKET: u32 = 42;
/// The shortest time that a flow may be idle, in seconds: that of a full table.
const SHORT: u32 = 5;

fn keys() -> [(Family, Key); 2] {
    [
        (Family::V4, key(SMALLEST, ROUTE, BUCKET, 0).into()),
        (Family::V6, key6(ROUTE, BUCKET, 0).into()),
    ]
}

/// A flush leaves the flow to its user.
pub fn flushed() -> TestResult {
    removed(|table, family| Ok(table.flush_family(family, ROUTE)?))
}

/// The cleaner leaves a flow with an invalid route or lle to its user.
pub fn stale() -> TestResult {
    let wrongs = [
        RouteDefect::Down,
        RouteDefect::NoInterface,
        RouteDefect::LinkDown,
        RouteDefect::LleInvalid,
    ];
    for wrong in wrongs {
        removed(|table, family| {
            table.set_route(ROUTE, Some(wrong))?;
            Ok(table.expire_family(family, IDLE)?)
        })?;
    }
    Ok(())
}

/// Uses a flow of each family on each CPU while `remove` removes it.
fn removed(remove: impl Fn(&Table, Family) -> TestResult) -> TestResult {
    for cpu in each_cpu() {
        for (family, key) in keys() {
            let table = Table::open(SMALLEST, cpus())?;
            removed_once(&table, cpu, family, key, &remove)?;
        }
    }
    Ok(())
}

fn removed_once(
    table: &Table,
    cpu: u32,
    family: Family,
    key: Key,
    remove: impl Fn(&Table, Family) -> TestResult,
) -> TestResult {
    let in_use = table
        .use_flow(cpu, key)?
        .ok_or(Stop::Fail("a look-up returned no flow"))?;
    let wanted = Some(Flow {
        key,
        route: Some(ROUTE),
        lle: Some(ROUTE),
    });
    remove(table, family)?;
    assert!(!table.has(cpu, key)?, "{key:x?} was not removed");
    assert_eq!(in_use.flow()?, wanted, "in use, and freed");
    // The look-up may have been at the end of a second.
    for seconds in [0, 1] {
        table.set_clock(START + seconds)?;
        for _ in 0..2 {
            table.expire_family(family, IDLE)?;
            assert_eq!(in_use.flow()?, wanted, "freed after {seconds} seconds");
        }
        assert_references(table, |route| i32::from(route == ROUTE))?;
    }
    drop(in_use);
    release(table, START)?;
    assert_eq!(table.counts()?.flows, 0);
    assert_references(table, |_| 0)
}

/// Each flow gets its time: an earlier one is freed while later ones stay.
pub fn in_turn() -> TestResult {
    const LATER: u32 = START + GRACE;
    let table = Table::open(SMALLEST, 1)?;
    let key_of = |route| Key::from(key(SMALLEST, route, BUCKET, 0));
    let mut in_use = Vec::new();
    for (route, now) in [(1, START), (2, LATER), (3, LATER)] {
        table.set_clock(now)?;
        let flow = table.use_flow(0, key_of(route))?;
        in_use.push((route, flow.ok_or(Stop::Fail("a look-up returned no flow"))?));
        table.flush(route)?;
    }
    table.expire(IDLE)?;
    for (route, flow) in &in_use {
        assert_eq!(flow.flow()?.is_some(), *route != 1, "route {route}");
    }
    assert_references(&table, |route| i32::from(route == 2 || route == 3))?;
    drop(in_use);
    release(&table, LATER)?;
    assert_eq!(table.counts()?.flows, 0);
    assert_references(&table, |_| 0)
}

/// The age of a flow is the time since its removal: the one removed first, which
/// was used last, is freed last.
pub fn ages() -> TestResult {
    let table = Table::open(SMALLEST, 1)?;
    let key_of = |route| Key::from(key(SMALLEST, route, BUCKET, 0));
    let mut in_use = Vec::new();
    for (route, now) in [(1, START), (2, START + SHORT - 1)] {
        table.set_clock(now)?;
        let flow = table.use_flow(0, key_of(route))?;
        in_use.push(flow.ok_or(Stop::Fail("a look-up returned no flow"))?);
    }
    for route in [2, 1] {
        table.flush(route)?;
    }
    table.set_clock(START + SHORT + 1)?;
    table.expire(IDLE)?;
    assert!(in_use[1].flow()?.is_some(), "freed 2 seconds after its use");
    drop(in_use);
    release(&table, START + SHORT)?;
    assert_references(&table, |_| 0)
}

/// A flow stays for as long after its last use as the cleaner allows at least:
/// 5 seconds, which may have begun at the end of a second.
pub fn boundary() -> TestResult {
    for removed in [0, SHORT] {
        let table = Table::open(SMALLEST, 1)?;
        let key = Key::from(key(SMALLEST, ROUTE, BUCKET, 0));
        let in_use = table
            .use_flow(0, key)?
            .ok_or(Stop::Fail("a look-up returned no flow"))?;
        table.set_clock(START + removed)?;
        table.flush(ROUTE)?;
        table.set_clock(START + SHORT)?;
        table.expire(IDLE)?;
        assert!(in_use.flow()?.is_some(), "removed after {removed} seconds");
        drop(in_use);
        release(&table, START + SHORT)?;
        assert_references(&table, |_| 0)?;
    }
    Ok(())
}

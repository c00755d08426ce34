//! Each CPU has its own buckets.

use super::{IDLE, START, assert_references, each_cpu, flow};
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{SMALLEST, Table, key, unzeroed_cpus};
use kdk_harness::{Stop, TestResult};

/// A flow of one CPU is not found on another. All stale flows are freed.
pub fn each() -> TestResult {
    let table = Table::open(SMALLEST, cpus())?;
    let key_of = |cpu| key(SMALLEST, 0, 17, cpu);
    for cpu in each_cpu() {
        flow(&table, cpu, key_of(cpu))?;
    }
    for cpu in each_cpu() {
        for other in each_cpu() {
            let there = table.has(cpu, key_of(other))?;
            assert_eq!(there, cpu == other, "CPU {other}'s flow on CPU {cpu}");
        }
    }
    table.set_clock(START + 1000)?;
    table.expire(IDLE)?;
    for cpu in each_cpu() {
        assert!(!table.has(cpu, key_of(cpu))?, "on CPU {cpu}");
    }
    assert_references(&table, |_| 0)
}

/// Zeroed per-CPU memory is zero for each id, also if there are more ids than
/// CPUs.
pub fn zeroed() -> TestResult {
    assert_eq!(unzeroed_cpus(), 0);
    Ok(())
}

/// CPU ids need not be consecutive.
pub fn sparse() -> TestResult {
    const CPUS: [u32; 2] = [0, 2];
    let set = CPUS.iter().fold(0, |set, cpu| set | 1 << cpu);
    if cpus() & set != set {
        return Err(Stop::Skip("needs three CPUs: try `--cpus 3`"));
    }
    let table = Table::open(SMALLEST, set)?;
    for cpu in CPUS {
        assert!(table.has_mask(cpu)?, "CPU {cpu} has no mask");
    }
    let key = key(SMALLEST, 1, 42, 0);
    for cpu in CPUS {
        flow(&table, cpu, key)?;
    }
    table.set_clock(START + 1000)?;
    table.expire(IDLE)?;
    for cpu in CPUS {
        assert!(!table.has(cpu, key)?, "on CPU {cpu}");
    }
    Ok(())
}

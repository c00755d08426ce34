//! Tests of ddb's `show flowtables`.

use super::{each_cpu, flow};
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{SMALLEST, Table, key};
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};

const BUCKETS: [u32; 4] = [0, 17, 42, 255];

/// It finds the mask and the lists of each CPU.
pub fn finds_each_cpu() -> TestResult {
    let table = Table::open(SMALLEST, cpus())?;
    if each_cpu().count() < 2 {
        return Err(Stop::Skip("needs two CPUs: try `--cpus 2`"));
    }
    for cpu in each_cpu() {
        assert!(table.ddb_finds_mask(cpu)?, "the mask of CPU {cpu}");
        for bucket in BUCKETS {
            let found = table.ddb_finds_list(cpu, bucket)?;
            assert!(found, "bucket {bucket} of CPU {cpu}");
        }
    }
    Ok(())
}

/// It prints the flows of each CPU under a heading, and no others.
pub fn show() -> TestResult {
    let table = Table::open(SMALLEST, cpus())?;
    let mut wanted = Vec::new();
    for cpu in each_cpu() {
        for bucket in BUCKETS {
            let key = key(SMALLEST, 1, bucket, cpu);
            flow(&table, cpu, key)?;
            wanted.push((cpu, key));
        }
    }
    let text = table.show()?;
    let ipv4 = text
        .lines()
        .skip_while(|line| *line != "IPv4:")
        .take_while(|line| *line != "IPv6:");
    let (mut cpu, mut shown) = (None, Vec::new());
    for line in ipv4 {
        if let Some(number) = line.strip_prefix("cpu: ") {
            cpu = number.parse::<u32>().ok();
        } else if let Some((_, rest)) = line.split_once("hash=") {
            let hash = rest.get(..8).unwrap_or(rest);
            let hash = u32::from_str_radix(hash, 16)
                .map_err(|_| Stop::Fail("a flow's hash is not a number"))?;
            shown.push((cpu.ok_or(Stop::Fail("a flow of no CPU"))?, hash));
        }
    }
    wanted.sort_unstable();
    shown.sort_unstable();
    assert!(shown == wanted, "{shown:x?} instead of {wanted:x?}\n{text}");
    Ok(())
}

//! Tests of ddb's `show flowtables`.

use super::each_cpu;
use crate::kpi::cpus::cpus;
use crate::kpi::flowtable::{Family, Key, SMALLEST, Table, key, key6};
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};

const BUCKETS: [u32; 4] = [0, 17, 42, 255];
/// The flows of each bucket, CPU and family.
const FLOWS: u32 = 3;

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

/// It prints the flows of each CPU and family under a heading, and no others, and
/// leaves the tables as they are.
pub fn show() -> TestResult {
    let table = Table::open(SMALLEST, cpus())?;
    let mut wanted = Vec::new();
    for cpu in each_cpu() {
        for bucket in BUCKETS {
            for nth in 0..FLOWS {
                let nth = nth + FLOWS * cpu;
                let keys = [
                    Key::V4(key(SMALLEST, 1, bucket, nth)),
                    key6(1, bucket, nth).into(),
                ];
                for key in keys {
                    assert!(table.touch(cpu, key)?, "{key:x?} was refused");
                    wanted.push((cpu, key));
                }
            }
        }
    }
    let masks = || -> Result<Vec<Vec<u32>>, Stop> {
        each_cpu()
            .flat_map(|cpu| Family::ALL.map(|family| (family, cpu)))
            .map(|(family, cpu)| Ok(table.mask_family(family, cpu)?))
            .collect()
    };
    let before = masks()?;
    let text = table.show()?;
    assert!(masks()? == before, "the masks have changed");
    let mut shown = shown(&text)?;
    wanted.sort_unstable();
    shown.sort_unstable();
    assert!(shown == wanted, "{shown:x?} instead of {wanted:x?}\n{text}");
    Ok(())
}

/// Reads the flows that were shown. A flow of IPv4 is known by its hash, as the
/// test's addresses are their own hashes, and one of IPv6 by its key.
fn shown(text: &str) -> Result<Vec<(u32, Key)>, Stop> {
    let (mut cpu, mut family, mut flows) = (None, None, Vec::new());
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("cpu: ") {
            cpu = number.parse::<u32>().ok();
        }
        match line {
            "IPv4:" => family = Some(Family::V4),
            "IPv6:" => family = Some(Family::V6),
            _ => {}
        }
        let key = match family {
            Some(Family::V4) => line.split_once("hash=").map(|(_, rest)| {
                let hash = rest.split_whitespace().next().unwrap_or(rest);
                words(hash).map(|[word]: [u32; 1]| Key::V4(word))
            }),
            Some(Family::V6) => line.split_once("key=").map(|(_, rest)| {
                let key = rest.split_whitespace().next().unwrap_or(rest);
                words(key).map(Key::V6)
            }),
            None => None,
        };
        if let Some(key) = key {
            let key = key.ok_or(Stop::Fail("a key is not as long as its address"))?;
            flows.push((cpu.ok_or(Stop::Fail("a flow of no CPU"))?, key));
        }
    }
    Ok(flows)
}

/// Reads `N` words in hexadecimal, separated by colons.
fn words<const N: usize>(text: &str) -> Option<[u32; N]> {
    let words = text
        .split(':')
        .map(|word| u32::from_str_radix(word, 16).ok())
        .collect::<Option<Vec<u32>>>()?;
    words.try_into().ok()
}

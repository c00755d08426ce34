//! How long a walk over the buckets in use takes, for `cargo xtask bench
//! flowtable`: nothing is judged here.

use super::bits::Buckets;
use super::{IDLE, START};
use crate::kpi::flowtable::{Table, Walk, key};
use crate::kpi::notes::note;
use kdk_harness::{TestResult, kdk_test};

const CPU: u32 = 0;
/// Of a hundred buckets, so many in use.
const PERCENTS: [u64; 4] = [1, 10, 50, 100];
/// How often a walk is timed.
const ROUNDS: usize = 5;
/// A walk of so many buckets and bytes of a mask is timed once: a longer time
/// is not more exact for being measured again.
const LONG: u64 = 1 << 24;
/// For the walk that is quadratic, on a machine that is emulated and busy.
const LIMIT_MS: u32 = 900_000;

macro_rules! sizes {
    ($($name:literal: $size:literal),* $(,)?) => {
        $(kdk_test!(
            concat!("flowtable/bench-expiry-", $name),
            || measure($size),
            limit_ms = LIMIT_MS,
            default = false
        );)*
    };
}

sizes! {
    "256": 256,
    "512": 512,
    "1024": 1024,
    "2048": 2048,
    "4096": 4096,
    "8192": 8192,
    "16384": 16384,
    "32768": 32768,
    "65536": 65536,
    "131072": 131_072,
    "262144": 262_144,
}

/// A flow in every bucket; the masks name some of them, evenly spread.
fn measure(size: u32) -> TestResult {
    let table = Table::open(size, 1 << CPU)?;
    let mut now = START;
    for percent in PERCENTS {
        fill(&table)?;
        let so_far = |bucket: u32| (u64::from(bucket) * percent + 50) / 100;
        let mask = Buckets::chosen(size, |bucket| so_far(bucket + 1) > so_far(bucket));
        table.set_mask(CPU, &mask.0)?;
        let walk = timed(&table)?;
        let Walk {
            ticks,
            visits,
            mask_bytes,
        } = walk;
        let set = mask.count();
        // Which ones it visits is seen by what goes when all may go.
        now += 1000;
        table.set_clock(now)?;
        table.expire(IDLE)?;
        let gone = Buckets(table.used(CPU)?).others();
        let visited = gone.both(&mask).count();
        note(
            "walk",
            &format_args!(
                "size={size} percent={percent} set={set} visited={visited} visits={visits} bytes={mask_bytes} ticks={ticks}"
            ),
        );
    }
    Ok(())
}

/// Puts a flow into each bucket that has none.
fn fill(table: &Table) -> TestResult {
    let size = table.size();
    for bucket in Buckets(table.used(CPU)?).others().iter() {
        let there = table.touch(CPU, key(size, 0, bucket, 0))?;
        assert!(there, "bucket {bucket} did not take a flow");
    }
    Ok(())
}

/// The median of some walks.
fn timed(table: &Table) -> Result<Walk, kdk_harness::Stop> {
    let first = table.walk(CPU)?;
    if first.visits + first.mask_bytes > LONG {
        return Ok(first);
    }
    let mut walks = [first; ROUNDS];
    for walk in &mut walks {
        *walk = table.walk(CPU)?;
    }
    walks.sort_unstable();
    Ok(walks[ROUNDS / 2])
}

//! The time of a walk over the buckets in use, for `cargo xtask bench
//! flowtable`. These tests only measure.

use super::bits::Buckets;
use super::{IDLE, START};
use crate::kpi::flowtable::{Table, Walk, key};
use crate::kpi::notes::note;
use kdk_harness::{TestResult, kdk_test};

const CPU: u32 = 0;
/// The percentages of buckets in use.
const PERCENTS: [u64; 4] = [1, 10, 50, 100];
/// The number of timed walks.
const ROUNDS: usize = 5;
/// A walk of more buckets and bytes of the mask is timed once: repeating a long
/// measurement does not make it more exact.
const LONG: u64 = 1 << 24;
/// The limit for a quadratic walk on a busy emulated machine.
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

/// Fills all buckets with flows, and walks over masks of some of them, evenly
/// spread.
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
        // The buckets that a walk visits lose their flows when all are idle.
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

/// Inserts a flow into each empty bucket.
fn fill(table: &Table) -> TestResult {
    let size = table.size();
    for bucket in Buckets(table.used(CPU)?).others().iter() {
        let there = table.touch(CPU, key(size, 0, bucket, 0))?;
        assert!(there, "no flow was inserted into bucket {bucket}");
    }
    Ok(())
}

/// Returns the median of several walks.
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

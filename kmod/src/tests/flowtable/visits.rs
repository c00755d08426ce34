//! The buckets that the cleaner visits.
//!
//! Every bucket has a stale flow, and the mask has some of the buckets. The
//! buckets without a flow afterwards were visited. They have to be those of the
//! mask.

use super::bits::Buckets;
use super::{IDLE, START, random};
use crate::kpi::flowtable::{SMALLEST, Table, key};
use fastrand::Rng;
use kdk_harness::{Stop, TestResult};

const CPU: u32 = 0;
const SIZES: [u32; 3] = [SMALLEST, 1024, 4096];
/// The number of masks of each size and kind.
const ROUNDS: u32 = 12;

/// A table on one CPU, and its time.
struct Walk {
    table: Table,
    now: u32,
}

impl Walk {
    fn new(size: u32) -> Result<Self, Stop> {
        let table = Table::open(size, 1 << CPU)?;
        Ok(Self { table, now: START })
    }

    /// Inserts a stale flow into every bucket.
    fn fill(&mut self) -> TestResult {
        let size = self.table.size();
        for bucket in 0..size {
            let there = self.table.touch(CPU, key(size, 0, bucket, 0))?;
            assert!(there, "no flow was inserted into bucket {bucket}");
        }
        self.now += 1000;
        Ok(self.table.set_clock(self.now)?)
    }

    /// Asserts that a walk visits the buckets of `mask` and no others, each once.
    /// Returns the number of bytes of the mask that it has read.
    fn check(&mut self, mask: &Buckets, why: &str) -> Result<u64, Stop> {
        self.fill()?;
        self.table.set_mask(CPU, &mask.0)?;
        let before = self.table.counts()?;
        self.table.expire(IDLE)?;
        let after = self.table.counts()?;
        let visited = Buckets(self.table.used(CPU)?).others();
        assert!(
            visited == *mask,
            "of {} buckets in use, {mask}, it visited {visited}{why}",
            self.table.size()
        );
        let visits = after.free_checks - before.free_checks;
        assert!(
            visits == mask.count(),
            "{visits} visits to {} buckets in use, {mask}{why}",
            mask.count()
        );
        assert_eq!(after.frees - before.frees, mask.count(), "{mask}{why}");
        let left = Buckets(self.table.mask(CPU)?);
        assert!(left.count() == 0, "still in use, but empty: {left}{why}");
        Ok(after.mask_bytes - before.mask_bytes)
    }
}

/// The example of the patch message.
pub fn example() -> TestResult {
    let mut walk = Walk::new(SMALLEST)?;
    for buckets in [[17, 42].as_slice(), &[8, 9, 10]] {
        walk.check(&Buckets::of(SMALLEST, buckets.iter().copied()), "")?;
    }
    Ok(())
}

/// No bucket is in use, and none is visited.
pub fn none() -> TestResult {
    for size in SIZES {
        Walk::new(size)?.check(&Buckets::none(size), "")?;
    }
    Ok(())
}

/// Every bucket is in use.
pub fn all() -> TestResult {
    for size in SIZES {
        Walk::new(size)?.check(&Buckets::none(size).others(), "")?;
    }
    Ok(())
}

/// The first and last bits of the mask, of its words and of its bytes.
pub fn edges() -> TestResult {
    for size in SIZES {
        let mut walk = Walk::new(size)?;
        let pairs = [
            [0, size - 1],
            [size - 2, size - 1],
            [31, 32],
            [63, 64],
            [7, 8],
        ];
        let single = [0, 31, 32, size - 32, size - 1].map(|bit| Buckets::of(size, [bit]));
        let pairs = pairs.map(|pair| Buckets::of(size, pair));
        let all_of = [(32, 0), (32, 31), (8, 0), (8, 7)]
            .map(|(of, at)| Buckets::chosen(size, |bucket| bucket % of == at));
        for mask in single.iter().chain(&pairs).chain(&all_of) {
            walk.check(mask, "")?;
        }
    }
    Ok(())
}

/// 1% of the buckets are in use.
pub fn sparse() -> TestResult {
    property(|random| random.u8(0..100) == 0)
}

/// Half of the buckets are in use.
pub fn every_second() -> TestResult {
    property(Rng::bool)
}

/// 95% of the buckets are in use.
pub fn dense() -> TestResult {
    property(|random| random.u8(0..20) != 0)
}

fn property(mut choose: impl FnMut(&mut Rng) -> bool) -> TestResult {
    let (seed, mut random) = random()?;
    let why = alloc::format!(" (seed {seed:016x})");
    for size in SIZES {
        let mut walk = Walk::new(size)?;
        for _ in 0..ROUNDS {
            let mask = Buckets::chosen(size, |_| choose(&mut random));
            walk.check(&mask, &why)?;
        }
    }
    Ok(())
}

/// A walk reads each word of the mask once, and once more per visited bucket.
pub fn work() -> TestResult {
    for size in SIZES {
        let mut walk = Walk::new(size)?;
        for every in [1, 2, 10, 100, size] {
            let mask = Buckets::chosen(size, |bucket| bucket % every == every - 1);
            let read = walk.check(&mask, "")?;
            let words = u64::from(size / 32) + mask.count() + 1;
            assert!(
                read <= words * 4,
                "of a mask of {size} bits, {} set, {read} bytes were read: more than {words} words",
                mask.count()
            );
        }
    }
    Ok(())
}

//! The configurations. Names say what differs from 64 sockets on one worker
//! that has its memory for itself.

use crate::calls::calls;
use crate::measure::measure;
use crate::setup::{Pace, Segment, Setup};

const KIB: usize = 1 << 10;

/// What unthrottled readers are sent at a time, and rate-limited ones: a
/// buffer takes those a quarter of a second.
const FREE: Setup = Setup::new(Pace::Free, 64, 64 * KIB);
const RATED: Setup = Setup::new(Pace::Rated, 64, 16 * KIB);

macro_rules! case {
    ($name:expr, $run:expr) => {
        kdk_harness::kdk_test!($name, $run, limit_ms = 300_000, default = false);
    };
}

macro_rules! setup {
    ($name:expr, $setup:expr) => {
        case!($name, || measure(&$setup));
    };
}

case!("bench/calls", calls);

setup!("bench/free-1", Setup::new(Pace::Free, 1, 64 * KIB));
setup!("bench/free-64", FREE);
setup!("bench/free-1024", Setup::new(Pace::Free, 1024, 16 * KIB));
setup!("bench/free-64-4k", Setup::new(Pace::Free, 64, 4 * KIB));
setup!("bench/free-64-16k", Setup::new(Pace::Free, 64, 16 * KIB));
setup!("bench/free-64-256k", Setup::new(Pace::Free, 64, 256 * KIB));
setup!("bench/free-64-own", FREE.on_four(Segment::Own, false));
setup!("bench/free-64-own-locked", FREE.on_four(Segment::Own, true));
setup!("bench/free-64-shared", FREE.on_four(Segment::Shared, false));
setup!(
    "bench/free-64-shared-locked",
    FREE.on_four(Segment::Shared, true)
);

setup!("bench/rated-1", Setup::new(Pace::Rated, 1, 16 * KIB));
setup!("bench/rated-64", RATED);
setup!("bench/rated-1024", Setup::new(Pace::Rated, 1024, 16 * KIB));
setup!("bench/rated-64-own", RATED.on_four(Segment::Own, false));
setup!(
    "bench/rated-64-own-locked",
    RATED.on_four(Segment::Own, true)
);
setup!(
    "bench/rated-64-shared",
    RATED.on_four(Segment::Shared, false)
);
setup!(
    "bench/rated-64-shared-locked",
    RATED.on_four(Segment::Shared, true)
);

//! Ways for a userland test to go wrong, for the tests of the runner. None
//! runs unless it is named.

use kdk_harness::kdk_test;
use kdk_sys::time::sleep_ms;

// Its limit is longer than any host waits: only the host can end it, and the
// kernel is alive.
kdk_test!(
    "fault/hang-alive",
    || loop {
        sleep_ms(1000);
    },
    limit_ms = 600_000,
    default = false
);

//! Expiry of flows.

use crate::count::Count;
use crate::traffic::Network;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::time::{Deadline, sleep_ms};

/// Addresses, and so flows.
const MANY: u32 = 4000;
/// The cleaner looks every 20 seconds for what is idle for 30.
const CLEANED_MS: u64 = 80_000;
const PAUSE_MS: u64 = 250;

kdk_test!(
    "flowtable/gone-with-interface",
    gone_with_interface,
    limit_ms = 60_000
);
kdk_test!(
    "flowtable/gone-when-idle",
    gone_when_idle,
    limit_ms = 150_000
);

/// When an interface has gone, none of its flows is left: they refer to routes
/// of an interface that is no more.
fn gone_with_interface() -> TestResult {
    let network = Network::new()?;
    network.send_to_all(MANY);
    let there = Count::now()?;
    assert!(there.flows() >= MANY.into(), "{there:?}");
    drop(network);
    let left = Count::now()?;
    assert_eq!(left.flows(), 0, "flows left of {}", there.flows());
    Ok(())
}

/// Unused flows expire, whatever bucket they are in; one that is used
/// stays.
fn gone_when_idle() -> TestResult {
    let network = Network::new()?;
    network.send_to_all(MANY);
    let there = Count::now()?;
    assert!(there.flows() >= MANY.into(), "{there:?}");
    let deadline = Deadline::after_ms(CLEANED_MS);
    let mut left = there;
    // The used one may have a flow on each CPU that this ran on.
    while left.frees - there.frees < u64::from(MANY) - 1 && !deadline.has_passed() {
        sleep_ms(PAUSE_MS);
        network.send(0);
        left = Count::now()?;
    }
    let freed = left.frees - there.frees;
    assert!(freed >= u64::from(MANY) - 1, "freed {freed} of {MANY}");
    let before = Count::now()?;
    network.send(0);
    let after = Count::now()?;
    assert!(left.flows() >= 1, "the used one went: {left:?}");
    assert_eq!(after.hits - before.hits, 1, "{before:?}, {after:?}");
    Ok(())
}

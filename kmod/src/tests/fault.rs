//! Ways for a test to go wrong, for the tests of the runner and of the host.
//! None runs unless it is named.

use crate::kpi::{fault, mutex, time};
use alloc::boxed::Box;
use core::time::Duration;
use kdk_harness::{TestResult, kdk_test};

kdk_test!("fault/panic", || fault::panic(), default = false);
kdk_test!("fault/hang-cli", || fault::hang(), default = false);
kdk_test!("fault/leak", leak, default = false);
kdk_test!("fault/held-lock", held_lock, default = false);
kdk_test!("fault/rust-panic", rust_panic, default = false);
kdk_test!("fault/timeout", timeout, limit_ms = 300, default = false);

/// Memory that nobody has any more.
fn leak() -> TestResult {
    let lost = Box::leak(Box::new([0_u8; 5000]));
    // Or the compiler would see that nobody looks.
    core::hint::black_box(lost);
    Ok(())
}

/// A lock that is not given back.
pub(super) fn held_lock() -> TestResult {
    core::mem::forget(mutex::MODULE.lock());
    Ok(())
}

/// A Rust panic.
#[allow(clippy::panic)]
pub(super) fn rust_panic() -> TestResult {
    panic!("asked for by a test")
}

/// Longer than its limit, and longer than anyone waits.
fn timeout() -> TestResult {
    time::sleep(Duration::from_secs(60));
    Ok(())
}

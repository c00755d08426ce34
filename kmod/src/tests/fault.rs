//! Ways for a test to go wrong, for the tests of the runner and of the host.
//! None runs unless it is named.

use crate::kpi::malloc::Zeroed;
use crate::kpi::mutex::{Lock, Recursion};
use crate::kpi::{fault, mutex, time};
use alloc::boxed::Box;
use core::time::Duration;
use kdk_harness::{Stop, TestResult, kdk_test};

kdk_test!("fault/panic", || fault::panic(), default = false);
kdk_test!("fault/kassert", kassert, default = false);
kdk_test!("fault/trap", || fault::read_null(), default = false);
kdk_test!(
    "fault/protection",
    || fault::read_nowhere(),
    default = false
);
kdk_test!("fault/double-fault", double_fault, default = false);
kdk_test!("fault/lock-order", lock_order, default = false);
kdk_test!("fault/locks-held", locks_held, default = false);
kdk_test!("fault/hang-cli", || fault::hang(), default = false);
kdk_test!("fault/leak", leak, default = false);
kdk_test!("fault/held-lock", held_lock, default = false);
kdk_test!("fault/rust-panic", rust_panic, default = false);
kdk_test!("fault/timeout", timeout, limit_ms = 300, default = false);

/// An assertion of the kernel's, which stands only with INVARIANTS.
fn kassert() -> TestResult {
    fault::kassert();
    Err(Stop::Skip("the kernel has no assertions"))
}

/// More calls than a kernel thread's stack has room for.
fn double_fault() -> TestResult {
    match fault::overflow_stack(0) {
        0 => Ok(()),
        _ => Err(Stop::Fail("the stack had no end")),
    }
}

/// Two locks, taken in both orders.
fn lock_order() -> TestResult {
    let one = Lock::new(c"kdk order one", Recursion::Forbidden);
    let two = Lock::new(c"kdk order two", Recursion::Forbidden);
    for (first, second) in [(&one, &two), (&two, &one)] {
        let _first = first.lock();
        let _second = second.lock();
    }
    Ok(())
}

/// Memory that may be waited for, with a lock held that may not be slept with.
fn locks_held() -> TestResult {
    let _held = mutex::MODULE.lock();
    drop(Zeroed::new(16));
    Ok(())
}

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

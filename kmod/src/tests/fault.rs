//! Faulty tests, for the tests of the runner and of the host. They run only
//! when they are named.

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

/// Fails a KASSERT(9), which needs INVARIANTS.
fn kassert() -> TestResult {
    fault::kassert();
    Err(Stop::Skip("the kernel is built without INVARIANTS"))
}

/// Overflows the stack of the thread.
fn double_fault() -> TestResult {
    match fault::overflow_stack(0) {
        0 => Ok(()),
        _ => Err(Stop::Fail("the stack did not overflow")),
    }
}

/// Acquires two locks in both orders.
fn lock_order() -> TestResult {
    let one = Lock::new(c"kdk order one", Recursion::Forbidden);
    let two = Lock::new(c"kdk order two", Recursion::Forbidden);
    for (first, second) in [(&one, &two), (&two, &one)] {
        let _first = first.lock();
        let _second = second.lock();
    }
    Ok(())
}

/// Allocates with M_WAITOK under a mutex.
fn locks_held() -> TestResult {
    let _guard = mutex::MODULE.lock();
    drop(Zeroed::new(16));
    Ok(())
}

/// Leaks memory.
fn leak() -> TestResult {
    let lost = Box::leak(Box::new([0_u8; 5000]));
    // This keeps the compiler from removing the allocation.
    core::hint::black_box(lost);
    Ok(())
}

/// Does not release a lock.
pub(super) fn held_lock() -> TestResult {
    core::mem::forget(mutex::MODULE.lock());
    Ok(())
}

/// Panics in Rust.
#[allow(clippy::panic)]
pub(super) fn rust_panic() -> TestResult {
    panic!("asked for by a test")
}

/// Exceeds its time limit.
fn timeout() -> TestResult {
    time::sleep(Duration::from_secs(60));
    Ok(())
}

//! Tests of kthread(9).

use super::{FOREVER, resource_error};
use crate::kpi::counters;
use crate::kpi::kthread::{End, Thread};
use crate::kpi::time;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use kdk_harness::{TestResult, kdk_test};

kdk_test!("kpi/kthread-joins", joins, cpus = &[1, 4]);
kdk_test!("kpi/kthread-join-limit", join_limit);
kdk_test!("kpi/kthread-counts", counts, cpus = &[1, 4]);
kdk_test!("kpi/kthread-panics", panics, cpus = &[1, 4]);

fn joins() -> TestResult {
    let value = Arc::new(AtomicU32::new(0));
    for round in 1..=5 {
        let set = Arc::clone(&value);
        let thread = Thread::spawn(c"kdk joins", move || set.store(round, Ordering::SeqCst))
            .map_err(resource_error)?;
        assert!(matches!(thread.join(FOREVER), Ok(End::Returned(Ok(())))));
        assert_eq!(value.load(Ordering::SeqCst), round);
    }
    // After the join the thread has dropped its reference to the value.
    assert_eq!(Arc::strong_count(&value), 1);
    Ok(())
}

/// Starts a thread that waits until the flag is set.
fn waiter() -> Result<(Thread, Arc<AtomicBool>), kdk_harness::Stop> {
    let go = Arc::new(AtomicBool::new(false));
    let wait = Arc::clone(&go);
    let body = move || {
        while !wait.load(Ordering::SeqCst) {
            time::sleep(Duration::from_millis(2));
        }
    };
    Ok((
        Thread::spawn(c"kdk waiter", body).map_err(resource_error)?,
        go,
    ))
}

/// A join ends at its limit, and can be repeated.
fn join_limit() -> TestResult {
    const LIMIT: Duration = Duration::from_millis(40);
    let (thread, go) = waiter()?;
    let start = time::uptime();
    let Err(thread) = thread.join(LIMIT) else {
        return Err(kdk_harness::Stop::Fail("a thread that waits was joined"));
    };
    assert!(time::uptime() - start >= LIMIT);
    go.store(true, Ordering::SeqCst);
    assert!(thread.join(FOREVER).is_ok());
    Ok(())
}

/// The count of threads, which the leak check uses.
fn counts() -> TestResult {
    let before = counters::threads();
    let (thread, go) = waiter()?;
    assert_eq!(counters::threads(), before + 1);
    go.store(true, Ordering::SeqCst);
    assert!(thread.join(FOREVER).is_ok());
    assert_eq!(counters::threads(), before);
    Ok(())
}

/// A panic ends the helper thread only, and the join returns its message.
fn panics() -> TestResult {
    let thread = Thread::spawn(c"kdk panics", helper_that_panics).map_err(resource_error)?;
    let Ok(End::Panicked(message)) = thread.join(FOREVER) else {
        return Err(kdk_harness::Stop::Fail("the helper did not panic"));
    };
    assert!(
        message.as_str().starts_with("the helper's number is 7 at "),
        "{message}"
    );
    assert!(message.as_str().contains("kthread.rs:"), "{message}");
    Ok(())
}

#[allow(clippy::panic)]
fn helper_that_panics() {
    panic!("the helper's number is {}", core::hint::black_box(7));
}

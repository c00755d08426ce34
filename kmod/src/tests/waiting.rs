//! Sleeping and waking.

use super::{FOREVER, resource_error};
use crate::kpi::kthread::Thread;
use crate::kpi::mutex::{Channel, Mutex};
use crate::kpi::time;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::{TestResult, kdk_test};

kdk_test!("kpi/sleep-lasts", lasts);
kdk_test!("kpi/sleep-times-out", times_out);
kdk_test!("kpi/sleep-wakes", wakes, cpus = &[1, 4]);
kdk_test!("kpi/sleep-crowd", crowd, limit_ms = 30_000, cpus = &[1, 4]);

/// A sleep lasts at least as long as it should. How much longer depends on the
/// host.
fn lasts() -> TestResult {
    for millis in [1, 15, 60] {
        let (time, start) = (Duration::from_millis(millis), time::uptime());
        time::sleep(time);
        let slept = time::uptime() - start;
        assert!(slept >= time, "slept {slept:?} of {time:?}");
    }
    Ok(())
}

/// Without a wake-up the sleep times out, and the lock is acquired again.
fn times_out() -> TestResult {
    const LIMIT: Duration = Duration::from_millis(30);
    let (lock, channel) = (Mutex::new(c"kdk times out", ()), Channel::new());
    let start = time::uptime();
    let mut guard = lock.lock();
    assert!(!guard.sleep(&channel, LIMIT));
    assert!(time::uptime() - start >= LIMIT);
    Ok(())
}

/// The lock is released during the sleep, and a wake-up ends the sleep.
fn wakes() -> TestResult {
    let shared = Arc::new((Mutex::new(c"kdk wakes", 0), Channel::new()));
    let other = Arc::clone(&shared);
    let set = move || {
        let (lock, channel) = &*other;
        *lock.lock() = 1;
        channel.wake();
    };
    let thread = Thread::spawn(c"kdk waker", set).map_err(resource_error)?;
    let (lock, channel) = &*shared;
    let mut value = lock.lock();
    while *value == 0 {
        assert!(value.sleep(channel, FOREVER), "no wake-up");
    }
    drop(value);
    assert!(thread.join(FOREVER).is_ok());
    Ok(())
}

/// Threads that sleep again and again for the shortest time, and move between
/// CPUs, all wake up each time.
fn crowd() -> TestResult {
    const THREADS: usize = 8;
    const SLEEPS: u32 = 200;
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let sleeper = || {
            for _ in 0..SLEEPS {
                time::sleep(Duration::from_millis(1));
            }
        };
        threads.push(Thread::spawn(c"kdk sleeper", sleeper).map_err(resource_error)?);
    }
    for thread in threads {
        assert!(thread.join(FOREVER).is_ok());
    }
    Ok(())
}

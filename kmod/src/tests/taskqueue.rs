//! Tests of taskqueue(9).

use super::resource_error;
use crate::kpi::taskqueue::Taskqueue;
use crate::kpi::time;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use kdk_harness::{TestResult, kdk_test};

kdk_test!("kpi/taskqueue-runs", runs, cpus = &[1, 4]);
kdk_test!("kpi/taskqueue-drains", drains, cpus = &[1, 4]);
kdk_test!("kpi/taskqueue-order", order, cpus = &[1, 4]);

fn runs() -> TestResult {
    let queue = Taskqueue::new(c"kdk runs").map_err(resource_error)?;
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let task = queue.task(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let task = task.map_err(resource_error)?;
    for round in 1..=3 {
        task.enqueue().map_err(resource_error)?;
        task.drain();
        assert_eq!(count.load(Ordering::SeqCst), round);
    }
    Ok(())
}

/// Draining waits for a task that sleeps.
fn drains() -> TestResult {
    let queue = Taskqueue::new(c"kdk drains").map_err(resource_error)?;
    let done = Arc::new(AtomicU32::new(0));
    let mark = Arc::clone(&done);
    let task = queue.task(move || {
        time::sleep(Duration::from_millis(50));
        mark.store(1, Ordering::SeqCst);
    });
    let task = task.map_err(resource_error)?;
    task.enqueue().map_err(resource_error)?;
    task.drain();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    Ok(())
}

/// Tasks run one at a time, in the order in which they were queued.
fn order() -> TestResult {
    let queue = Taskqueue::new(c"kdk order").map_err(resource_error)?;
    let digits = Arc::new(AtomicU32::new(0));
    let append = |digit: u32| {
        let digits = Arc::clone(&digits);
        queue.task(move || {
            let read = digits.load(Ordering::SeqCst);
            time::sleep(Duration::from_millis(5));
            digits.store(read * 10 + digit, Ordering::SeqCst);
        })
    };
    let tasks = [append(1), append(2), append(3)];
    for task in &tasks {
        task.as_ref()
            .map_err(|errno| resource_error(*errno))?
            .enqueue()
            .map_err(resource_error)?;
    }
    for task in tasks.iter().flatten() {
        task.drain();
    }
    assert_eq!(digits.load(Ordering::SeqCst), 123);
    Ok(())
}

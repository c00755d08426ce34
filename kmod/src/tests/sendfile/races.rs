//! Races between the last mbuf and the end of the event.

use super::in_flight::{InFlight, Link, wait_until};
use crate::kpi::descriptor::Descriptor;
use crate::kpi::kthread::Thread;
use crate::kpi::mbuf::Mbuf;
use crate::kpi::time;
use crate::tests::{FOREVER, resource_error};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use kdk_harness::{Stop, TestResult};

const ROUNDS: u32 = 100;

/// Frees mbufs in another thread while `meanwhile` runs in this one.
fn race(mbufs: Vec<Mbuf>, meanwhile: impl FnOnce()) -> TestResult {
    let go = Arc::new(AtomicBool::new(false));
    let started = Arc::new(AtomicBool::new(false));
    let (theirs, has_started) = (Arc::clone(&go), Arc::clone(&started));
    let free = move || {
        has_started.store(true, Ordering::SeqCst);
        while !theirs.load(Ordering::SeqCst) {
            time::yield_now();
        }
        drop(mbufs);
    };
    let thread = Thread::spawn(c"kdk frees", free).map_err(resource_error)?;
    wait_until(|| Ok(started.load(Ordering::SeqCst)))?;
    go.store(true, Ordering::SeqCst);
    meanwhile();
    thread
        .join(FOREVER)
        .map(|_| ())
        .map_err(|_| Stop::Fail("the thread does not end"))
}

/// Closes the kqueue.
pub fn close() -> TestResult {
    let mut in_flight = InFlight::new(Link::Unix)?;
    for _ in 0..ROUNDS {
        let mbufs = in_flight.send_all(1)?;
        let next = Descriptor::kqueue().map_err(resource_error)?;
        let closing = core::mem::replace(&mut in_flight.queue, next);
        race(mbufs, || drop(closing))?;
        in_flight.expect_no_event("both are gone", 0)?;
    }
    Ok(())
}

/// Deletes the event, which may be pending already.
pub fn delete() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    for _ in 0..ROUNDS {
        let mut deleted = Ok(());
        race(in_flight.send_all(1)?, || deleted = in_flight.delete(1))?;
        deleted?;
        in_flight.expect_no_event("both are gone", 0)?;
    }
    Ok(())
}

//! The system call kqueue(2).

mod changes;
mod descriptors;
mod dumped;
mod forked;
mod others;

use alloc::vec::Vec;
use kdk_fixtures::bytes::soon;
use kdk_harness::{Stop, TestResult};
use kdk_sys::kqueue::{Event, Kqueue};
use kdk_sys::suite::must;
use kdk_sys::sysctl;
use kdk_sys::time::Deadline;

/// Skips the test on kernels without this sysctl. Those that have
/// `kern.proc.kq` also copy kqueues.
fn skip_without(sysctl: &str) -> TestResult {
    match sysctl::exists(sysctl) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Stop::Skip("the kernels of 2014 have no kern.proc.kq")),
        Err(errno) => panic!("sysctl {sysctl}: {errno}"),
    }
}

/// Makes changes and takes what has happened.
#[track_caller]
fn taken(queue: &Kqueue, changes: &[Event]) -> Vec<Event> {
    must("kevent", queue.wait(changes, 8, Deadline::after_ms(0)))
}

/// A queue with these events in it.
#[track_caller]
fn queue(events: &[Event]) -> Kqueue {
    let queue = must("kqueue", Kqueue::new());
    must("add the events", queue.change(events));
    queue
}

/// What has happened already.
#[track_caller]
fn ready(queue: &Kqueue) -> Vec<Event> {
    must("kevent without waiting", queue.ready(8))
}

/// The one event that happens soon.
#[track_caller]
fn one(what: &str, queue: &Kqueue) -> Event {
    let events = must(what, queue.wait(&[], 8, soon()));
    assert_eq!(
        events.len(),
        1,
        "{what}: expected one event, saw {events:?}"
    );
    events[0]
}

/// Nothing may have happened.
#[track_caller]
fn none(what: &str, queue: &Kqueue) {
    let events = ready(queue);
    assert!(
        events.is_empty(),
        "{what}: expected no event, saw {events:?}"
    );
}

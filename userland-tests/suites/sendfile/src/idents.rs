//! Several calls with one ident, and what a program can do to their events.

use crate::case;
use crate::in_flight::{InFlight, is_event, none, one};
use kdk_fixtures::bytes::{pattern, receive};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_ENABLE, EV_ONESHOT, Event, Filter,
};
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::sendfile::Request;
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Errno, Fd};

const LENGTH: usize = 2 * PAGE;
const SENT: i64 = LENGTH as i64;

/// Sends memory that has no event yet.
#[track_caller]
fn send(in_flight: &InFlight, ident: usize) -> (Fd, Fd) {
    let (memory, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Tcp.connect();
    let sent = in_flight.send(&memory, &here, ident, &Request::default());
    assert_eq!((sent.bytes, sent.result), (SENT, Ok(())), "sendfile");
    none("nothing was read", &in_flight.queue);
    (here, there)
}

case!(
    "sendfile/same-ident",
    same_ident,
    defect = "a call whose ident is in use has no event"
);

/// Events of one ident are not merged, whichever ends first, and whether or
/// not one is pending already.
fn same_ident() -> TestResult {
    let in_flight = InFlight::new()?;
    let first = send(&in_flight, 5);
    let second = send(&in_flight, 5);
    let third = send(&in_flight, 5);
    receive(&second.1, LENGTH);
    in_flight.expect_event("the second was read", 5, SENT);
    none("the others were not", &in_flight.queue);
    receive(&first.1, LENGTH);
    receive(&third.1, LENGTH);
    in_flight.wait_until_left("the rest was read", 2);
    let events = must("take both", in_flight.queue.ready(8));
    assert_eq!(events.len(), 2, "events: {events:?}");
    for seen in &events {
        is_event("the rest was read", seen, 5, SENT);
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

case!("sendfile/wide-idents", wide);

/// Ident and user data come back unchanged, whatever their value.
fn wide() -> TestResult {
    let in_flight = InFlight::new()?;
    for ident in [0, 1 << 31, 1 << 32, 5 | 5 << 40, usize::MAX] {
        let (_here, there) = send(&in_flight, ident);
        receive(&there, LENGTH);
        in_flight.expect_event("all was read", ident, SENT);
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

case!(
    "sendfile/pending-and-new",
    pending,
    defect = "a call whose ident is in use has no event"
);

/// A pending event is not replaced by the event of a new call.
fn pending() -> TestResult {
    let in_flight = InFlight::new()?;
    for _ in 0..3 {
        let (_here, there) = send_over_pending(&in_flight, 9);
        receive(&there, LENGTH);
    }
    for _ in 0..3 {
        in_flight.expect_event("all were read", 9, SENT);
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

#[track_caller]
fn send_over_pending(in_flight: &InFlight, ident: usize) -> (Fd, Fd) {
    let (memory, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Unix.connect();
    let sent = in_flight.send(&memory, &here, ident, &Request::default());
    assert_eq!((sent.bytes, sent.result), (SENT, Ok(())), "sendfile");
    (here, there)
}

case!(
    "sendfile/not-for-programs",
    eperm,
    defect = "a program can change the event of a call by registering it"
);

/// A program cannot register the filter, nor change an event of a call by
/// trying to.
fn eperm() -> TestResult {
    let in_flight = InFlight::new()?;
    let event = Event::new(4, Filter::Sendfile, EV_ADD).with_data(0x1000);
    for flags in [EV_ADD, EV_ADD | EV_ONESHOT, EV_ADD | EV_CLEAR | 0xf000] {
        let added = in_flight.queue.change(&[event.with_flags(flags)]);
        assert_eq!(added, Err(Errno::EPERM), "EV_ADD with {flags:#x}");
    }
    let (_here, there) = send(&in_flight, 4);
    let added = in_flight.queue.change(&[event.with_udata(99)]);
    assert_eq!(added, Err(Errno::EPERM), "EV_ADD of an ident in flight");
    receive(&there, LENGTH);
    in_flight.expect_event("all was read", 4, SENT);
    in_flight.assert_done("the event came once");
    for flags in [EV_DELETE, EV_ENABLE, EV_DISABLE] {
        let changed = in_flight.queue.change(&[event.with_flags(flags)]);
        assert_eq!(changed, Err(Errno::ENOENT), "{flags:#x} of nothing");
    }
    Ok(())
}

case!("sendfile/deleted", deleted);

/// A program may drop an event, in flight and pending.
fn deleted() -> TestResult {
    let in_flight = InFlight::new()?;
    let event = Event::new(6, Filter::Sendfile, EV_DELETE);
    let (_here, there) = send(&in_flight, 6);
    must("delete it in flight", in_flight.queue.change(&[event]));
    let again = in_flight.queue.change(&[event]);
    assert_eq!(again, Err(Errno::ENOENT), "delete it again");
    receive(&there, LENGTH);
    in_flight.assert_done("it was deleted in flight");

    let (_here, there) = send(&in_flight, 6);
    receive(&there, LENGTH);
    must(
        "wait for the event",
        wait_for(&in_flight.queue, POLLIN, Deadline::after_ms(4000)),
    );
    must("delete it pending", in_flight.queue.change(&[event]));
    in_flight.assert_done("it was deleted while pending");
    Ok(())
}

case!(
    "sendfile/deleted-in-the-call",
    deleted_in_the_call,
    defect = "a call whose event is deleted before it ends leaks its allocations"
);

/// Another process drops the event while the call still waits for room for the
/// trailers, its page being free already.
fn deleted_in_the_call() -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, _) = Source::Shm.of(PAGE);
    let trailers = pattern(1 << 20);
    let (here, there) = Link::Unix.connect_with(32 << 10);
    let event = Event::new(2, Filter::Sendfile, EV_DELETE);
    let other = Child::with_one_table(|| {
        receive(&there, PAGE);
        must("delete it", in_flight.queue.change(&[event]));
        receive(&there, trailers.len());
    });
    let request = Request {
        trailers: &[&trailers],
        ..Request::default()
    };
    let sent = in_flight.send(&memory, &here, 2, &request);
    let total = (PAGE + trailers.len()) as i64;
    assert_eq!((sent.bytes, sent.result), (total, Ok(())), "sendfile");
    other.join();
    in_flight.assert_done("it was deleted in the call");
    Ok(())
}

case!("sendfile/disabled", disabled);

/// A disabled event is kept until it is enabled.
fn disabled() -> TestResult {
    let in_flight = InFlight::new()?;
    let event = Event::new(8, Filter::Sendfile, EV_DISABLE).with_udata(!8);
    let (_here, there) = send(&in_flight, 8);
    must("disable it", in_flight.queue.change(&[event]));
    receive(&there, LENGTH);
    in_flight.wait_until_left("all was read", 1);
    none("it is disabled", &in_flight.queue);
    must(
        "enable it",
        in_flight.queue.change(&[event.with_flags(EV_ENABLE)]),
    );
    let seen = one("it is enabled", &in_flight.queue);
    is_event("it is enabled", &seen, 8, SENT);
    in_flight.assert_done("the event came once");
    Ok(())
}

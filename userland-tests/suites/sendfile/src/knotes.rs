//! Registrations in kqueues are freed, however a call ends.

use crate::case;
use crate::in_flight::{InFlight, none, one};
use kdk_fixtures::bytes::receive;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{EV_ADD, EV_DELETE, EV_DISABLE, EV_ENABLE, Event, Filter, Kqueue};
use kdk_sys::sendfile::{Completion, Request, sendfile};
use kdk_sys::socket::{Kind, socket};
use kdk_sys::suite::must;
use kdk_sys::{Errno, counters};

const TIMES: usize = 50;
/// Others, init among them, have some that come and go.
const OTHERS: i64 = 10;

case!("sendfile/knotes-are-freed", freed);

fn freed() -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, _) = Source::Shm.of(PAGE);
    let (here, there) = Link::Unix.connect();
    let unconnected = must("socket", socket(Kind::Tcp));
    let request = Request::default();
    let sends = |ident| {
        let sent = in_flight.send(&memory, &here, ident, &request);
        assert_eq!((sent.bytes, sent.result), (PAGE as i64, Ok(())));
    };
    let event = Event::new(1, Filter::Sendfile, EV_DELETE);
    let ends: [(&str, &dyn Fn()); 5] = [
        ("delivered", &|| {
            sends(1);
            receive(&there, PAGE);
            one("all was read", &in_flight.queue);
        }),
        ("deleted", &|| {
            sends(1);
            must("delete it", in_flight.queue.change(&[event]));
            receive(&there, PAGE);
        }),
        ("failed", &|| {
            let sent = in_flight.send(&memory, &unconnected, 1, &request);
            assert_eq!(sent.result, Err(Errno::ENOTCONN));
        }),
        ("refused", &|| {
            let added = in_flight.queue.change(&[event.with_flags(EV_ADD)]);
            assert_eq!(added, Err(Errno::EPERM));
        }),
        ("closed", &|| {
            let queue = must("kqueue", Kqueue::new());
            let request = Request {
                completion: Some(Completion::on(&queue, 1, 2)),
                ..request
            };
            let sent = sendfile(&memory, &here, &request);
            assert_eq!((sent.bytes, sent.result), (PAGE as i64, Ok(())));
            drop(queue);
            receive(&there, PAGE);
        }),
    ];
    for (what, end) in ends {
        let before = must("count knotes", counters::knotes());
        for _ in 0..TIMES {
            end();
        }
        in_flight.assert_done(what);
        let more = must("count knotes", counters::knotes()) - before;
        assert!(more < OTHERS, "{what} {TIMES} times: {more} more knotes");
    }
    Ok(())
}

case!(
    "sendfile/deleted-of-several",
    of_several,
    defect = "a call whose ident is in use has no event"
);

/// Changes by a program apply to the event of the ident that was registered
/// last.
fn of_several() -> TestResult {
    const CALLS: usize = 4;
    let in_flight = InFlight::new()?;
    let (memory, _) = Source::Shm.of(PAGE);
    let (here, there) = Link::Unix.connect();
    for udata in 1..=CALLS {
        let request = Request {
            completion: Some(Completion::on(&in_flight.queue, 1, udata)),
            ..Request::default()
        };
        let sent = sendfile(&memory, &here, &request);
        assert_eq!((sent.bytes, sent.result), (PAGE as i64, Ok(())));
    }
    let event = Event::new(1, Filter::Sendfile, EV_DELETE);
    must("delete the last", in_flight.queue.change(&[event]));
    let disable = event.with_flags(EV_DISABLE).with_udata(CALLS - 1);
    must("disable the one before", in_flight.queue.change(&[disable]));
    receive(&there, CALLS * PAGE);
    for udata in 1..CALLS - 1 {
        assert_eq!(one("all was read", &in_flight.queue).udata, udata);
    }
    none("the others", &in_flight.queue);
    let enable = disable.with_flags(EV_ENABLE);
    must("enable it", in_flight.queue.change(&[enable]));
    assert_eq!(one("it is enabled", &in_flight.queue).udata, CALLS - 1);
    in_flight.assert_done("each event came once");
    Ok(())
}

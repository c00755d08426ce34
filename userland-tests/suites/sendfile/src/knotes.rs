//! Registrations in kqueues are freed, however a call ends.

use crate::case;
use crate::in_flight::{InFlight, one};
use kdk_fixtures::bytes::receive;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{EV_ADD, EV_DELETE, Event, Filter, Kqueue};
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

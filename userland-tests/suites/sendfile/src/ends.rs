//! Ends of all kinds while a call is in flight: of the kqueue, the sockets,
//! the connection, the process.

use crate::case;
use crate::in_flight::{InFlight, none};
use kdk_fixtures::bytes::{assert_same, receive};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::Descriptor;
use kdk_sys::fd::pipe;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::Kqueue;
use kdk_sys::process::{kill, wait};
use kdk_sys::sendfile::{Completion, Request, sendfile};
use kdk_sys::signal::Signal;
use kdk_sys::socket::set_linger;
use kdk_sys::suite::must;

const LENGTH: usize = 4 * PAGE;
const SENT: i64 = LENGTH as i64;

case!("sendfile/kqueue-closed-tcp", || kqueue_closed(Link::Tcp));
case!("sendfile/kqueue-closed-unix", || kqueue_closed(Link::Unix));

/// No event is delivered, and nothing else happens. A kqueue that reuses the
/// descriptor number of the closed one does not get the event.
fn kqueue_closed(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let other = must("kqueue", Kqueue::new());
    let number = other.raw();
    let request = Request {
        completion: Some(Completion::on(&other, 1, 2)),
        ..Request::default()
    };
    let sent = sendfile(&memory, &here, &request);
    assert_eq!((sent.bytes, sent.result), (SENT, Ok(())), "sendfile");
    drop(other);
    let successor = must("kqueue", Kqueue::new());
    assert_eq!(successor.raw(), number, "it takes the number");
    assert_same("what was sent", &receive(&there, LENGTH), &bytes);
    in_flight.assert_done("the kqueue was closed");
    none("the kqueue after it", &successor);
    Ok(())
}

fn peer_ends(link: Link, reset: bool, read: usize) -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, _) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let sent = in_flight.send(&memory, &here, 1, &Request::default());
    assert_eq!((sent.bytes, sent.result), (SENT, Ok(())), "sendfile");
    receive(&there, read);
    none("not all was read", &in_flight.queue);
    if reset {
        must("have it end with a reset", set_linger(&there, 0));
    }
    drop(there);
    in_flight.expect_event("the peer ended", 1, SENT);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/peer-reset", || peer_ends(Link::Tcp, true, 0));
case!("sendfile/peer-reset-halfway", || peer_ends(
    Link::Tcp,
    true,
    PAGE + 1
));
case!("sendfile/peer-closed-tcp", || peer_ends(
    Link::Tcp,
    false,
    1
));
case!("sendfile/peer-closed-unix", || peer_ends(
    Link::Unix,
    false,
    1
));

fn socket_closed(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let sent = in_flight.send(&memory, &here, 1, &Request::default());
    assert_eq!((sent.bytes, sent.result), (SENT, Ok(())), "sendfile");
    drop(here);
    none("nothing was read", &in_flight.queue);
    assert_same("what was sent", &receive(&there, LENGTH), &bytes);
    in_flight.expect_event("all was read", 1, SENT);
    in_flight.assert_done("the event came once");
    if link == Link::Tcp {
        must("leave no TIME_WAIT", set_linger(&there, 0));
    }
    Ok(())
}

case!("sendfile/socket-closed-tcp", || socket_closed(Link::Tcp));
case!("sendfile/socket-closed-unix", || socket_closed(Link::Unix));

fn killed(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let (sent_rx, sent_tx) = must("pipe", pipe());
    let sender = Child::run(|| {
        let queue = must("kqueue", Kqueue::new());
        let request = Request {
            completion: Some(Completion::on(&queue, 1, 2)),
            ..Request::default()
        };
        let sent = sendfile(&memory, &here, &request);
        assert_eq!((sent.bytes, sent.result), (SENT, Ok(())), "sendfile");
        must("report that it was sent", sent_tx.write_all(b"s"));
        // Until it is killed.
        let _ = queue.wait(&[], 1, kdk_sys::time::Deadline::NEVER);
    });
    must("wait until it was sent", sent_rx.read_full(&mut [0]));
    must("kill it", kill(sender.pid(), Signal::SIGKILL));
    must("wait for its end", wait(sender.pid()));
    drop(memory);
    assert_same("what was sent", &receive(&there, LENGTH), &bytes);
    in_flight.assert_done("the process was killed");
    Ok(())
}

case!("sendfile/process-killed-tcp", || killed(Link::Tcp));
case!("sendfile/process-killed-unix", || killed(Link::Unix));

case!("sendfile/killed-in-the-call", killed_in_the_call);

/// The call waits for room when the process is killed: its own part ends as
/// that of a call that was interrupted.
fn killed_in_the_call() -> TestResult {
    const MUCH: usize = 1 << 20;
    for link in [Link::Tcp, Link::Unix] {
        let in_flight = InFlight::new()?;
        let (memory, bytes) = Source::Shm.of(MUCH);
        // With less TCP of 2014 takes seconds to say that there is room again.
        let (here, there) = link.connect_with(128 << 10);
        let sender = Child::run(|| {
            let queue = must("kqueue", Kqueue::new());
            let request = Request {
                completion: Some(Completion::on(&queue, 1, 2)),
                ..Request::default()
            };
            let sent = sendfile(&memory, &here, &request);
            panic!("it came back: {sent:?}");
        });
        let mut seen = receive(&there, 1);
        must("kill it", kill(sender.pid(), Signal::SIGKILL));
        must("wait for its end", wait(sender.pid()));
        drop(here);
        seen.extend(kdk_fixtures::bytes::receive_all(&there));
        let expected = bytes.get(..seen.len()).unwrap_or_default();
        assert_same("a part", &seen, expected);
        assert!(seen.len() < MUCH, "it sent everything");
        if link == Link::Tcp {
            must("leave no TIME_WAIT", set_linger(&there, 0));
        }
        in_flight.assert_done("the process was killed");
    }
    Ok(())
}

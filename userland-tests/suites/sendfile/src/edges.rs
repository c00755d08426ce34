//! Nothing to send, and what is sent around the file.

use crate::case;
use crate::in_flight::InFlight;
use alloc::vec::Vec;
use kdk_fixtures::bytes::{assert_same, pattern, receive};
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::sendfile::Request;

case!("sendfile/nothing-to-send", nothing);

/// A call that sends nothing and returns 0 posts an event too, at once.
fn nothing() -> TestResult {
    let in_flight = InFlight::new()?;
    let past = Request {
        offset: 10 * PAGE as u64,
        ..Request::default()
    };
    for link in [Link::Tcp, Link::Unix] {
        let (here, _there) = link.connect();
        for kind in [Source::Shm, Source::Tmpfs] {
            let (empty, _) = kind.of(0);
            let sent = in_flight.send(&empty, &here, 1, &Request::default());
            assert_eq!((sent.bytes, sent.result), (0, Ok(())), "empty {kind:?}");
            in_flight.expect_event("an empty file", 1, 0);
            let (short, _) = kind.of(PAGE);
            let sent = in_flight.send(&short, &here, 2, &past);
            assert_eq!((sent.bytes, sent.result), (0, Ok(())), "past {kind:?}");
            in_flight.expect_event("past the end", 2, 0);
        }
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

fn around(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (file, middle) = Source::Shm.of(2 * PAGE + 1);
    let (before, after) = (pattern(300), pattern(5000));
    let (here, there) = link.connect();
    let request = Request {
        headers: &[&before, b"headers"],
        trailers: &[&after, b"trailers"],
        ..Request::default()
    };
    let expected: Vec<u8> = [&before, &b"headers"[..], &middle, &after, b"trailers"].concat();
    let sent = in_flight.send(&file, &here, 1, &request);
    let total = expected.len() as i64;
    assert_eq!((sent.bytes, sent.result), (total, Ok(())), "sendfile");
    assert_same("all of it", &receive(&there, expected.len()), &expected);
    in_flight.expect_event("all was read", 1, total);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/headers-trailers-tcp", || around(Link::Tcp));
case!("sendfile/headers-trailers-unix", || around(Link::Unix));

case!("sendfile/trailers-alone", trailers);

/// They are copied: nothing has to be waited for.
fn trailers() -> TestResult {
    let in_flight = InFlight::new()?;
    let (empty, _) = Source::Shm.of(0);
    let (here, there) = Link::Tcp.connect();
    let request = Request {
        trailers: &[b"trailers"],
        ..Request::default()
    };
    let sent = in_flight.send(&empty, &here, 1, &request);
    assert_eq!((sent.bytes, sent.result), (8, Ok(())), "sendfile");
    in_flight.expect_event("they were copied", 1, 8);
    assert_same("trailers", &receive(&there, 8), b"trailers");
    in_flight.assert_done("the event came once");
    Ok(())
}

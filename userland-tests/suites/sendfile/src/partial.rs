//! Calls that fail: a call that sent a part posts an event, one that sent
//! nothing does not.

use crate::case;
use crate::in_flight::{InFlight, is_event, none, one};
use alloc::vec::Vec;
use kdk_fixtures::bytes::{assert_same, pattern, receive, soon};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::fd::pipe;
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::process::kill;
use kdk_sys::sendfile::{Request, Sent};
use kdk_sys::signal::{Signal, catch};
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Descriptor, Errno};

const LENGTH: usize = 1 << 20;
const BUFFER: i32 = 32 << 10;

/// Sends until the socket is full. Each call that sent something posts an event
/// with its own count; the last call, which sent nothing, does not.
#[track_caller]
fn fill(in_flight: &InFlight, kind: Source, link: Link) -> TestResult {
    let (file, expected) = kind.of(LENGTH);
    let (here, there) = link.connect_with(BUFFER);
    must("do not wait", here.set_nonblocking(true));
    let mut calls = 0;
    let mut total = 0;
    let mut lengths = [0i64; 64];
    loop {
        let request = Request {
            offset: total as u64,
            ..Request::default()
        };
        let Sent { bytes, result } = in_flight.send(&file, &here, calls, &request);
        assert_eq!(result, Err(Errno::EAGAIN), "expected the socket to be full");
        if bytes == 0 {
            break;
        }
        let length = lengths.get_mut(calls).map(|length| *length = bytes);
        assert!(
            length.is_some(),
            "the socket is not full after {calls} calls"
        );
        total += bytes as usize;
        calls += 1;
    }
    assert!(calls > 0, "expected something to be sent first");
    none("nothing was read", &in_flight.queue);
    let seen = receive(&there, total);
    let expected = expected.get(..total).unwrap_or_default();
    assert_same("everything sent", &seen, expected);
    for _ in 0..calls {
        let seen = one("everything sent was read", &in_flight.queue);
        let length = lengths.get(seen.ident).copied().unwrap_or(-1);
        is_event("everything sent was read", &seen, seen.ident, length);
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

macro_rules! partial_tests {
    ($($name:literal: $source:ident over $link:ident;)*) => {
        $(case!($name, || fill(&InFlight::new()?, Source::$source, Link::$link));)*
    };
}

partial_tests! {
    "sendfile/eagain-shm-tcp": Shm over Tcp;
    "sendfile/eagain-shm-unix": Shm over Unix;
    "sendfile/eagain-tmpfs-tcp": Tmpfs over Tcp;
    "sendfile/eagain-tmpfs-unix": Tmpfs over Unix;
}

case!(
    "sendfile/eagain-in-headers",
    in_headers,
    defect = "a call that fails after it sent headers alone has no event"
);

/// The headers alone fill the socket: no page is ever in flight, and the
/// event is due when the call ends.
fn in_headers() -> TestResult {
    let in_flight = InFlight::new()?;
    let (file, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Tcp.connect_with(BUFFER);
    must("do not wait", here.set_nonblocking(true));
    let headers = pattern(LENGTH);
    let request = Request {
        headers: &[&headers],
        ..Request::default()
    };
    let sent = in_flight.send(&file, &here, 1, &request);
    assert_eq!(sent.result, Err(Errno::EAGAIN), "sendfile");
    assert!(sent.bytes > 0, "expected a part of the headers to be sent");
    let events = must("look for events", in_flight.queue.ready(1));
    let [event] = events[..] else {
        panic!("no page is in flight, and no event is pending");
    };
    is_event("no page is in flight", &event, 1, sent.bytes);
    let seen = receive(&there, sent.bytes as usize);
    let expected = headers.get(..seen.len()).unwrap_or_default();
    assert_same("headers", &seen, expected);
    in_flight.assert_done("the event came once");
    Ok(())
}

/// A signal ends a call that waits for room: one that has sent something posts
/// an event, one that has not does not.
fn interrupted(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (file, expected) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect_with(BUFFER);
    let (results, result) = must("pipe", pipe());
    let sender = Child::with_one_table(|| {
        must("catch the signal", catch(Signal::SIGALRM));
        let mut total = 0;
        for ident in 0.. {
            let request = Request {
                offset: total,
                ..Request::default()
            };
            let sent = in_flight.send(&file, &here, ident, &request);
            assert_eq!(sent.result, Err(Errno::EINTR), "call {ident}: {sent:?}");
            must("report it", result.write_all(&sent.bytes.to_le_bytes()));
            if sent.bytes == 0 {
                break;
            }
            total += sent.bytes as u64;
        }
    });
    must("wait for the first bytes", wait_for(&there, POLLIN, soon()));
    let mut lengths = Vec::new();
    loop {
        // A signal may come while no call waits.
        while wait_for(&results, POLLIN, Deadline::after_ms(1)) == Err(Errno::ETIMEDOUT) {
            must("interrupt it", kill(sender.pid(), Signal::SIGALRM));
        }
        let mut bytes = [0; 8];
        must("hear what was sent", results.read_full(&mut bytes));
        match i64::from_le_bytes(bytes) {
            0 => break,
            length => lengths.push(length),
        }
    }
    sender.join();
    assert!(!lengths.is_empty(), "no call sent anything");
    none("nothing was read", &in_flight.queue);
    let total = lengths.iter().sum::<i64>() as usize;
    let seen = receive(&there, total);
    let expected = expected.get(..total).unwrap_or_default();
    assert_same("everything sent", &seen, expected);
    for _ in &lengths {
        let seen = one("everything sent was read", &in_flight.queue);
        let length = lengths.get(seen.ident).copied().unwrap_or(-1);
        is_event("everything sent was read", &seen, seen.ident, length);
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

case!("sendfile/interrupted-tcp", || interrupted(Link::Tcp));
case!("sendfile/interrupted-unix", || interrupted(Link::Unix));

//! Each step of the call that can fail is made to. With nothing sent there is
//! no event and nothing is kept; otherwise the event has what was sent.
//!
//! What waits for memory (`M_WAITOK`: the books, the knote, the mbufs) cannot
//! fail, and neither can sf_buf_alloc() where all memory is mapped.

use super::in_flight::{InFlight, LENGTH, Link};
use crate::kpi::counters;
use crate::kpi::descriptor::Descriptor;
use crate::kpi::errno::Errno;
use crate::kpi::sendfile::{EV_ADD, Fault, PAGE, Request, SF_SYNC, Sent, Step};
use crate::tests::refused;
use kdk_harness::TestResult;

/// The call fails so, and leaves nothing, at once.
#[track_caller]
fn leaves_nothing(
    in_flight: &InFlight,
    what: &str,
    request: &Request<'_>,
    error: Errno,
) -> TestResult {
    let mbufs = counters::mbufs();
    let failed = Sent {
        bytes: 0,
        result: Err(error),
    };
    assert_eq!(request.send(), failed, "{what}");
    in_flight.expect_no_event(what, 0)?;
    no_more_than(mbufs);
    Ok(())
}

/// The call fails so when it has sent `bytes`, which get their event.
fn ends_early(
    in_flight: &InFlight,
    request: &Request<'_>,
    bytes: usize,
    error: Errno,
) -> TestResult {
    let mbufs = counters::mbufs();
    let failed = Sent {
        bytes: bytes as i64,
        result: Err(error),
    };
    assert_eq!(request.send(), failed);
    in_flight.expect_no_event("some was sent", 1)?;
    drop(in_flight.receive(bytes)?);
    in_flight.expect_event("what was sent was freed", request.ident, bytes)?;
    no_more_than(mbufs);
    Ok(())
}

/// There are no more mbufs than there were; of TCP's own some may be gone.
#[track_caller]
fn no_more_than(mbufs: i64) {
    let now = counters::mbufs();
    assert!(now <= mbufs, "{now} mbufs, {mbufs} before");
}

/// The kqueue does not take the event.
pub fn registration() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let request = in_flight.request(1);
    let no_queue = Request {
        queue: None,
        ..request
    };
    leaves_nothing(&in_flight, "no kqueue", &no_queue, Errno::EBADF)?;
    let socket = Request {
        queue: Some(&in_flight.here),
        ..request
    };
    leaves_nothing(&in_flight, "no kqueue but a socket", &socket, Errno::EINVAL)?;
    let flags = Request {
        event_flags: EV_ADD,
        ..request
    };
    leaves_nothing(&in_flight, "a flag of the kernel's", &flags, Errno::EINVAL)?;
    let both = Request {
        flags: SF_SYNC,
        ..request
    };
    leaves_nothing(&in_flight, "SF_SYNC as well", &both, Errno::EINVAL)
}

/// The lock of a socket that listens cannot be had.
pub fn socket_lock() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let listener = Descriptor::tcp_listener().map_err(refused)?;
    let request = Request {
        socket: &listener,
        ..in_flight.request(1)
    };
    leaves_nothing(&in_flight, "a listener", &request, Errno::ENOTCONN)
}

/// There is never space.
pub fn wait() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let request = faulty(&in_flight, Step::Wait, 0);
        leaves_nothing(&in_flight, "pr_sendfile_wait", &request, Errno::ENOBUFS)?;
        in_flight.here.shut_down().map_err(refused)?;
        leaves_nothing(&in_flight, "shut down", &in_flight.request(1), Errno::EPIPE)?;
    }
    Ok(())
}

/// There was space for a page.
pub fn wait_later() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let request = faulty(&in_flight, Step::Wait, 1);
        ends_early(&in_flight, &request, PAGE, Errno::ENOBUFS)?;
    }
    Ok(())
}

/// The protocol takes nothing: all mbufs of the request are freed by it.
pub fn send() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let request = faulty(&in_flight, Step::Send, 0);
        leaves_nothing(&in_flight, "pr_send", &request, Errno::ENOBUFS)?;
    }
    Ok(())
}

/// The protocol takes two pages, and not the third.
pub fn send_later() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let request = faulty(&in_flight, Step::Send, 2);
        ends_early(&in_flight, &request, 2 * PAGE, Errno::ENOBUFS)?;
    }
    Ok(())
}

/// All pages are sent, and the trailers are not.
pub fn trailer() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let request = Request {
            trailer: Some(b"trailer"),
            ..faulty(&in_flight, Step::Trailer, 0)
        };
        ends_early(&in_flight, &request, LENGTH, Errno::ENOBUFS)?;
    }
    Ok(())
}

/// A call that sends a page at a time, and fails with ENOBUFS.
fn faulty(in_flight: &InFlight, step: Step, passes: u32) -> Request<'_> {
    Request {
        space: PAGE,
        fault: Some(Fault {
            step,
            passes,
            error: Errno::ENOBUFS,
        }),
        ..in_flight.request(1)
    }
}

//! Failures of each step of the call. If nothing was sent there is no event and
//! nothing is allocated; otherwise the event reports what was sent.
//!
//! Allocations with `M_WAITOK` (the request, the knote, the mbufs) cannot fail.
//! Nor can sf_buf_alloc() on platforms with a direct map.

use super::in_flight::{InFlight, LENGTH, Link, wait_until};
use crate::kpi::counters;
use crate::kpi::descriptor::{Descriptor, Direction};
use crate::kpi::errno::Errno;
use crate::kpi::sendfile::{EV_ADD, Fault, PAGE, Request, SF_SYNC, Sent, Step};
use crate::tests::resource_error;
use kdk_harness::TestResult;

/// Asserts that the call fails with this error and leaves nothing allocated.
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
    no_more_than(mbufs)
}

/// Asserts that the call fails after `bytes`, and that an event reports them.
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
    no_more_than(mbufs)
}

/// Waits until there are no more mbufs than before: the thread of TCP's input
/// frees its own. TCP may have freed some more.
fn no_more_than(mbufs: i64) -> TestResult {
    wait_until(|| Ok(counters::mbufs() <= mbufs))
}

/// The kqueue refuses the event.
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

/// A listening socket cannot be locked for sending.
pub fn socket_lock() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let listener = Descriptor::tcp_listener().map_err(resource_error)?;
    let request = Request {
        socket: &listener,
        ..in_flight.request(1)
    };
    leaves_nothing(&in_flight, "a listener", &request, Errno::ENOTCONN)
}

/// The wait for space fails at once.
pub fn wait() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let request = faulty(&in_flight, Step::Wait, 0);
        leaves_nothing(&in_flight, "pr_sendfile_wait", &request, Errno::ENOBUFS)?;
        in_flight
            .here
            .shut_down(Direction::Both)
            .map_err(resource_error)?;
        leaves_nothing(&in_flight, "shut down", &in_flight.request(1), Errno::EPIPE)?;
    }
    Ok(())
}

/// The wait for space fails after a page.
pub fn wait_later() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let request = faulty(&in_flight, Step::Wait, 1);
        ends_early(&in_flight, &request, PAGE, Errno::ENOBUFS)?;
    }
    Ok(())
}

/// The protocol refuses all mbufs, and frees them.
pub fn send() -> TestResult {
    for (link, error) in [(Link::Unix, Errno::ENOBUFS), (Link::Tcp, Errno::ECONNRESET)] {
        let in_flight = InFlight::new(link)?;
        let request = faulty(&in_flight, Step::Send, 0);
        leaves_nothing(&in_flight, "pr_send", &request, error)?;
    }
    Ok(())
}

/// The protocol accepts two pages and refuses the third.
pub fn send_later() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let request = faulty(&in_flight, Step::Send, 2);
    ends_early(&in_flight, &request, 2 * PAGE, Errno::ENOBUFS)
}

/// All pages are sent, and the trailers fail.
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

/// Makes a request that sends a page at a time and fails with ENOBUFS.
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

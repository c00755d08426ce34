//! TCP keeps data whose output fails, and sends it later.

use super::in_flight::{InFlight, LENGTH, Link};
use crate::kpi::errno::Errno;
use crate::kpi::reads::BlockedOutput;
use crate::kpi::sendfile::{PAGE, Request, Sent};
use crate::tests::resource_error;
use kdk_harness::TestResult;

/// A packet filter blocks the first data. It counts as sent, and the event waits
/// until it has arrived.
pub fn first() -> TestResult {
    const HEADER: &[u8] = b"header";
    let in_flight = InFlight::new(Link::Tcp)?;
    let blocked = BlockedOutput::of(&in_flight.here).map_err(resource_error)?;
    let request = Request {
        header: Some(HEADER),
        ..in_flight.request(1)
    };
    let length = HEADER.len() + LENGTH;
    let kept = Sent {
        bytes: length as i64,
        result: Err(Errno::EACCES),
    };
    assert_eq!(request.send(), kept);
    in_flight.expect_no_event("TCP keeps the pages", 1)?;
    drop(blocked);
    drop(in_flight.receive(length)?);
    in_flight.expect_event("they were received", 1, length)
}

/// A call that sends a page at a time stops at the first page that is blocked.
pub fn one_page() -> TestResult {
    let in_flight = InFlight::new(Link::Tcp)?;
    let blocked = BlockedOutput::of(&in_flight.here).map_err(resource_error)?;
    let request = Request {
        space: PAGE,
        ..in_flight.request(1)
    };
    let kept = Sent {
        bytes: PAGE as i64,
        result: Err(Errno::EACCES),
    };
    assert_eq!(request.send(), kept);
    in_flight.expect_no_event("TCP keeps the page", 1)?;
    drop(blocked);
    drop(in_flight.receive(PAGE)?);
    in_flight.expect_event("it was received", 1, PAGE)
}

//! Pages that are still being read when the call returns. Their mbufs are in the
//! receive buffer, but not ready (M_NOTREADY).

use super::in_flight::{InFlight, LENGTH, Link};
use crate::kpi::sendfile::{Request, Sent, pages_read};
use crate::tests::resource_error;
use kdk_harness::{Stop, TestResult};

const IDENT: usize = 1;

/// Makes a call whose pages are being read.
fn begun() -> Result<InFlight, Stop> {
    let in_flight = InFlight::new(Link::Unix)?;
    let request = Request {
        reading: true,
        ..in_flight.request(IDENT)
    };
    let all = Sent {
        bytes: LENGTH as i64,
        result: Ok(()),
    };
    assert_eq!(request.send(), all);
    in_flight.expect_no_event("its pages are being read", 1)?;
    Ok(in_flight)
}

/// The pages arrive once they are read.
pub fn at_last() -> TestResult {
    let in_flight = begun()?;
    pages_read().map_err(resource_error)?;
    in_flight.expect_no_event("not received yet", 1)?;
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", IDENT, LENGTH)
}

/// A receiver that shuts down drops all but the busy pages.
pub fn receiver_ends() -> TestResult {
    let in_flight = begun()?;
    in_flight.there.shut_down().map_err(resource_error)?;
    in_flight.expect_no_event("its pages are still being read", 1)?;
    pages_read().map_err(resource_error)?;
    in_flight.expect_event("the receiver has shut down", IDENT, LENGTH)
}

/// The receiver can receive them after the sender has shut down.
pub fn sender_ends() -> TestResult {
    let in_flight = begun()?;
    in_flight.here.shut_down().map_err(resource_error)?;
    pages_read().map_err(resource_error)?;
    in_flight.expect_no_event("not received yet", 1)?;
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", IDENT, LENGTH)
}

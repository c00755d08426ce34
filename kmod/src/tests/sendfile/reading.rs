//! Pages that are still being read when the call returns: their mbufs are in
//! the receiver's buffer, but not ready.

use super::flight::{Flight, LENGTH, Link};
use crate::kpi::sendfile::{Request, Sent, pages_read};
use crate::tests::refused;
use kdk_harness::{Stop, TestResult};

const IDENT: usize = 1;

/// A call whose pages are being read.
fn begun() -> Result<Flight, Stop> {
    let flight = Flight::new(Link::Unix)?;
    let request = Request {
        reading: true,
        ..flight.request(IDENT)
    };
    let all = Sent {
        bytes: LENGTH as i64,
        result: Ok(()),
    };
    assert_eq!(request.send(), all);
    flight.quiet("its pages are being read", 1)?;
    Ok(flight)
}

/// Once they are read, they arrive as others do.
pub fn at_last() -> TestResult {
    let flight = begun()?;
    pages_read().map_err(refused)?;
    flight.quiet("nobody has received them", 1)?;
    drop(flight.arrive(LENGTH)?);
    flight.lands("they were received", IDENT, LENGTH)
}

/// The receiver drops what it has, but for what is being read.
pub fn receiver_ends() -> TestResult {
    let flight = begun()?;
    flight.there.shut_down().map_err(refused)?;
    flight.quiet("its pages are still being read", 1)?;
    pages_read().map_err(refused)?;
    flight.lands("nobody wants them", IDENT, LENGTH)
}

/// The receiver can still have them.
pub fn sender_ends() -> TestResult {
    let flight = begun()?;
    flight.here.shut_down().map_err(refused)?;
    pages_read().map_err(refused)?;
    flight.quiet("nobody has received them", 1)?;
    drop(flight.arrive(LENGTH)?);
    flight.lands("they were received", IDENT, LENGTH)
}

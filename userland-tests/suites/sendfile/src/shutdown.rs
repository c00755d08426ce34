//! Calls on a stream of unix(4) after shutdown(2) by either end.

use crate::case;
use crate::in_flight::InFlight;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::sendfile::{Request, Sent};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::socket::{Half, shutdown};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno};

const LENGTH: usize = 100;
const WHY: &str = "unix(4) of 2014 accepts data after the receiver's shutdown(2)";

/// The call fails with EPIPE, without an event and without waiting.
fn refused(half: Half, by_peer: bool, nonblocking: bool) -> TestResult {
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let in_flight = InFlight::of_second(WHY)?;
    let (file, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Unix.connect();
    let end = if by_peer { &there } else { &here };
    must("shut down", shutdown(end, half));
    must("set whether it waits", here.set_nonblocking(nonblocking));
    let sent = in_flight.send(&file, &here, 1, &Request::default());
    let nothing = Sent {
        bytes: 0,
        result: Err(Errno::EPIPE),
    };
    assert_eq!(sent, nothing, "sendfile after shutdown");
    in_flight.assert_done("the call was refused");
    assert_eq!(there.read(&mut [0]), Ok(0), "the receiver");
    Ok(())
}

case!("sendfile/shutdown-output", || refused(
    Half::Write,
    false,
    false
));
case!("sendfile/shutdown-input", || refused(
    Half::Read,
    true,
    true
));
case!("sendfile/shutdown-input-waits", || refused(
    Half::Read,
    true,
    false
));

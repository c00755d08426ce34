//! Calls on a stream of unix(4) after shutdown(2) by either end.

use crate::case;
use crate::in_flight::InFlight;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::process::{Pid, me};
use kdk_sys::sendfile::{Request, Sent};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::socket::{Half, shutdown};
use kdk_sys::suite::must;
use kdk_sys::time::sleep_ms;
use kdk_sys::{Descriptor, Errno, sysctl};

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

case!("sendfile/receiver-ends-in-the-call", in_the_call);

/// The receiver shuts down while the call waits for room. The leak check finds
/// the receiver's socket if the call keeps a reference to it.
fn in_the_call() -> TestResult {
    const MUCH: usize = 1 << 20;
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let in_flight = InFlight::of_second(WHY)?;
    let (file, _) = Source::Shm.of(MUCH);
    let (here, there) = Link::Unix.connect();
    let sender = me();
    let receiver = Child::run(|| {
        while !waits_for_room(sender) {
            sleep_ms(1);
        }
        must("shut down", shutdown(&there, Half::Read));
    });
    let sent = in_flight.send(&file, &here, 1, &Request::default());
    receiver.join();
    assert_eq!(sent.result, Err(Errno::EPIPE), "sendfile: {sent:?}");
    let part = 1..MUCH as i64;
    assert!(part.contains(&sent.bytes), "not a part: {sent:?}");
    in_flight.expect_event("the receiver dropped a part", 1, sent.bytes);
    in_flight.assert_done("the event came once");
    assert_eq!(there.read(&mut [0]), Ok(0), "the receiver");
    Ok(())
}

/// Returns whether the process sleeps until a socket's buffer changes.
#[track_caller]
fn waits_for_room(process: Pid) -> bool {
    /// The wait message, in the process's `ki_wmesg`.
    const MESSAGE: &[u8] = b"sbwait\0";
    let process = must(
        "look at the sender",
        sysctl::bytes_of("kern.proc.pid", &[process.0]),
    );
    process.windows(MESSAGE.len()).any(|part| part == MESSAGE)
}

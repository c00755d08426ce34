//! Buffers of unix(4) that are tiny, that are larger than the other side's, or
//! whose socket is to listen.

use crate::case;
use crate::in_flight::InFlight;
use kdk_fixtures::bytes::{assert_same, pattern, receive};
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::sendfile::Request;
use kdk_sys::socket::{
    Address, Kind, SocketOption, accept, bind, connect, listen, pair, send, set_option, socket,
};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno};

const OLD: &str = "kernels of 2014 have no buffer of their own for unix(4)";

/// Fills the buffer of the other side. Returns the number of bytes.
#[track_caller]
fn fill(here: &impl Descriptor) -> usize {
    let bytes = pattern(PAGE);
    let mut filled = 0;
    loop {
        match send(here, &bytes) {
            Ok(sent) => filled += sent,
            Err(error) => {
                assert_eq!(error, Errno::EAGAIN, "send to a full socket");
                return filled;
            }
        }
    }
}

/// Half of a send buffer of one byte is nothing. A full buffer of the other
/// side still has to be waited for.
fn tiny(offset: usize) -> TestResult {
    const LENGTH: usize = 2 * PAGE;
    let in_flight = InFlight::of_second(OLD)?;
    let (file, expected) = Source::Shm.of(LENGTH);
    let (here, there) = must("socketpair", pair(Kind::UnixStream));
    must(
        "make the buffer tiny",
        set_option(&here, SocketOption::SendBuffer, 1),
    );
    must("do not wait", here.set_nonblocking(true));
    let filled = fill(&here);
    let request = Request {
        offset: offset as u64,
        ..Request::default()
    };
    let sent = in_flight.send(&file, &here, 1, &request);
    assert_eq!((sent.bytes, sent.result), (0, Err(Errno::EAGAIN)), "full");
    receive(&there, filled);
    let rest = expected.get(offset..).unwrap_or_default();
    let sent = in_flight.send(&file, &here, 2, &request);
    assert_eq!(
        (sent.bytes, sent.result),
        (rest.len() as i64, Ok(())),
        "empty"
    );
    assert_same("what was sent", &receive(&there, rest.len()), rest);
    in_flight.expect_event("all was read", 2, rest.len() as i64);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/tiny-buffer", || tiny(100));
case!("sendfile/tiny-buffer-at-page", || tiny(0));

case!("sendfile/large-buffer", larger_than_the_other);

/// Half of the send buffer is more than the whole buffer of the other side,
/// which is empty.
fn larger_than_the_other() -> TestResult {
    let in_flight = InFlight::of_second(OLD)?;
    let (file, expected) = Source::Shm.of(1 << 20);
    let (here, there) = must("socketpair", pair(Kind::UnixStream));
    for (socket, option, bytes) in [
        (&here, SocketOption::SendBuffer, 512 << 10),
        (&there, SocketOption::ReceiveBuffer, 64 << 10),
    ] {
        must("set a buffer", set_option(socket, option, bytes));
    }
    must("do not wait", here.set_nonblocking(true));
    let sent = in_flight.send(&file, &here, 1, &Request::default());
    assert_eq!(sent.result, Err(Errno::EAGAIN), "more than fits");
    assert!(sent.bytes > 0, "nothing was sent to an empty buffer");
    let seen = receive(&there, sent.bytes as usize);
    let expected = expected.get(..seen.len()).unwrap_or_default();
    assert_same("what was sent", &seen, expected);
    in_flight.expect_event("all was read", 1, sent.bytes);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/listen-unread", listens_with_unread_data);

/// A socket whose peer has gone may listen, but not with unread data, which
/// the listener could never release.
fn listens_with_unread_data() -> TestResult {
    const LENGTH: usize = 2 * PAGE;
    let in_flight = InFlight::of_second(OLD)?;
    let (file, _) = Source::Shm.of(LENGTH);
    let [server, receiver] = [0, 1].map(|_| must("socket", socket(Kind::UnixStream)));
    let address = Address::unix("/tmp/listener");
    must("bind the listener", bind(&server, &address));
    must("listen", listen(&server, 1));
    must(
        "bind the receiver",
        bind(&receiver, &Address::unix("/tmp/receiver")),
    );
    must("connect", connect(&receiver, &address));
    let (sender, _) = must("accept", accept(&server));
    let sent = in_flight.send(&file, &sender, 1, &Request::default());
    assert_eq!((sent.bytes, sent.result), (LENGTH as i64, Ok(())));
    drop(sender);
    assert_eq!(
        listen(&receiver, 1),
        Err(Errno::EINVAL),
        "listen with unread data"
    );
    drop(receiver);
    in_flight.expect_event("the receiver is closed", 1, LENGTH as i64);
    in_flight.assert_done("the event came once");
    Ok(())
}

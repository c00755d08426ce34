//! sendfile(2) that waits for room on a unix(4) socket, and one after the end
//! of writing. FreeBSD 15.1 without the series fails both: its
//! `uipc_sendfile_wait()` keeps a reference to the other side's socket every
//! time it waits, and does not look at whether writing was shut down.

use kdk_fixtures::bytes::{assert_same, receive_all};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::Errno;
use kdk_sys::sendfile::{Request, Sent, sendfile};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::socket::{Half, shutdown};
use kdk_sys::suite::must;

kdk_test!("smoke/sendfile-unix-wait", waits, limit_ms = 20_000);

/// The buffers hold less than a tenth of what is sent. The leak check finds
/// the sockets that stay.
fn waits() -> TestResult {
    const LENGTH: usize = 1 << 20;
    let (source, bytes) = Source::Tmpfs.of(LENGTH);
    let (here, there) = Link::Unix.connect_with(64 << 10);
    let sender = Child::run(|| {
        let sent = sendfile(&source, &here, &Request::default());
        let all = Sent {
            bytes: LENGTH as i64,
            result: Ok(()),
        };
        assert_eq!(sent, all, "sendfile that waits");
    });
    drop(here);
    let seen = receive_all(&there);
    sender.join();
    assert_same("sendfile that waits", &seen, &bytes);
    Ok(())
}

kdk_test!("smoke/sendfile-unix-shutdown", after_shutdown);

fn after_shutdown() -> TestResult {
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let (source, _) = Source::Tmpfs.of(100);
    let (here, _there) = Link::Unix.connect();
    must("shut writing down", shutdown(&here, Half::Write));
    let sent = sendfile(&source, &here, &Request::default());
    assert_eq!(sent.result, Err(Errno::EPIPE), "sendfile after shutdown");
    Ok(())
}

//! sendfile(2) that waits for room on a unix(4) socket, and one after the end
//! of writing.
//!
//! FreeBSD 15's unix(4) has a defect in each: its `uipc_sendfile_wait()` keeps
//! a reference to the other side's socket every time it waits, and does not
//! look at whether writing was shut down. So there are two tests of each, one
//! for the kernels before, one that is expected to fail.

use kdk_harness::{Expect, Stop, TestResult, kdk_test};
use kdk_scene::bytes::receive_all;
use kdk_scene::child::Child;
use kdk_scene::link::Link;
use kdk_scene::source::Source;
use kdk_sys::sendfile::{Request, Sent, sendfile};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::socket::{Half, shutdown};
use kdk_sys::suite::must;
use kdk_sys::{Errno, process, sysctl};

/// `__FreeBSD_version` from which on unix(4) is the new one.
const NEW_UNIX: i64 = 1_500_000;

fn only(new: bool) -> TestResult {
    match must("kern.osreldate", sysctl::integer("kern.osreldate")) >= NEW_UNIX {
        is_new if is_new == new => Ok(()),
        true => Err(Stop::Skip(
            "FreeBSD 15's unix(4) has a defect here, which has its own test",
        )),
        false => Err(Stop::Skip("the defect came with FreeBSD 15's unix(4)")),
    }
}

kdk_test!(
    "smoke/sendfile-unix-wait",
    || only(false).and_then(|()| waits()),
    limit_ms = 20_000
);
kdk_test!(
    "smoke/sendfile-unix-wait-leak",
    || only(true).and_then(|()| waits()),
    limit_ms = 20_000,
    expect = Expect::Fail("uipc_sendfile_wait() keeps a reference to the socket")
);

/// The buffers hold less than a tenth of what is sent. The leak check finds
/// the sockets that stay; wrong bytes end the process, since an expected
/// failure must not hide them.
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
    if seen != bytes {
        kdk_sys::complain!("sendfile that waits: other bytes arrived than were sent");
        must("end", process::kill(process::me(), Signal::SIGABRT));
    }
    Ok(())
}

kdk_test!("smoke/sendfile-unix-shutdown", || only(false)
    .and_then(|()| after_shutdown()));
kdk_test!(
    "smoke/sendfile-unix-shutdown-ignored",
    || only(true).and_then(|()| after_shutdown()),
    expect = Expect::Fail("uipc_sendfile_wait() does not look at SBS_CANTSENDMORE")
);

fn after_shutdown() -> TestResult {
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let (source, _) = Source::Tmpfs.of(100);
    let (here, _there) = Link::Unix.connect();
    must("shut writing down", shutdown(&here, Half::Write));
    let sent = sendfile(&source, &here, &Request::default());
    assert_eq!(sent.result, Err(Errno::EPIPE), "sendfile after shutdown");
    Ok(())
}

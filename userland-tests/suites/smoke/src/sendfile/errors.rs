//! What sendfile(2) refuses, and with which error.

use kdk_fixtures::bytes::soon;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::{Expect, TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::file::{O_CLOEXEC, O_RDONLY, PAGE, open};
use kdk_sys::kqueue::{EV_ADD, EV_CLEAR, EV_EOF, Event, Filter, Kqueue};
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::sendfile::{Generation, Request, sendfile};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::socket::{Half, Kind, pair, set_linger, shutdown, socket};
use kdk_sys::suite::must;
use kdk_sys::sysctl;
use kdk_sys::time::Deadline;
use kdk_sys::{Descriptor, Errno, Fd};

#[track_caller]
fn refused(what: &str, file: &impl Descriptor, to: &impl Descriptor, expected: Errno) {
    let sent = sendfile(file, to, &Request::default());
    assert_eq!(sent.result, Err(expected), "{what}");
    assert!(
        sent.bytes <= 0,
        "{what}: expected no byte to be sent, saw {}",
        sent.bytes
    );
}

kdk_test!("smoke/sendfile-errors", errors);

fn errors() -> TestResult {
    let (file, _) = Source::Tmpfs.of(PAGE);
    let (memory, _) = Source::Shm.of(PAGE);
    let (read, write) = must("pipe", pipe());
    let (here, _there) = Link::Unix.connect();
    let directory = must("open /", open("/", O_RDONLY | O_CLOEXEC));
    refused("to a pipe", &file, &write, Errno::ENOTSOCK);
    refused("memory to a pipe", &memory, &write, Errno::ENOTSOCK);
    refused("to a file", &file, &memory, Errno::ENOTSOCK);
    refused("from a pipe", &read, &here, Errno::EINVAL);
    refused("from a socket", &here, &here, Errno::EINVAL);
    refused("from a directory", &directory, &here, Errno::EINVAL);
    let unconnected = must("socket", socket(Kind::Tcp));
    refused(
        "to an unconnected socket",
        &file,
        &unconnected,
        Errno::ENOTCONN,
    );
    refused(
        "memory to an unconnected socket",
        &memory,
        &unconnected,
        Errno::ENOTCONN,
    );
    let (datagram, _other) = must("socketpair", pair(Kind::UnixDatagram));
    refused("to a datagram socket", &file, &datagram, Errno::EINVAL);
    let before = Request {
        offset: u64::MAX,
        ..Request::default()
    };
    let sent = sendfile(&file, &here, &before);
    assert_eq!(sent.result, Err(Errno::EINVAL), "from before the start");
    Ok(())
}

kdk_test!(
    "smoke/sendfile-failed-bytes",
    failed_bytes,
    expect = Expect::FailOn(
        Generation::is_first,
        "it copies out eight bytes of the kernel's stack as the number of bytes sent"
    ),
);

/// A call that fails at once says that nothing was sent, or nothing at all.
/// Different calls are made before, so that something is on the kernel's stack.
fn failed_bytes() -> TestResult {
    let (read, _write) = must("pipe", pipe());
    let (here, there) = Link::Unix.connect();
    let queue = must("kqueue", Kqueue::new());
    let calls: [&dyn Fn(); 3] = [
        &|| drop(sysctl::text("kern.version")),
        &|| drop(queue.ready(1)),
        &|| {
            let _ = wait_for(&there, POLLIN, Deadline::after_ms(0));
        },
    ];
    for (nth, call) in calls.iter().cycle().take(12).enumerate() {
        call();
        let sent = sendfile(&read, &here, &Request::default());
        assert_eq!(sent.result, Err(Errno::EINVAL), "from a pipe");
        let says_nothing = matches!(sent.bytes, -1 | 0);
        assert!(says_nothing, "call {nth}: bytes sent: {:#x}", sent.bytes);
    }
    Ok(())
}

kdk_test!("smoke/sendfile-closed-peer", closed_peer);

fn closed_peer() -> TestResult {
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    for kind in [Source::Tmpfs, Source::Shm] {
        let (file, _) = kind.of(PAGE);
        // unix(4) after shutdown(2) has tests of its own.
        let (here, _there) = Link::Tcp.connect();
        must("shut writing down", shutdown(&here, Half::Write));
        refused("after shutdown", &file, &here, Errno::EPIPE);
        // An orderly end keeps a socket for a minute on kernels of 2014.
        must("end with a reset", set_linger(&here, 0));
        drop(here);
        let (here, there) = Link::Unix.connect();
        drop(there);
        let sent = sendfile(&file, &here, &Request::default());
        // FreeBSD 15 says the one, those before the other.
        assert!(
            matches!(sent.result, Err(Errno::EPIPE | Errno::ENOTCONN)),
            "to a closed unix(4) peer: expected EPIPE or ENOTCONN, saw {:?}",
            sent.result
        );
        reset(&file);
    }
    Ok(())
}

/// A TCP peer that resets the connection.
#[track_caller]
fn reset(file: &Fd) {
    let (here, there) = Link::Tcp.connect();
    must("have it end with a reset", set_linger(&there, 0));
    drop(there);
    over(&here);
    let sent = sendfile(file, &here, &Request::default());
    assert!(
        matches!(
            sent.result,
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN)
        ),
        "after a reset: expected EPIPE, ECONNRESET or ENOTCONN, saw {:?}",
        sent.result
    );
}

/// Waits until the connection has ended in both directions.
#[track_caller]
fn over(socket: &Fd) {
    let queue = must("kqueue", Kqueue::new());
    let ends = [Event::on(socket, Filter::Write, EV_ADD | EV_CLEAR)];
    must("ask for the end", queue.change(&ends));
    loop {
        let events = must("wait for the end", queue.wait(&[], 1, soon()));
        match events.first() {
            Some(event) if event.flags & EV_EOF != 0 => return,
            Some(_) => {}
            None => panic!("the connection has not ended within the deadline"),
        }
    }
}

//! Descriptors that can be read or written.

use super::{none, one, queue};
use kdk_fixtures::link::Link;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::kqueue::{EV_ADD, EV_CLEAR, EV_EOF, Event, Filter};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd};

/// Each kind of stream: the end to read from and the end to write to.
#[track_caller]
fn streams() -> [(&'static str, Fd, Fd); 3] {
    let (read, write) = must("pipe", pipe());
    let [(tcp, tcp_other), (unix, unix_other)] = [Link::Tcp, Link::Unix].map(Link::connect);
    [
        ("pipe", read, write),
        ("TCP", tcp, tcp_other),
        ("unix(4)", unix, unix_other),
    ]
}

kdk_test!("smoke/kqueue-read", reads);

fn reads() -> TestResult {
    for (kind, read, write) in streams() {
        let queue = queue(&[Event::on(&read, Filter::Read, EV_ADD).with_udata(0x1234)]);
        none("nothing was written", &queue);
        must("write", write.write_all(b"12345"));
        let event = one("something was written", &queue);
        assert!(event.is(Filter::Read), "{kind}: another filter: {event:?}");
        assert_eq!(event.ident, read.raw() as usize, "{kind}: ident");
        assert_eq!(event.udata, 0x1234, "{kind}: udata");
        assert_eq!(event.data, 5, "{kind}: bytes to read");
        assert_eq!(event.flags & EV_EOF, 0, "{kind}: the end before the end");
        must("read some", read.read(&mut [0; 2]));
        assert_eq!(one("some is left", &queue).data, 3, "{kind}: bytes left");
        must("read the rest", read.read(&mut [0; 8]));
        none("all was read", &queue);
        drop(write);
        let event = one("the other side is gone", &queue);
        assert_ne!(event.flags & EV_EOF, 0, "{kind}: no EV_EOF: {event:?}");
    }
    Ok(())
}

kdk_test!("smoke/kqueue-write", writes);

fn writes() -> TestResult {
    for (kind, read, write) in streams() {
        must("do not wait", write.set_nonblocking(true));
        let queue = queue(&[Event::on(&write, Filter::Write, EV_ADD)]);
        let event = one("there is room", &queue);
        assert!(event.is(Filter::Write), "{kind}: another filter: {event:?}");
        assert!(event.data > 0, "{kind}: no room: {event:?}");
        let filled = fill(&write);
        assert!(filled > 0, "{kind}: nothing could be written");
        let seen = kdk_fixtures::bytes::receive(&read, filled);
        assert_eq!(seen.len(), filled, "{kind}: bytes read");
        one("there is room again", &queue);
        drop(read);
        // TCP can still be written to when the other side has ended.
        if kind != "TCP" {
            let event = one("the other side is gone", &queue);
            assert_ne!(event.flags & EV_EOF, 0, "{kind}: no EV_EOF: {event:?}");
        }
    }
    Ok(())
}

kdk_test!("smoke/kqueue-write-full", write_full);

/// A full unix(4) socket or pipe has no room until it is read from. (TCP's
/// bytes move on by themselves.)
fn write_full() -> TestResult {
    let (read, write) = must("pipe", pipe());
    let (here, there) = Link::Unix.connect();
    for (kind, read, write) in [("pipe", read, write), ("unix(4)", there, here)] {
        must("do not wait", write.set_nonblocking(true));
        let filled = fill(&write);
        let queue = queue(&[Event::on(&write, Filter::Write, EV_ADD | EV_CLEAR)]);
        none("it is full", &queue);
        let seen = kdk_fixtures::bytes::receive(&read, filled);
        assert_eq!(seen.len(), filled, "{kind}: bytes read");
        assert!(one("it was emptied", &queue).data > 0, "{kind}: no room");
    }
    Ok(())
}

/// Writes until there is no room; how many bytes.
#[track_caller]
fn fill(write: &Fd) -> usize {
    let mut filled = 0;
    loop {
        match write.write(&[7; 4096]) {
            Ok(count) => filled += count,
            Err(Errno::EAGAIN) => return filled,
            Err(errno) => panic!("fill the buffer: expected EAGAIN, saw {errno}"),
        }
    }
}

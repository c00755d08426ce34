//! What is refused: the errno, nothing sent, no event, nothing kept.

use crate::case;
use crate::in_flight::{InFlight, none};
use alloc::vec::Vec;
use kdk_fixtures::bytes::receive;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::fd::pipe;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{EV_CLEAR, EV_DISPATCH, EV_ONESHOT};
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::process::give_way;
use kdk_sys::sendfile::{
    Completion, Generation, Request, SF_SYNC, Sent, sendfile, sendfile_without_description,
};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::socket::{Half, Kind, pair, set_linger, shutdown, socket};
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Descriptor, Errno, Fd};

const FILE_LEAK: &str = "a call whose event is refused keeps the file for ever";

struct Setting {
    in_flight: InFlight,
    memory: Fd,
    here: Fd,
    there: Fd,
}

impl Setting {
    fn new() -> Result<Self, kdk_harness::Stop> {
        let (here, there) = Link::Tcp.connect();
        Ok(Self {
            in_flight: InFlight::new()?,
            memory: Source::Shm.of(PAGE).0,
            here,
            there,
        })
    }

    /// The call was refused with `expected`, and nothing came of it.
    #[track_caller]
    fn refused(&self, what: &str, sent: Sent, expected: Errno) {
        assert_eq!(sent.result, Err(expected), "{what}");
        // `smoke/sendfile-failed-bytes` finds what those of 2014 say.
        if self.in_flight.generation != Generation::First {
            assert!(sent.bytes <= 0, "{what}: {} bytes were sent", sent.bytes);
        }
        let arrived = wait_for(&self.there, POLLIN, Deadline::after_ms(0));
        assert_eq!(arrived, Err(Errno::ETIMEDOUT), "{what}: bytes arrived");
        none(what, &self.in_flight.queue);
    }

    fn with(&self, completion: Completion) -> Sent {
        let request = Request {
            completion: Some(completion),
            ..Request::default()
        };
        sendfile(&self.memory, &self.here, &request)
    }
}

case!("sendfile/refused-flags", flags, defect = FILE_LEAK);

fn flags() -> TestResult {
    let setting = Setting::new()?;
    let good = Completion::on(&setting.in_flight.queue, 1, 2);
    let allowed = u32::from(EV_CLEAR | EV_DISPATCH | EV_ONESHOT);
    let wrong = (0..32)
        .map(|bit| 1u32 << bit)
        .filter(|bit| bit & allowed == 0);
    let mixed = [allowed | 1, u32::MAX];
    for flags in wrong.chain(mixed).collect::<Vec<_>>() {
        let sent = setting.with(Completion { flags, ..good });
        setting.refused("a flag of the event", sent, Errno::EINVAL);
    }
    setting.in_flight.assert_done("nothing is kept");
    Ok(())
}

case!("sendfile/refused-kqueue", kqueues, defect = FILE_LEAK);

/// Descriptors that are none, or of no kqueue.
fn kqueues() -> TestResult {
    let setting = Setting::new()?;
    let good = Completion::on(&setting.in_flight.queue, 1, 2);
    let (read, write) = must("pipe", pipe());
    let closed = read.raw();
    must("close it", read.close());
    let not_one = setting.in_flight.no_kqueue();
    for (kqueue, expected) in [
        (-1, Errno::EBADF),
        (i32::MAX, Errno::EBADF),
        (closed, Errno::EBADF),
        (write.raw(), not_one),
        (setting.here.raw(), not_one),
        (setting.memory.raw(), not_one),
    ] {
        let sent = setting.with(Completion { kqueue, ..good });
        setting.refused("no kqueue", sent, expected);
    }
    setting.in_flight.assert_done("nothing is kept");
    Ok(())
}

case!("sendfile/refused-rights", rights, defect = FILE_LEAK);

/// A descriptor that only allows waiting for events.
fn rights() -> TestResult {
    let setting = Setting::new()?;
    let limited = must("dup", setting.in_flight.queue.duplicate());
    must("limit it", limited.limit_to_events());
    let sent = setting.with(Completion::on(&limited, 1, 2));
    setting.refused("no right to add events", sent, Errno::ENOTCAPABLE);
    setting.in_flight.assert_done("nothing is kept");
    Ok(())
}

case!(
    "sendfile/refused-no-event",
    no_event,
    defect = "without hdtr the event is described by what lies on the kernel's stack"
);

/// No description of an event. A call before it has had one: what the kernel
/// has left of that is not taken for this call's.
fn no_event() -> TestResult {
    let setting = Setting::new()?;
    let nothing = Request {
        flags: setting.in_flight.generation.flag(),
        ..Request::default()
    };
    let (before, after) = Link::Unix.connect();
    let send = |ident| {
        let sent = setting
            .in_flight
            .send(&setting.memory, &before, ident, &Request::default());
        assert_eq!((sent.bytes, sent.result), (PAGE as i64, Ok(())));
        let refused = sendfile(&setting.memory, &setting.here, &nothing);
        receive(&after, PAGE);
        setting
            .in_flight
            .expect_event("that with one was read", ident, PAGE as i64);
        refused
    };
    for ident in 1..4 {
        setting.refused("hdtr is NULL", send(ident), Errno::EINVAL);
    }
    setting.in_flight.assert_done("nothing is kept");
    Ok(())
}

case!("sendfile/refused-unreadable", unreadable);

/// The description of the event cannot be read.
fn unreadable() -> TestResult {
    let setting = Setting::new()?;
    let sent = must(
        "map memory",
        sendfile_without_description(&setting.memory, &setting.here),
    );
    setting.refused("no description in memory", sent, Errno::EFAULT);
    setting.in_flight.assert_done("nothing is kept");
    Ok(())
}

case!(
    "sendfile/refused-together",
    together,
    defect = "SF_SYNC is taken too: whoever takes the event frees what the call sleeps on"
);

/// An event together with waiting for it. The memory is empty, so
/// that the wait ends without a reader.
fn together() -> TestResult {
    let setting = Setting::new()?;
    let (empty, _) = Source::Shm.of(0);
    let both = Request {
        flags: SF_SYNC,
        ..Request::default()
    };
    let sent = setting.in_flight.send(&empty, &setting.here, 1, &both);
    setting.refused("with SF_SYNC", sent, Errno::EINVAL);
    setting.in_flight.assert_done("nothing is kept");
    Ok(())
}

case!(
    "sendfile/refused-together-awaited",
    awaited,
    crash = "whoever takes the event frees what the call with SF_SYNC sleeps on"
);

/// The same while another process waits for the event, and a third reads.
fn awaited() -> TestResult {
    let setting = Setting::new()?;
    let both = Request {
        flags: SF_SYNC,
        ..Request::default()
    };
    let (before, after) = Link::Unix.connect();
    let queue = &setting.in_flight.queue;
    let _taker = Child::with_one_table(|| drop(queue.wait(&[], 1, Deadline::NEVER)));
    let _reader = Child::run(|| {
        let _ = wait_for(&after, POLLIN, Deadline::NEVER);
        // What was sent wakes this process; the sender may not sleep yet.
        (0..100).for_each(|_| give_way());
        receive(&after, PAGE);
    });
    let sender = Child::with_one_table(|| {
        let sent = setting.in_flight.send(&setting.memory, &before, 1, &both);
        setting.refused("with SF_SYNC", sent, Errno::EINVAL);
    });
    sender.join();
    setting.in_flight.assert_done("nothing is kept");
    Ok(())
}

case!("sendfile/failed-calls", failed);

/// What sendfile(2) refuses for its own reasons.
fn failed() -> TestResult {
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let setting = Setting::new()?;
    let request = Request::default();
    let (read, write) = must("pipe", pipe());
    let unconnected = must("socket", socket(Kind::Tcp));
    let (datagram, _other) = must("socketpair", pair(Kind::UnixDatagram));
    let send = |from: &Fd, to: &Fd| setting.in_flight.send(from, to, 1, &request);
    let memory = &setting.memory;
    setting.refused("to a pipe", send(memory, &write), Errno::ENOTSOCK);
    setting.refused("from a pipe", send(&read, &setting.here), Errno::EINVAL);
    setting.refused(
        "to an unconnected socket",
        send(memory, &unconnected),
        Errno::ENOTCONN,
    );
    setting.refused("datagrams", send(memory, &datagram), Errno::EINVAL);
    for link in [Link::Tcp, Link::Unix] {
        let (here, there) = link.connect();
        must("shut writing down", shutdown(&here, Half::Write));
        setting.refused("after shutdown", send(memory, &here), Errno::EPIPE);
        if link == Link::Tcp {
            // An orderly end would leave a socket in TIME_WAIT.
            must("end with a reset", set_linger(&there, 0));
        }
    }
    let (here, there) = Link::Unix.connect();
    drop(there);
    let sent = send(memory, &here);
    assert!(
        matches!(sent.result, Err(Errno::EPIPE | Errno::ENOTCONN)),
        "to a closed peer: {sent:?}"
    );
    setting.in_flight.assert_done("to a closed peer");
    Ok(())
}

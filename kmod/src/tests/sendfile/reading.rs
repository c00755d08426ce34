//! Pages that are still being read when the call returns. Their mbufs are in the
//! receive buffer of unix(4), or in the send buffer of TCP, but not ready
//! (M_NOTREADY).

use super::in_flight::{InFlight, LENGTH, Link, wait_until};
use crate::kpi::counters;
use crate::kpi::descriptor::{Descriptor, Direction};
use crate::kpi::errno::Errno;
use crate::kpi::kqueue::{self, Kept};
use crate::kpi::reads::Reads;
use crate::kpi::sendfile::{Fault, PAGE, Request, Sent, Step};
use crate::tests::resource_error;
use alloc::vec;
use kdk_harness::{Stop, TestResult};

/// The error of a read. The sockets report EIO in any case.
pub const FAILURE: Errno = Errno::ENXIO;

/// A file whose reads wait.
pub struct Slow {
    file: Descriptor,
    reads: Reads,
}

impl Slow {
    pub fn new() -> Result<Self, Stop> {
        Self::by(i32::MAX)
    }

    /// As [`new`](Self::new), with at most this many pages in a read.
    fn by(pages: i32) -> Result<Self, Stop> {
        let file = Descriptor::shared_memory(LENGTH).map_err(resource_error)?;
        let reads = Reads::of(&file, pages).map_err(resource_error)?;
        Ok(Self { file, reads })
    }

    /// Sends the file. The call returns while it is being read.
    #[track_caller]
    pub fn send(&self, in_flight: &InFlight, ident: usize) {
        let request = self.request(in_flight, ident);
        assert_eq!(request.send(), all(), "call {ident}");
        assert_eq!(self.reads.waiting(), 1, "reads of call {ident}");
    }

    pub fn request<'a>(&'a self, in_flight: &'a InFlight, ident: usize) -> Request<'a> {
        Request {
            file: &self.file,
            ..in_flight.request(ident)
        }
    }

    /// Completes the oldest read.
    #[track_caller]
    pub fn complete(&self, result: Result<(), Errno>) {
        assert_eq!(self.reads.complete(0, result), Ok(()), "no read waits");
    }

    #[track_caller]
    pub fn succeed(&self) {
        self.complete(Ok(()));
    }

    #[track_caller]
    pub fn fail(&self) {
        self.complete(Err(FAILURE));
    }
}

const fn all() -> Sent {
    Sent {
        bytes: LENGTH as i64,
        result: Ok(()),
    }
}

/// Makes a call whose pages are being read.
fn begun(link: Link) -> Result<(InFlight, Slow), Stop> {
    let in_flight = InFlight::new(link)?;
    let slow = Slow::new()?;
    slow.send(&in_flight, 1);
    still_reading(&in_flight, 1, 1)?;
    Ok((in_flight, slow))
}

/// Asserts that there is no event, that there are this many requests, and that
/// pages are being read for this many calls.
#[track_caller]
fn still_reading(in_flight: &InFlight, requests: i64, reads: i64) -> TestResult {
    in_flight.expect_no_event("pages are being read", requests + reads)
}

/// Asserts that a socket has nothing to receive.
#[track_caller]
fn nothing_arrives(what: &str, at: &Descriptor) {
    assert_eq!(at.receive(&mut [0]), Err(Errno::EAGAIN), "{what}");
}

/// Asserts that bytes get from one socket to another one.
#[track_caller]
fn passes(what: &str, from: &Descriptor, to: &Descriptor) {
    let mut seen = [0; 8];
    assert_eq!(from.send(b"ping"), Ok(()), "{what}");
    assert_eq!(to.receive(&mut seen), Ok(4), "{what}");
    assert_eq!(&seen[..4], b"ping", "{what}");
}

/// Asserts that a socket reports an error, and then the end. TCP sets the two
/// one after the other.
fn ends_with(what: &str, at: &Descriptor, error: Errno) -> TestResult {
    assert_eq!(received(at)?, Err(error), "{what}");
    assert_eq!(received(at)?, Ok(0), "{what}, then");
    Ok(())
}

/// Waits until a socket has something to receive, an error or the end.
fn received(at: &Descriptor) -> Result<Result<usize, Errno>, Stop> {
    let mut seen = Err(Errno::EAGAIN);
    wait_until(|| {
        seen = at.receive(&mut [0]);
        Ok(seen != Err(Errno::EAGAIN))
    })?;
    Ok(seen)
}

/// The pages arrive once they are read.
pub fn at_last(link: Link) -> TestResult {
    let (in_flight, slow) = begun(link)?;
    slow.succeed();
    in_flight.expect_no_event("not received yet", 1)?;
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", 1, LENGTH)
}

/// A receiver that waits gets an event when the pages have been read.
pub fn wakes() -> TestResult {
    let (in_flight, slow) = begun(Link::Unix)?;
    let ready = Descriptor::kqueue().map_err(resource_error)?;
    kqueue::watch_descriptor(&ready, &in_flight.there, Kept::Clear).map_err(resource_error)?;
    assert_eq!(kqueue::take(&ready), Ok(None), "nothing to receive yet");
    slow.succeed();
    assert_eq!(kqueue::take(&ready), Ok(Some(LENGTH as i64)), "to receive");
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", 1, LENGTH)
}

/// A receiver that shuts down drops all but the busy pages.
pub fn receiver_ends() -> TestResult {
    let (in_flight, slow) = begun(Link::Unix)?;
    in_flight
        .there
        .shut_down(Direction::Both)
        .map_err(resource_error)?;
    still_reading(&in_flight, 1, 1)?;
    slow.succeed();
    in_flight.expect_event("the receiver has shut down", 1, LENGTH)
}

/// The receiver can receive them after the sender has shut down.
pub fn sender_ends() -> TestResult {
    let (in_flight, slow) = begun(Link::Unix)?;
    in_flight
        .here
        .shut_down(Direction::Both)
        .map_err(resource_error)?;
    slow.succeed();
    in_flight.expect_no_event("not received yet", 1)?;
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", 1, LENGTH)
}

/// A read that fails is reported to both ends, once.
pub fn fails(link: Link) -> TestResult {
    let (in_flight, slow) = begun(link)?;
    slow.fail();
    in_flight.expect_event_with("its read failed", 1, LENGTH, Some(FAILURE))?;
    ends_with("the sender", &in_flight.here, Errno::EIO)?;
    assert_eq!(in_flight.here.take_error(), Ok(None), "a second error");
    let peer = match link {
        Link::Unix => Errno::EPIPE,
        Link::Tcp => Errno::ECONNRESET,
    };
    ends_with("the receiver", &in_flight.there, peer)
}

/// Each page of a call has a read of its own. One that fails makes all of them
/// fail, even if the last one to end succeeds.
pub fn one_fails(link: Link) -> TestResult {
    let in_flight = InFlight::new(link)?;
    let slow = Slow::by(1)?;
    assert_eq!(slow.request(&in_flight, 1).send(), all());
    let reads = slow.reads.waiting();
    assert_eq!(reads as usize, LENGTH / PAGE, "reads");
    slow.fail();
    for _ in 1..reads {
        still_reading(&in_flight, 1, 1)?;
        slow.succeed();
    }
    in_flight.expect_event_with("a read failed", 1, LENGTH, Some(FAILURE))?;
    let peer = match link {
        Link::Unix => Errno::EPIPE,
        Link::Tcp => Errno::ECONNRESET,
    };
    ends_with("the receiver", &in_flight.there, peer)?;
    ends_with("the sender", &in_flight.here, Errno::EIO)
}

/// The error stays until the sender takes it: the next read does not.
pub fn fails_before(link: Link, next: Result<(), Errno>) -> TestResult {
    let in_flight = InFlight::new(link)?;
    let (first, second) = (Slow::new()?, Slow::new()?);
    first.send(&in_flight, 1);
    second.send(&in_flight, 2);
    first.fail();
    in_flight.expect_event_in("its read failed", 1, Some(FAILURE))?;
    still_reading(&in_flight, 1, 1)?;
    second.complete(next);
    in_flight.expect_event_with("its read is done", 2, LENGTH, next.err())?;
    assert_eq!(in_flight.here.take_error(), Ok(Some(Errno::EIO)), "sender");
    assert_eq!(in_flight.here.take_error(), Ok(None), "a second error");
    Ok(())
}

/// What was sent before the pages of a failed read arrives, what was sent after
/// them does not, and its pages are released at once.
pub fn fails_between() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let (first, second, third) = (Slow::new()?, Slow::new()?, Slow::new()?);
    assert_eq!(in_flight.here.send(b"before"), Ok(()));
    first.send(&in_flight, 1);
    second.send(&in_flight, 2);
    assert_eq!(in_flight.here.send(b"after"), Ok(()));
    assert_eq!(in_flight.request(3).send(), all());
    third.send(&in_flight, 4);
    assert_eq!(in_flight.here.send(b"after"), Ok(()));
    second.fail();
    in_flight.expect_event_in("its read failed", 2, Some(FAILURE))?;
    in_flight.expect_event_in("it was after that", 3, None)?;
    still_reading(&in_flight, 2, 2)?;
    third.succeed();
    in_flight.expect_event_in("its read is done", 4, None)?;
    still_reading(&in_flight, 1, 1)?;
    first.succeed();
    // The stack has no room for them.
    let mut bytes = vec![0; LENGTH + 8];
    let before = 6 + LENGTH;
    assert_eq!(in_flight.there.receive(&mut bytes), Ok(before));
    assert_eq!(bytes.get(..6), Some(b"before".as_slice()));
    in_flight.expect_event("it was received", 1, LENGTH)?;
    ends_with("the receiver", &in_flight.there, Errno::EPIPE)
}

/// A descriptor that was sent after the pages of a failed read is closed with the
/// receiver.
pub fn fails_before_descriptor() -> TestResult {
    let (in_flight, slow) = begun(Link::Unix)?;
    let files = shared_memory_objects()?;
    let sent = in_flight.here.send_descriptor(&in_flight.file);
    assert_eq!(sent, Ok(()), "send a descriptor");
    slow.fail();
    in_flight.expect_event_with("its read failed", 1, LENGTH, Some(FAILURE))?;
    ends_with("the receiver", &in_flight.there, Errno::EPIPE)?;
    assert_eq!(shared_memory_objects()?, files, "while it is open");
    drop(in_flight);
    assert_eq!(shared_memory_objects()?, files - 1, "its last descriptor");
    Ok(())
}

/// Counts the shared memory objects of the kernel.
fn shared_memory_objects() -> Result<u64, Stop> {
    counters::malloc(c"shmfd")
        .map(|usage| usage.allocations)
        .ok_or(Stop::Fail("there is no malloc type shmfd"))
}

/// A call without SF_KQUEUE has no event when its read fails.
pub fn fails_plain(link: Link) -> TestResult {
    let in_flight = InFlight::new(link)?;
    let slow = Slow::new()?;
    let mbufs = counters::mbufs();
    let request = Request {
        plain: true,
        ..slow.request(&in_flight, 1)
    };
    assert_eq!(request.send(), all());
    slow.fail();
    in_flight.expect_no_event("a call without SF_KQUEUE", 0)?;
    ends_with("the sender", &in_flight.here, Errno::EIO)?;
    if link == Link::Unix {
        // One stays in the receive buffer, without its page.
        let now = counters::mbufs();
        assert!(now <= mbufs + 1, "{now} mbufs, {mbufs} before");
    }
    Ok(())
}

/// The protocol accepts the first page and refuses the second, while both are
/// being read. Only the call reports that, and the connection goes on.
pub fn refused_later(second: Result<(), Errno>) -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let slow = Slow::new()?;
    let request = Request {
        space: PAGE,
        fault: Some(Fault {
            step: Step::Send,
            passes: 1,
            error: Errno::ENOBUFS,
        }),
        ..slow.request(&in_flight, 1)
    };
    let sent = Sent {
        bytes: PAGE as i64,
        result: Err(Errno::ENOBUFS),
    };
    assert_eq!(request.send(), sent);
    slow.succeed();
    drop(in_flight.receive(PAGE)?);
    still_reading(&in_flight, 1, 1)?;
    slow.complete(second);
    in_flight.expect_event("both reads are done", 1, PAGE)?;
    assert_eq!(in_flight.here.take_error(), Ok(None), "error of the sender");
    passes("to the receiver", &in_flight.here, &in_flight.there);
    passes("from the receiver", &in_flight.there, &in_flight.here);
    Ok(())
}

/// The protocol refuses headers and a page that is being read. Nothing stays.
pub fn refused_with_header() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let slow = Slow::new()?;
    let mbufs = counters::mbufs();
    let request = Request {
        header: Some(b"header"),
        fault: Some(Fault {
            step: Step::Send,
            passes: 0,
            error: Errno::ENOBUFS,
        }),
        ..slow.request(&in_flight, 1)
    };
    let sent = Sent {
        bytes: 0,
        result: Err(Errno::ENOBUFS),
    };
    assert_eq!(request.send(), sent);
    slow.succeed();
    in_flight.expect_no_event("nothing was sent", 0)?;
    assert_eq!(counters::mbufs(), mbufs, "mbufs");
    passes("to the receiver", &in_flight.here, &in_flight.there);
    Ok(())
}

/// The receiver shuts down between the wait for space and the append, while
/// pages of an earlier call are being read.
pub fn shut_before_append() -> TestResult {
    let (in_flight, first) = begun(Link::Unix)?;
    let second = Slow::new()?;
    let request = Request {
        shut_before_append: Some(&in_flight.there),
        ..second.request(&in_flight, 2)
    };
    let refused = Sent {
        bytes: 0,
        result: Err(Errno::EPIPE),
    };
    assert_eq!(request.send(), refused);
    still_reading(&in_flight, 2, 2)?;
    first.succeed();
    in_flight.expect_event_in("the receiver has shut down", 1, None)?;
    still_reading(&in_flight, 1, 1)?;
    second.succeed();
    in_flight.expect_no_event("the call was refused", 0)?;
    assert_eq!(in_flight.here.take_error(), Ok(None), "error of the sender");
    assert_eq!(in_flight.there.receive(&mut [0]), Ok(0), "receiver");
    passes("from the receiver", &in_flight.there, &in_flight.here);
    Ok(())
}

/// Two pages of a call without pages to be read are refused in the same way.
pub fn shut_before_append_ready() -> TestResult {
    let (in_flight, first) = begun(Link::Unix)?;
    let request = Request {
        shut_before_append: Some(&in_flight.there),
        ..in_flight.request(2)
    };
    let refused = Sent {
        bytes: 0,
        result: Err(Errno::EPIPE),
    };
    assert_eq!(request.send(), refused);
    still_reading(&in_flight, 1, 1)?;
    first.succeed();
    in_flight.expect_event("the receiver has shut down", 1, LENGTH)
}

/// A connection to a second receiver, after the first one has closed while
/// pages were being read for it.
fn reconnected() -> Result<(InFlight, Slow, Slow), Stop> {
    let mut in_flight = InFlight::new(Link::Unix)?;
    let (first, second) = (Slow::new()?, Slow::new()?);
    in_flight.here = Descriptor::unix().map_err(resource_error)?;
    in_flight.there = in_flight.here.connect_unix().map_err(resource_error)?;
    first.send(&in_flight, 1);
    in_flight.there = Descriptor::unix().map_err(resource_error)?;
    in_flight.there = in_flight.here.connect_unix().map_err(resource_error)?;
    second.send(&in_flight, 2);
    still_reading(&in_flight, 2, 2)?;
    Ok((in_flight, first, second))
}

/// The read for a receiver that has closed does not touch the next one.
pub fn reconnects(first_read: Result<(), Errno>) -> TestResult {
    let (in_flight, first, second) = reconnected()?;
    first.complete(first_read);
    in_flight.expect_event_in("its receiver has closed", 1, first_read.err())?;
    assert_eq!(in_flight.here.take_error(), Ok(None), "error of the sender");
    nothing_arrives("the second receiver", &in_flight.there);
    second.succeed();
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", 2, LENGTH)?;
    passes("to the second receiver", &in_flight.here, &in_flight.there);
    Ok(())
}

/// The same with the reads in the opposite order.
pub fn reconnects_first() -> TestResult {
    let (in_flight, first, second) = reconnected()?;
    second.succeed();
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event_in("they were received", 2, None)?;
    still_reading(&in_flight, 1, 1)?;
    first.succeed();
    in_flight.expect_event("its receiver has closed", 1, LENGTH)?;
    passes("to the second receiver", &in_flight.here, &in_flight.there);
    Ok(())
}

/// A socket whose read has failed can connect again, and what is still being
/// read for the old connection does not touch the new one.
pub fn reconnects_after_failure(old_read: Result<(), Errno>) -> TestResult {
    let mut in_flight = InFlight::new(Link::Unix)?;
    let (first, old, new) = (Slow::new()?, Slow::new()?, Slow::new()?);
    in_flight.here = Descriptor::unix().map_err(resource_error)?;
    in_flight.there = in_flight.here.connect_unix().map_err(resource_error)?;
    first.send(&in_flight, 1);
    old.send(&in_flight, 2);
    first.fail();
    in_flight.expect_event_in("its read failed", 1, Some(FAILURE))?;
    let next = in_flight.here.connect_unix().map_err(resource_error)?;
    let abandoned = core::mem::replace(&mut in_flight.there, next);
    new.send(&in_flight, 3);
    old.complete(old_read);
    in_flight.expect_event_in("it was after the hole", 2, old_read.err())?;
    ends_with("the first receiver", &abandoned, Errno::EPIPE)?;
    new.succeed();
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", 3, LENGTH)?;
    assert_eq!(in_flight.here.take_error(), Ok(None), "error of the sender");
    passes("to the second receiver", &in_flight.here, &in_flight.there);
    Ok(())
}

/// A refused call does not prevent another connection.
pub fn reconnects_after_refusal() -> TestResult {
    let mut in_flight = InFlight::new(Link::Unix)?;
    let (slow, next) = (Slow::new()?, Slow::new()?);
    in_flight.here = Descriptor::unix().map_err(resource_error)?;
    in_flight.there = in_flight.here.connect_unix().map_err(resource_error)?;
    let request = Request {
        shut_before_append: Some(&in_flight.there),
        ..slow.request(&in_flight, 1)
    };
    let refused = Sent {
        bytes: 0,
        result: Err(Errno::EPIPE),
    };
    assert_eq!(request.send(), refused);
    slow.succeed();
    in_flight.expect_no_event("the call was refused", 0)?;
    in_flight.there = Descriptor::unix().map_err(resource_error)?;
    in_flight.there = in_flight.here.connect_unix().map_err(resource_error)?;
    next.send(&in_flight, 2);
    next.succeed();
    drop(in_flight.receive(LENGTH)?);
    in_flight.expect_event("they were received", 2, LENGTH)
}

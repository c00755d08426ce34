//! The event is for the process that sent.

use crate::case;
use crate::in_flight::{InFlight, is_event, none, one};
use kdk_fixtures::bytes::receive;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::Descriptor;
use kdk_sys::fd::pipe;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::Kqueue;
use kdk_sys::sendfile::{Completion, Request, sendfile};
use kdk_sys::suite::must;

const LENGTH: usize = 4 * PAGE;

case!("sendfile/fork", forked);

/// A child that comes and goes takes nothing with it.
fn forked() -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Unix.connect();
    let sent = in_flight.send(&memory, &here, 1, &Request::default());
    assert_eq!((sent.bytes, sent.result), (LENGTH as i64, Ok(())));
    Child::run(|| {}).join();
    none("nothing was read", &in_flight.queue);
    Child::run(|| drop(receive(&there, LENGTH))).join();
    in_flight.expect_event("a child has read all", 1, LENGTH as i64);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/fork-copies-kqueue", copied);

/// A kqueue that fork(2) copies goes without the events of calls in flight,
/// and without pending ones.
fn copied() -> TestResult {
    let in_flight = InFlight::of_second("the kernels of 2014 do not copy kqueues")?;
    let queue = must("kqueuex", Kqueue::copied_on_fork());
    let (memory, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Unix.connect();
    let send = |ident: usize| {
        let request = Request {
            completion: Some(Completion::on(&queue, ident, !ident)),
            ..Request::default()
        };
        let sent = sendfile(&memory, &here, &request);
        assert_eq!((sent.bytes, sent.result), (LENGTH as i64, Ok(())));
    };
    send(1);
    receive(&there, LENGTH);
    send(2);
    let (wait, go) = must("pipe", pipe());
    let child = Child::run(|| {
        must("wait until all was read", wait.read_full(&mut [0]));
        none("the child's copy", &queue);
        must("its copy is not the parent's", queue.change(&[]));
    });
    receive(&there, LENGTH);
    for ident in [1, 2] {
        let seen = one("all was read", &queue);
        is_event("all was read", &seen, ident, LENGTH as i64);
    }
    must("let the child look", go.write_all(b"g"));
    child.join();
    none("each event came once", &queue);
    in_flight.assert_done("each event came once");
    Ok(())
}

case!("sendfile/fork-in-flight", forking, cpus = &[1, 2, 4]);

/// The process forks, again and again, while events come: none of them is lost
/// because its kqueue is being copied. There are many, so that one of them is
/// often being looked at when it comes.
fn forking() -> TestResult {
    const EVENTS: usize = 64;
    const ROUNDS: usize = 10;
    let in_flight = InFlight::of_second("the kernels of 2014 do not copy kqueues")?;
    let queue = must("kqueuex", Kqueue::copied_on_fork());
    let (memory, _) = Source::Shm.of(PAGE);
    let (here, there) = Link::Unix.connect_with((2 * EVENTS * PAGE) as i32);
    for round in 0..ROUNDS {
        for nth in 0..EVENTS {
            let ident = round * EVENTS + nth;
            let request = Request {
                completion: Some(Completion::on(&queue, ident, !ident)),
                ..Request::default()
            };
            let sent = sendfile(&memory, &here, &request);
            assert_eq!((sent.bytes, sent.result), (PAGE as i64, Ok(())));
        }
        let reader = Child::run(|| {
            for _ in 0..EVENTS {
                receive(&there, PAGE);
            }
        });
        reader.join_forking();
        let mut seen = [false; EVENTS];
        for _ in 0..EVENTS {
            let event = one("all was read", &queue);
            let nth = event.ident.wrapping_sub(round * EVENTS);
            is_event("all was read", &event, event.ident, PAGE as i64);
            match seen.get_mut(nth) {
                Some(seen) if !*seen => *seen = true,
                _ => panic!("an event of no call, or a second one: {event:?}"),
            }
        }
        none("each event came once", &queue);
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

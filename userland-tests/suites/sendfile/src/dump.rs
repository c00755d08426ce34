//! Somebody looks at the kqueue, as procstat(1) does, while events come.

use crate::case;
use crate::in_flight::{InFlight, is_event, none, one};
use kdk_fixtures::bytes::receive;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::looker::Looker;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{EV_DISABLE, EV_ENABLE, Event, Filter, Kqueue};
use kdk_sys::process::me;
use kdk_sys::sendfile::{Completion, Request, sendfile};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno};

const EVENTS: usize = 64;
/// Without the patch ten of them lose an event in four runs of five.
const ROUNDS: usize = 40;

case!("sendfile/dumped-in-flight", dumped, cpus = &[1, 2, 4]);

/// None of the events is lost. Their number is large, so that one of them is
/// often being looked at when it comes.
fn dumped() -> TestResult {
    let in_flight = InFlight::of_second("the kernels of 2014 have no kern.proc.kq")?;
    let (memory, _) = Source::Shm.of(PAGE);
    let looker = Looker::at(me());
    let (here, there) = Link::Unix.connect_with((2 * EVENTS * PAGE) as i32);
    for _ in 0..ROUNDS {
        for ident in 0..EVENTS {
            let sent = in_flight.send(&memory, &here, ident, &Request::default());
            assert_eq!((sent.bytes, sent.result), (PAGE as i64, Ok(())));
        }
        receive(&there, EVENTS * PAGE);
        for _ in 0..EVENTS {
            let seen = one("all was read", &in_flight.queue);
            is_event("all was read", &seen, seen.ident, PAGE as i64);
        }
    }
    looker.stop();
    in_flight.assert_done("each event came once");
    Ok(())
}

/// Calls that are refused while somebody looks.
const REFUSED: usize = 20_000;

case!("sendfile/refused-while-dumped", refused, cpus = &[1, 2, 4]);

/// A call that sends nothing takes its event back, which somebody may be
/// looking at just then.
fn refused() -> TestResult {
    let in_flight = InFlight::of_second("the kernels of 2014 have no kern.proc.kq")?;
    let (memory, _) = Source::Shm.of(PAGE);
    let (here, _there) = Link::Unix.connect();
    must("do not wait", here.set_nonblocking(true));
    while here.write(&[0; PAGE]).is_ok() {}
    let lookers = [Looker::at(me()), Looker::at(me())];
    for ident in 0..REFUSED {
        let sent = in_flight.send(&memory, &here, ident, &Request::default());
        assert_eq!((sent.bytes, sent.result), (0, Err(Errno::EAGAIN)));
    }
    none("nothing was sent", &in_flight.queue);
    lookers.into_iter().for_each(Looker::stop);
    in_flight.assert_done("no call had an event");
    Ok(())
}

case!("sendfile/changed-while-dumped", changed, cpus = &[1, 2, 4]);

/// Another process disables and enables the events, a third one looks at them,
/// and this one forks: all come, once.
fn changed() -> TestResult {
    const TIMES: usize = 12;
    let in_flight = InFlight::of_second("the kernels of 2014 have no kern.proc.kq")?;
    let queue = must("kqueuex", Kqueue::copied_on_fork());
    let (memory, _) = Source::Shm.of(PAGE);
    let (here, there) = Link::Unix.connect_with((2 * EVENTS * PAGE) as i32);
    let looker = Looker::at(me());
    for round in 0..4 {
        for ident in 0..EVENTS {
            let request = Request {
                completion: Some(Completion::on(&queue, ident, !ident)),
                ..Request::default()
            };
            let sent = sendfile(&memory, &here, &request);
            assert_eq!((sent.bytes, sent.result), (PAGE as i64, Ok(())));
        }
        let changer = Child::with_one_table(|| {
            for ident in (0..TIMES).flat_map(|_| 0..EVENTS) {
                for flags in [EV_DISABLE, EV_ENABLE] {
                    let change = Event::new(ident, Filter::Sendfile, flags);
                    must("change it", queue.change(&[change.with_udata(!ident)]));
                }
            }
        });
        let reader = Child::run(|| {
            for _ in 0..EVENTS {
                receive(&there, PAGE);
            }
        });
        reader.join_forking();
        changer.join();
        let mut seen = [false; EVENTS];
        for _ in 0..EVENTS {
            let event = one("all was read", &queue);
            is_event("all was read", &event, event.ident, PAGE as i64);
            match seen.get_mut(event.ident) {
                Some(seen) if !*seen => *seen = true,
                _ => panic!("round {round}: an event of no call, or a second one: {event:?}"),
            }
        }
        none("each event came once", &queue);
    }
    looker.stop();
    in_flight.assert_done("each event came once");
    Ok(())
}

//! Somebody looks at the kqueue, as procstat(1) does, while events come.

use crate::case;
use crate::in_flight::{InFlight, is_event, one};
use kdk_fixtures::bytes::receive;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::process::{Ending, exit, kill, me, wait};
use kdk_sys::sendfile::Request;
use kdk_sys::signal::Signal;
use kdk_sys::suite::must;
use kdk_sys::sysctl;

const EVENTS: usize = 64;
/// Without the patch ten of them lose an event in four runs of five.
const ROUNDS: usize = 40;

case!("sendfile/dumped-in-flight", dumped);

/// None of the events is lost. Their number is large, so that one of them is
/// often being looked at when it comes.
fn dumped() -> TestResult {
    let in_flight = InFlight::of_second("the kernels of 2014 have no kern.proc.kq")?;
    let (memory, _) = Source::Shm.of(PAGE);
    let process = me().0;
    let looker = Child::run(|| {
        loop {
            if let Err(errno) = sysctl::bytes_of("kern.proc.kq", &[process]) {
                exit(errno.0);
            }
        }
    });
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
    must("end the looker", kill(looker.pid(), Signal::SIGKILL));
    let ending = must("wait for its end", wait(looker.pid()));
    assert_eq!(
        ending,
        Ending::Killed(Signal::SIGKILL),
        "the errno of reading kern.proc.kq, or its end by us"
    );
    in_flight.assert_done("each event came once");
    Ok(())
}

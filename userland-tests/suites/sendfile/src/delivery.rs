//! One event for one call, whatever is sent, over whatever.

use crate::case;
use crate::in_flight::{InFlight, one};
use kdk_fixtures::bytes::{assert_same, receive};
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{EV_CLEAR, EV_DISPATCH, EV_ONESHOT, Filter};
use kdk_sys::sendfile::{Completion, Request, Sent, sendfile};
use kdk_sys::suite::must;
use kdk_sys::sysctl;

const LENGTH: usize = 3 * PAGE + 100;
const ALL: Sent = Sent {
    bytes: LENGTH as i64,
    result: Ok(()),
};

case!("sendfile/feature", || {
    drop(InFlight::of_second("the kernels of 2014 do not say so")?);
    let feature = sysctl::integer("kern.features.sendfile_kqueue");
    assert_eq!(feature, Ok(1), "kern.features.sendfile_kqueue");
    Ok(())
});

fn delivers(kind: Source, link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (file, bytes) = kind.of(LENGTH);
    let (here, there) = link.connect();
    let request = Request {
        length: LENGTH,
        ..Request::default()
    };
    let sent = in_flight.send(&file, &here, 7, &request);
    assert_eq!(sent, ALL, "sendfile");
    let expected = bytes.get(..LENGTH).unwrap_or_default();
    assert_same("what was sent", &receive(&there, LENGTH), expected);
    in_flight.expect_event("all was read", 7, ALL.bytes);
    in_flight.assert_done("the event came once");
    Ok(())
}

macro_rules! delivery_tests {
    ($($name:literal: $source:ident over $link:ident;)*) => {
        $(case!($name, || delivers(Source::$source, Link::$link));)*
    };
}

delivery_tests! {
    "sendfile/one-event-shm-tcp": Shm over Tcp;
    "sendfile/one-event-shm-tcp6": Shm over Tcp6;
    "sendfile/one-event-shm-unix": Shm over Unix;
    "sendfile/one-event-tmpfs-tcp": Tmpfs over Tcp;
    "sendfile/one-event-tmpfs-unix": Tmpfs over Unix;
    "sendfile/one-event-ufs-tcp": Ufs over Tcp;
    "sendfile/one-event-ufs-unix": Ufs over Unix;
}

const EXTERNAL_PAGES: &str = "kern.ipc.mb_use_ext_pgs";

/// Has sendfile(2) use mbufs that hold many pages each, or not.
///
/// # Errors
/// Skips the test on kernels without them.
pub fn use_external_pages(on: i32) -> TestResult {
    drop(InFlight::of_second(
        "the kernels of 2014 have one page in an mbuf",
    )?);
    must(EXTERNAL_PAGES, sysctl::set(EXTERNAL_PAGES, on));
    Ok(())
}

fn with_pages(on: i32) -> TestResult {
    use_external_pages(on)?;
    for kind in [Source::Shm, Source::Tmpfs, Source::Ufs] {
        delivers(kind, Link::Tcp)?;
    }
    Ok(())
}

case!("sendfile/mapped-mbufs", || with_pages(0));
case!("sendfile/unmapped-mbufs", || with_pages(1));

case!("sendfile/small-is-copied", small);

/// Little enough is copied out of its page when it is queued for TCP: the
/// event may come before anything was read, and must not come twice.
fn small() -> TestResult {
    let in_flight = InFlight::new()?;
    let (file, bytes) = Source::Shm.of(100);
    let (here, there) = Link::Tcp.connect();
    let sent = in_flight.send(&file, &here, 3, &Request::default());
    assert_eq!((sent.bytes, sent.result), (100, Ok(())), "sendfile");
    assert_same("what was sent", &receive(&there, 100), &bytes);
    in_flight.expect_event("all was read", 3, 100);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/event-data", data, defect = "kn_data is never set");

/// The event says how much was sent.
fn data() -> TestResult {
    let in_flight = InFlight::new()?;
    let (file, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Tcp.connect();
    assert_eq!(in_flight.send(&file, &here, 1, &Request::default()), ALL);
    receive(&there, LENGTH);
    let seen = one("all was read", &in_flight.queue);
    assert_eq!(seen.data, ALL.bytes, "bytes sent: {seen:?}");
    in_flight.assert_done("the event came once");
    Ok(())
}

case!(
    "sendfile/flags",
    flags,
    defect = "an event without EV_ONESHOT stays, and comes again or takes the next call's place"
);

/// All allowed flags mean the same: the event is delivered once.
fn flags() -> TestResult {
    let in_flight = InFlight::new()?;
    let (file, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Tcp.connect();
    let allowed = [EV_CLEAR, EV_DISPATCH, EV_ONESHOT];
    for choice in 0..1u32 << allowed.len() {
        let chosen = allowed.iter().enumerate();
        let flags = chosen
            .filter(|(nth, _)| choice >> nth & 1 == 1)
            .fold(0, |all, (_, flag)| all | u32::from(*flag));
        let completion = Completion {
            flags,
            ..Completion::on(&in_flight.queue, 1, choice as usize)
        };
        let request = Request {
            completion: Some(completion),
            ..Request::default()
        };
        assert_eq!(sendfile(&file, &here, &request), ALL, "flags {flags:#x}");
        receive(&there, LENGTH);
        let seen = one("all was read", &in_flight.queue);
        assert!(seen.is(Filter::Sendfile), "flags {flags:#x}: {seen:?}");
        assert_eq!(seen.udata, choice as usize, "flags {flags:#x}: udata");
        let shown = flags | u32::from(EV_ONESHOT);
        assert_eq!(u32::from(seen.flags), shown, "flags {flags:#x}");
    }
    in_flight.assert_done("each event came once");
    Ok(())
}

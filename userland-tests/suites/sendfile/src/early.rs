//! The event does not come while a page is still needed.

use crate::case;
use crate::delivery::use_external_pages;
use crate::in_flight::{InFlight, none};
use kdk_fixtures::bytes::{assert_same, receive};
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::memory::Mapping;
use kdk_sys::sendfile::Request;
use kdk_sys::suite::must;

/// Fits in one packet over loopback, so that no small rest is copied.
const LENGTH: usize = 3 * PAGE;

/// The receiver's buffer keeps the pages until they are read, over
/// loopback and unix(4) alike. The last byte is read apart.
fn not_early(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let sent = in_flight.send(&memory, &here, 1, &Request::default());
    assert_eq!((sent.bytes, sent.result), (LENGTH as i64, Ok(())));
    none("nothing was read", &in_flight.queue);
    let mut seen = receive(&there, PAGE);
    none("one page was read", &in_flight.queue);
    seen.extend(receive(&there, LENGTH - PAGE - 1));
    none("a byte is left", &in_flight.queue);
    seen.extend(receive(&there, 1));
    in_flight.expect_event("all was read", 1, LENGTH as i64);
    assert_same("what was sent", &seen, &bytes);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/not-early-tcp", || not_early(Link::Tcp));
case!("sendfile/not-early-unix", || not_early(Link::Unix));
case!("sendfile/not-early-unmapped", || {
    use_external_pages(1)?;
    not_early(Link::Tcp)
});

/// What is written to the memory before the event is seen by the receiver: it
/// is not copied, and so the tests that overwrite it at the event prove
/// something.
fn shares(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, mut bytes) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let sent = in_flight.send(&memory, &here, 1, &Request::default());
    assert_eq!((sent.bytes, sent.result), (LENGTH as i64, Ok(())));
    let mut mapping = must("mmap shared memory", Mapping::of(&memory, LENGTH));
    let last = LENGTH - PAGE;
    mapping.write(last, &[0xee; PAGE]);
    bytes.get_mut(last..).unwrap_or_default().fill(0xee);
    assert_same("overwritten in flight", &receive(&there, LENGTH), &bytes);
    in_flight.expect_event("all was read", 1, LENGTH as i64);
    in_flight.assert_done("the event came once");
    Ok(())
}

case!("sendfile/shares-pages-tcp", || shares(Link::Tcp));
case!("sendfile/shares-pages-unix", || shares(Link::Unix));

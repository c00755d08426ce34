//! Live requests: their references, and what ends them.

use super::in_flight::{InFlight, LENGTH, Link};
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};

/// Freeing the last mbuf posts the event. The request exists until the event is
/// taken.
pub fn counts(link: Link) -> TestResult {
    let in_flight = InFlight::new(link)?;
    let mut mbufs = in_flight.send_all(1)?;
    let last = last_with_pages(&mut mbufs)?;
    in_flight.expect_no_event("no mbuf is freed", 1)?;
    for mbuf in mbufs {
        drop(mbuf);
        in_flight.expect_no_event("an mbuf remains", 1)?;
    }
    drop(last);
    assert_eq!(in_flight.requests()?, 1, "the event was not taken");
    in_flight.expect_event("all were freed", 1, LENGTH)
}

/// Removes an mbuf with pages from the list, so that it is freed last.
fn last_with_pages(
    mbufs: &mut Vec<crate::kpi::mbuf::Mbuf>,
) -> Result<crate::kpi::mbuf::Mbuf, Stop> {
    let at = mbufs.iter().rposition(|mbuf| mbuf.references() != 0);
    at.map(|at| mbufs.remove(at))
        .ok_or(Stop::Fail("no mbuf has pages"))
}

/// EV_DELETE keeps the request until its mbufs are freed.
pub fn deleted_in_flight() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    let mbufs = in_flight.send_all(1)?;
    in_flight.delete(1)?;
    in_flight.expect_no_event("the event was deleted", 1)?;
    drop(mbufs);
    in_flight.expect_no_event("all were freed", 0)
}

/// EV_DELETE of a pending event frees the request.
pub fn deleted_pending() -> TestResult {
    let in_flight = InFlight::new(Link::Unix)?;
    drop(in_flight.send_all(1)?);
    assert_eq!(in_flight.requests()?, 1, "the event was not taken");
    in_flight.delete(1)?;
    in_flight.expect_no_event("the event was deleted", 0)
}

/// Closing the kqueue keeps the request until its mbufs are freed.
pub fn closed_in_flight() -> TestResult {
    let mut in_flight = InFlight::new(Link::Unix)?;
    let mbufs = in_flight.send_all(1)?;
    in_flight.queue = other_queue()?;
    in_flight.expect_no_event("the kqueue was closed", 1)?;
    drop(mbufs);
    in_flight.expect_no_event("all were freed", 0)
}

/// Closing the kqueue frees its pending events.
pub fn closed_pending() -> TestResult {
    let mut in_flight = InFlight::new(Link::Unix)?;
    drop(in_flight.send_all(1)?);
    assert_eq!(in_flight.requests()?, 1, "the event was not taken");
    in_flight.queue = other_queue()?;
    in_flight.expect_no_event("the kqueue was closed", 0)
}

fn other_queue() -> Result<crate::kpi::descriptor::Descriptor, Stop> {
    crate::kpi::descriptor::Descriptor::kqueue().map_err(crate::tests::resource_error)
}

/// Requests end one by one, the latest first, each with an event.
pub fn many() -> TestResult {
    const REQUESTS: usize = 16;
    let in_flight = InFlight::new(Link::Unix)?;
    let mut requests = Vec::new();
    for ident in 0..REQUESTS {
        requests.push(in_flight.send_all(ident)?);
        in_flight.expect_no_event("in flight", ident as i64 + 1)?;
    }
    while let Some(mbufs) = requests.pop() {
        drop(mbufs);
        in_flight.expect_event("one was freed", requests.len(), LENGTH)?;
    }
    in_flight.expect_no_event("all were freed", 0)
}

/// Another reference to the pages of an mbuf keeps the request.
pub fn shared(link: Link) -> TestResult {
    let in_flight = InFlight::new(link)?;
    let mbufs = in_flight.send_all(1)?;
    let mut others = Vec::new();
    for mbuf in &mbufs {
        let before = mbuf.references();
        let other = mbuf.share().ok_or(Stop::Fail("m_copym failed"))?;
        if before != 0 {
            assert_eq!(mbuf.references(), before + 1, "references");
            assert_eq!(other.references(), before + 1, "references");
        }
        others.push(other);
    }
    drop(mbufs);
    in_flight.expect_no_event("the other references remain", 1)?;
    drop(others);
    in_flight.expect_event("all were freed", 1, LENGTH)
}

//! Live requests: what they hold, and who ends them.

use super::flight::{Flight, LENGTH, Link};
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};

/// The last mbuf posts the event, and the event holds the books until it is
/// taken.
pub fn counts(link: Link) -> TestResult {
    let flight = Flight::new(link)?;
    let mut mbufs = flight.depart(1)?;
    let last = last_with_pages(&mut mbufs)?;
    flight.quiet("all mbufs are held", 1)?;
    for mbuf in mbufs {
        drop(mbuf);
        flight.quiet("an mbuf is left", 1)?;
    }
    drop(last);
    assert_eq!(flight.books()?, 1, "the event was not taken");
    flight.lands("all were freed", 1, LENGTH)
}

/// Takes one mbuf that has pages out of the list, so that it is freed last.
fn last_with_pages(
    mbufs: &mut Vec<crate::kpi::mbuf::Mbuf>,
) -> Result<crate::kpi::mbuf::Mbuf, Stop> {
    let at = mbufs.iter().rposition(|mbuf| mbuf.references() != 0);
    at.map(|at| mbufs.remove(at))
        .ok_or(Stop::Fail("no mbuf has pages"))
}

/// EV_DELETE leaves the mbufs what they need, and nothing after them.
pub fn deleted_in_flight() -> TestResult {
    let flight = Flight::new(Link::Unix)?;
    let mbufs = flight.depart(1)?;
    flight.delete(1)?;
    flight.quiet("the event was deleted", 1)?;
    drop(mbufs);
    flight.quiet("all were freed", 0)
}

/// EV_DELETE of an event that could have been taken.
pub fn deleted_pending() -> TestResult {
    let flight = Flight::new(Link::Unix)?;
    drop(flight.depart(1)?);
    assert_eq!(flight.books()?, 1, "the event was not taken");
    flight.delete(1)?;
    flight.quiet("the event was deleted", 0)
}

/// Closing the kqueue leaves the mbufs what they need.
pub fn closed_in_flight() -> TestResult {
    let mut flight = Flight::new(Link::Unix)?;
    let mbufs = flight.depart(1)?;
    flight.queue = other_queue()?;
    flight.quiet("the kqueue was closed", 1)?;
    drop(mbufs);
    flight.quiet("all were freed", 0)
}

/// Closing the kqueue takes its events along.
pub fn closed_pending() -> TestResult {
    let mut flight = Flight::new(Link::Unix)?;
    drop(flight.depart(1)?);
    assert_eq!(flight.books()?, 1, "the event was not taken");
    flight.queue = other_queue()?;
    flight.quiet("the kqueue was closed", 0)
}

fn other_queue() -> Result<crate::kpi::descriptor::Descriptor, Stop> {
    crate::kpi::descriptor::Descriptor::kqueue().map_err(crate::tests::refused)
}

/// Requests end one by one, the latest first, each with its own event.
pub fn many() -> TestResult {
    const REQUESTS: usize = 16;
    let flight = Flight::new(Link::Unix)?;
    let mut requests = Vec::new();
    for ident in 0..REQUESTS {
        requests.push(flight.depart(ident)?);
        flight.quiet("in flight", ident as i64 + 1)?;
    }
    while let Some(mbufs) = requests.pop() {
        drop(mbufs);
        flight.lands("one was freed", requests.len(), LENGTH)?;
    }
    flight.quiet("all were freed", 0)
}

/// An mbuf whose pages another one has too does not end the request.
pub fn shared(link: Link) -> TestResult {
    let flight = Flight::new(link)?;
    let mbufs = flight.depart(1)?;
    let mut others = Vec::new();
    for mbuf in &mbufs {
        let before = mbuf.references();
        let other = mbuf.share().ok_or(Stop::Fail("m_copym gave nothing"))?;
        if before != 0 {
            assert_eq!(mbuf.references(), before + 1, "references");
            assert_eq!(other.references(), before + 1, "references");
        }
        others.push(other);
    }
    drop(mbufs);
    flight.quiet("the others have the pages", 1)?;
    drop(others);
    flight.lands("all were freed", 1, LENGTH)
}

//! The thread that frees the last mbuf posts the event, under any locks that it
//! owns. WITNESS and INVARIANTS check the locks.

use super::in_flight::{InFlight, LENGTH, Link};
use crate::kpi::callout::Callout;
use crate::kpi::descriptor::Descriptor;
use crate::kpi::mbuf::Mbuf;
use crate::kpi::mutex::Mutex;
use crate::kpi::sendfile::Hold;
use crate::kpi::taskqueue::Taskqueue;
use crate::tests::resource_error;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::TestResult;

/// Frees the mbufs of a request, each under `hold`.
fn freed_under(in_flight: &InFlight, hold: Hold<'_>) -> TestResult {
    for mbuf in in_flight.send_all(1)? {
        in_flight.expect_no_event("an mbuf is not freed", 1)?;
        mbuf.free_under(hold).map_err(resource_error)?;
    }
    in_flight.expect_event("all were freed", 1, LENGTH)
}

/// Tests both kinds of link, whose mbufs are freed differently.
fn freed_under_own(hold: Hold<'_>) -> TestResult {
    freed_under(&InFlight::new(Link::Unix)?, hold)?;
    freed_under(&InFlight::new(Link::Tcp)?, hold)
}

pub fn mutex() -> TestResult {
    freed_under_own(Hold::Mutex)
}

pub fn rwlock() -> TestResult {
    freed_under_own(Hold::RwLock)
}

pub fn rmlock() -> TestResult {
    freed_under_own(Hold::RmLock)
}

pub fn sx() -> TestResult {
    freed_under_own(Hold::Sx)
}

pub fn epoch() -> TestResult {
    freed_under_own(Hold::Epoch)
}

/// The lock that TCP owns when an acknowledgement arrives.
pub fn send_buffer() -> TestResult {
    let (other, _peer) = Descriptor::tcp_pair().map_err(resource_error)?;
    freed_under_own(Hold::SendBuffer(&other))
}

/// The lock that is owned when a receiver closes.
pub fn receive_buffer() -> TestResult {
    let (other, _peer) = Descriptor::tcp_pair().map_err(resource_error)?;
    freed_under_own(Hold::ReceiveBuffer(&other))
}

/// The locks of the sockets that the bytes went through.
pub fn own_buffers() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        freed_under(&in_flight, Hold::SendBuffer(&in_flight.here))?;
        freed_under(&in_flight, Hold::ReceiveBuffer(&in_flight.there))?;
    }
    let in_flight = InFlight::new(Link::Tcp)?;
    freed_under(&in_flight, Hold::Inpcb(&in_flight.here))
}

/// The lock that TCP owns when it drops a connection.
pub fn inpcb() -> TestResult {
    let (other, _peer) = Descriptor::tcp_pair().map_err(resource_error)?;
    freed_under_own(Hold::Inpcb(&other))
}

pub fn unpcb() -> TestResult {
    let (other, _peer) = Descriptor::unix_pair().map_err(resource_error)?;
    freed_under_own(Hold::Unpcb(&other))
}

/// Mbufs for another thread to free.
type Slot = Arc<Mutex<Option<Vec<Mbuf>>>>;

fn free(slot: &Slot) {
    let mbufs = slot.lock().take();
    drop(mbufs);
}

/// A callout, which may not sleep, frees the mbufs.
pub fn callout() -> TestResult {
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let slot: Slot = Arc::new(Mutex::new(c"kdk mbufs", Some(in_flight.send_all(1)?)));
        let theirs = Arc::clone(&slot);
        let callout = Callout::new(move || free(&theirs)).map_err(resource_error)?;
        in_flight.expect_no_event("the mbufs are not freed", 1)?;
        callout.schedule(Duration::from_millis(1));
        in_flight.expect_event_soon("the callout freed all", 1)?;
    }
    Ok(())
}

/// A task frees the mbufs.
pub fn task() -> TestResult {
    let queue = Taskqueue::new(c"kdk frees").map_err(resource_error)?;
    for link in [Link::Unix, Link::Tcp] {
        let in_flight = InFlight::new(link)?;
        let slot: Slot = Arc::new(Mutex::new(c"kdk mbufs", Some(in_flight.send_all(1)?)));
        let theirs = Arc::clone(&slot);
        let task = queue.task(move || free(&theirs)).map_err(resource_error)?;
        in_flight.expect_no_event("the mbufs are not freed", 1)?;
        task.enqueue().map_err(resource_error)?;
        in_flight.expect_event_soon("the task freed all", 1)?;
    }
    Ok(())
}

//! Requests in flight, and the kernel's books of them.

use crate::kpi::descriptor::Descriptor;
use crate::kpi::mbuf::Mbuf;
use crate::kpi::sendfile::{
    Event, PAGE, Request, Sent, delete_event, take_event, take_mbufs, unacknowledged,
};
use crate::kpi::{counters, time};
use crate::tests::refused;
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::{Stop, TestResult};

/// The malloc type of a request's books: `M_SENDFILE`.
pub const MALLOC_TYPE: &str = "sendfile";

/// What is sent: several pages, and one packet over lo0.
pub const LENGTH: usize = 3 * PAGE;

/// How long anything local may take.
pub const SOON: Duration = Duration::from_secs(4);

/// What two sockets are connected through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An mbuf a page, each mapped.
    Unix,
    /// Pages that are not mapped, many an mbuf.
    Tcp,
}

/// Two sockets, something to send, and a place for events.
pub struct InFlight {
    /// The kqueue.
    pub queue: Descriptor,
    /// [`LENGTH`] bytes.
    pub file: Descriptor,
    /// Sends.
    pub here: Descriptor,
    /// Receives.
    pub there: Descriptor,
    link: Link,
    before: i64,
}

impl InFlight {
    /// Nothing is in flight yet.
    pub fn new(link: Link) -> Result<Self, Stop> {
        let ends = match link {
            Link::Unix => Descriptor::unix_pair(),
            Link::Tcp => Descriptor::tcp_pair(),
        };
        let (here, there) = ends.map_err(refused)?;
        Ok(Self {
            queue: Descriptor::kqueue().map_err(refused)?,
            file: Descriptor::shared_memory(LENGTH).map_err(refused)?,
            here,
            there,
            link,
            before: all_requests()?,
        })
    }

    /// A call that sends everything.
    pub fn request(&self, ident: usize) -> Request<'_> {
        Request {
            file: &self.file,
            socket: &self.here,
            queue: Some(&self.queue),
            ident,
            event_flags: 0,
            flags: 0,
            length: LENGTH,
            trailer: None,
            space: 0,
            fault: None,
            reading: false,
        }
    }

    /// Sends everything; its mbufs, taken away from the receiver one by one.
    /// Nobody else has them any more.
    pub fn send_all(&self, ident: usize) -> Result<Vec<Mbuf>, Stop> {
        let sent = self.request(ident).send();
        let all = Sent {
            bytes: LENGTH as i64,
            result: Ok(()),
        };
        assert_eq!(sent, all);
        let mbufs = self.receive(LENGTH)?;
        assert!(
            mbufs.iter().any(|mbuf| mbuf.references() != 0),
            "all was copied"
        );
        Ok(mbufs)
    }

    /// Takes what arrives, this many bytes, and waits until the sender has
    /// forgotten them.
    pub fn receive(&self, bytes: usize) -> Result<Vec<Mbuf>, Stop> {
        let mut mbufs = Vec::new();
        let mut got = 0;
        wait_until("the bytes to arrive", || {
            let mut rest = take_mbufs(&self.there).map_err(refused)?;
            while let Some(chain) = rest {
                let (first, others) = chain.split_first();
                got += first.len();
                mbufs.push(first);
                rest = others;
            }
            Ok(got >= bytes)
        })?;
        assert_eq!(got, bytes, "bytes that arrived");
        if self.link == Link::Tcp {
            wait_until("the bytes to be acknowledged", || {
                Ok(unacknowledged(&self.here).map_err(refused)? == 0)
            })?;
        }
        Ok(mbufs)
    }

    /// Requests that the kernel has books of.
    pub fn requests(&self) -> Result<i64, Stop> {
        Ok(all_requests()? - self.before)
    }

    /// There are this many requests, and no event.
    #[track_caller]
    pub fn expect_no_event(&self, what: &str, requests: i64) -> TestResult {
        assert_eq!(self.requests()?, requests, "{what}: requests");
        assert_eq!(self.event(Duration::ZERO)?, None, "{what}: event");
        Ok(())
    }

    /// The event is there, exactly one, and its request goes with it.
    #[track_caller]
    pub fn expect_event(&self, what: &str, ident: usize, bytes: usize) -> TestResult {
        let requests = self.requests()?;
        let event = Event {
            ident,
            udata: !ident,
            data: bytes as i64,
            fflags: 0,
            of_sendfile: true,
        };
        assert_eq!(self.event(Duration::ZERO)?, Some(event), "{what}");
        self.expect_no_event(what, requests - 1)
    }

    /// The event that comes from another thread.
    #[track_caller]
    pub fn expect_event_soon(&self, what: &str, ident: usize) -> TestResult {
        let event = self.event(SOON)?;
        assert_eq!(event.map(|event| event.ident), Some(ident), "{what}");
        wait_until("the request to end", || Ok(self.requests()? == 0))?;
        self.expect_no_event(what, 0)
    }

    /// EV_DELETE.
    pub fn delete(&self, ident: usize) -> TestResult {
        delete_event(&self.queue, ident).map_err(refused)
    }

    fn event(&self, limit: Duration) -> Result<Option<Event>, Stop> {
        take_event(&self.queue, limit).map_err(refused)
    }
}

fn all_requests() -> Result<i64, Stop> {
    let usage =
        counters::malloc(c"sendfile").ok_or(Stop::Fail("there is no malloc type sendfile"))?;
    i64::try_from(usage.allocations).map_err(|_| Stop::Fail("the books' count is negative"))
}

/// Waits for what other threads do.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool, Stop>) -> TestResult {
    let deadline = time::uptime() + SOON;
    while !done()? {
        assert!(time::uptime() < deadline, "waited {SOON:?} for {what}");
        time::sleep(Duration::from_millis(1));
    }
    Ok(())
}

//! Requests in flight, and the kernel memory of them.

use crate::kpi::descriptor::Descriptor;
use crate::kpi::errno::Errno;
use crate::kpi::mbuf::Mbuf;
use crate::kpi::sendfile::{
    Event, PAGE, Request, Sent, delete_event, take_event, take_mbufs, unacknowledged,
};
use crate::kpi::{counters, time};
use crate::tests::{FOREVER, resource_error};
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::{Stop, TestResult};

/// The malloc type of requests: `M_SENDFILE`.
pub const MALLOC_TYPE: &str = "sendfile";

/// The bytes of a request: several pages, and one packet over lo0.
pub const LENGTH: usize = 3 * PAGE;

/// The connection of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// unix(4): one mbuf per page, each mapped.
    Unix,
    /// TCP: unmapped pages, several per mbuf.
    Tcp,
}

/// Two connected sockets, a file to send, and a kqueue for events.
pub struct InFlight {
    /// The kqueue for events.
    pub queue: Descriptor,
    /// A file of [`LENGTH`] bytes.
    pub file: Descriptor,
    /// The socket that sends.
    pub here: Descriptor,
    /// The socket that receives.
    pub there: Descriptor,
    link: Link,
    before: i64,
}

impl InFlight {
    /// Makes the sockets, the file and the kqueue.
    pub fn new(link: Link) -> Result<Self, Stop> {
        let ends = match link {
            Link::Unix => Descriptor::unix_pair(),
            Link::Tcp => Descriptor::tcp_pair(),
        };
        let (here, there) = ends.map_err(resource_error)?;
        Ok(Self {
            queue: Descriptor::kqueue().map_err(resource_error)?,
            file: Descriptor::shared_memory(LENGTH).map_err(resource_error)?,
            here,
            there,
            link,
            before: all_requests()?,
        })
    }

    /// Makes a request that sends the file.
    pub fn request(&self, ident: usize) -> Request<'_> {
        Request {
            file: &self.file,
            socket: &self.here,
            queue: Some(&self.queue),
            ident,
            event_flags: 0,
            flags: 0,
            length: LENGTH,
            header: None,
            trailer: None,
            space: 0,
            fault: None,
            plain: false,
            shut_before_append: None,
        }
    }

    /// Sends the file, and returns its mbufs, removed from the receiver one by
    /// one. There is no other reference to them.
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

    /// Receives this many bytes as mbufs, and waits until the sender has no
    /// reference to them.
    pub fn receive(&self, bytes: usize) -> Result<Vec<Mbuf>, Stop> {
        let mut mbufs = Vec::new();
        let mut got = 0;
        wait_until(|| {
            let mut rest = take_mbufs(&self.there).map_err(resource_error)?;
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
            wait_until(|| Ok(unacknowledged(&self.here).map_err(resource_error)? == 0))?;
            // TCP frees its mbufs after it has unlocked the send buffer. If the
            // interface cannot send unmapped mbufs, what arrives are other ones,
            // which do not count the references to these: the thread must end.
            time::wait_until_idle();
            wait_until(|| Ok(only_references(&mbufs)))?;
        }
        Ok(mbufs)
    }

    /// Counts the requests in kernel memory, together with the calls whose pages
    /// are being read.
    pub fn requests(&self) -> Result<i64, Stop> {
        Ok(all_requests()? - self.before)
    }

    /// Asserts that there are this many requests, and no event.
    #[track_caller]
    pub fn expect_no_event(&self, what: &str, requests: i64) -> TestResult {
        assert_eq!(self.requests()?, requests, "{what}: requests");
        assert_eq!(self.event(Duration::ZERO)?, None, "{what}: event");
        Ok(())
    }

    /// Asserts that exactly one event is pending. Taking it frees its request.
    #[track_caller]
    pub fn expect_event(&self, what: &str, ident: usize, bytes: usize) -> TestResult {
        self.expect_event_with(what, ident, bytes, None)
    }

    /// As [`expect_event`](Self::expect_event), with the error of a read.
    #[track_caller]
    pub fn expect_event_with(
        &self,
        what: &str,
        ident: usize,
        bytes: usize,
        error: Option<Errno>,
    ) -> TestResult {
        let requests = self.requests()?;
        let event = Event {
            ident,
            udata: !ident,
            data: bytes as i64,
            error,
            of_sendfile: true,
        };
        assert_eq!(self.event(Duration::ZERO)?, Some(event), "{what}");
        self.expect_no_event(what, requests - 1)
    }

    /// Asserts that the next event is this one, with all bytes. Others may be
    /// pending.
    #[track_caller]
    pub fn expect_event_in(&self, what: &str, ident: usize, error: Option<Errno>) -> TestResult {
        let event = Event {
            ident,
            udata: !ident,
            data: LENGTH as i64,
            error,
            of_sendfile: true,
        };
        assert_eq!(self.event(Duration::ZERO)?, Some(event), "{what}");
        Ok(())
    }

    /// Waits for an event that another thread posts.
    #[track_caller]
    pub fn expect_event_soon(&self, what: &str, ident: usize) -> TestResult {
        let event = self.event(FOREVER)?;
        assert_eq!(event.map(|event| event.ident), Some(ident), "{what}");
        wait_until(|| Ok(self.requests()? == 0))?;
        self.expect_no_event(what, 0)
    }

    /// Deletes the event (EV_DELETE).
    pub fn delete(&self, ident: usize) -> TestResult {
        delete_event(&self.queue, ident).map_err(resource_error)
    }

    fn event(&self, limit: Duration) -> Result<Option<Event>, Stop> {
        take_event(&self.queue, limit).map_err(resource_error)
    }
}

fn all_requests() -> Result<i64, Stop> {
    let usage =
        counters::malloc(c"sendfile").ok_or(Stop::Fail("there is no malloc type sendfile"))?;
    i64::try_from(usage.allocations).map_err(|_| Stop::Fail("the number of requests is negative"))
}

/// Returns whether no other mbufs refer to the storage of these.
fn only_references(mbufs: &[Mbuf]) -> bool {
    mbufs.iter().all(|mbuf| {
        let same = |other: &&Mbuf| other.storage() == mbuf.storage();
        let ours = mbufs.iter().filter(same).count();
        mbuf.references() == 0 || mbuf.references() as usize == ours
    })
}

/// Waits until other threads are done. The test's own limit ends the wait.
pub fn wait_until(mut done: impl FnMut() -> Result<bool, Stop>) -> TestResult {
    while !done()? {
        time::sleep(Duration::from_millis(1));
    }
    Ok(())
}

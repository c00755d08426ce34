//! Calls in flight, and what has to be true once they are not.

use kdk_harness::Stop;
use kdk_scene::bytes::{SOON_MS, soon};
use kdk_sys::kqueue::{EV_ERROR, Event, Filter, Kqueue};
use kdk_sys::sendfile::{Completion, Request, Sent, sendfile};
use kdk_sys::suite::must;
use kdk_sys::time::{Deadline, sleep_ms};
use kdk_sys::{Descriptor, counters, sysctl};

/// The malloc type of a call's books: `M_SENDFILE`.
pub const BOOKS: &str = "sendfile";

/// Registers a test of this suite: it looks at the kernel's books often, which
/// takes its time, and must leave nothing there.
#[macro_export]
macro_rules! case {
    ($name:expr, $run:expr) => {
        kdk_harness::kdk_test!(
            $name,
            $run,
            limit_ms = 60_000,
            leak_types = &[$crate::flight::BOOKS, "kqueue"],
        );
    };
}

/// `__FreeBSD_version` from which on a kernel can have the series.
const SERIES: i64 = 1_500_000;

/// A kqueue for events, and how many allocations of sendfile(2) there are
/// before the test makes any.
pub struct Flight {
    /// Where the events come.
    pub queue: Kqueue,
    books: i64,
}

impl Flight {
    /// Nothing is in flight yet.
    ///
    /// # Errors
    /// Skips the test on kernels that this contract is not for.
    pub fn new() -> Result<Self, Stop> {
        if must("kern.osreldate", sysctl::integer("kern.osreldate")) < SERIES {
            return Err(Stop::Skip(
                "the SF_KQUEUE of 2014 has another number and another contract",
            ));
        }
        Ok(Self {
            queue: must("kqueue", Kqueue::new()),
            books: books(),
        })
    }

    /// Sends with an event of this ident; its udata is the ident's negation.
    pub fn send(
        &self,
        file: &impl Descriptor,
        to: &impl Descriptor,
        ident: usize,
        request: &Request<'_>,
    ) -> Sent {
        let request = Request {
            completion: Some(Completion::on(&self.queue, ident, !ident)),
            ..*request
        };
        sendfile(file, to, &request)
    }

    /// The event that has to come for `ident`, with this data and no error.
    #[track_caller]
    pub fn lands(&self, what: &str, ident: usize, data: i64) {
        let seen = one(what, &self.queue);
        is_event(what, &seen, ident, data);
    }

    /// Nothing is in flight any more: no books, and no event that was not
    /// taken.
    #[track_caller]
    pub fn over(&self, what: &str) {
        self.at_rest(what);
        none(what, &self.queue);
    }

    /// Waits until all books of sendfile(2) are gone.
    #[track_caller]
    pub fn at_rest(&self, what: &str) {
        self.at_rest_but_for(what, 0);
    }

    /// Waits until only `events` books are left, those of events that were not
    /// taken.
    #[track_caller]
    pub fn at_rest_but_for(&self, what: &str, events: i64) {
        let deadline = Deadline::after_ms(SOON_MS);
        loop {
            let left = books() - self.books;
            if left <= events {
                return;
            }
            assert!(
                !deadline.has_passed(),
                "{what}: {left} allocations of sendfile(2), expected {events}"
            );
            sleep_ms(2);
        }
    }
}

#[track_caller]
fn books() -> i64 {
    must("read kern.malloc_stats", counters::malloc_type(BOOKS))
}

/// The next event.
#[track_caller]
pub fn one(what: &str, queue: &Kqueue) -> Event {
    let events = must("wait for an event", queue.wait(&[], 1, soon()));
    match events.first() {
        Some(event) => *event,
        None => panic!("{what}: no event within {SOON_MS} ms"),
    }
}

/// There is no event now.
#[track_caller]
pub fn none(what: &str, queue: &Kqueue) {
    let events = must("look for events", queue.ready(8));
    assert!(
        events.is_empty(),
        "{what}: expected no event, saw {events:?}"
    );
}

/// The event is that of a [`Flight::send`] that went well.
#[track_caller]
pub fn is_event(what: &str, seen: &Event, ident: usize, data: i64) {
    assert!(
        seen.is(Filter::Sendfile) && seen.flags & EV_ERROR == 0,
        "{what}: another event: {seen:?}"
    );
    assert_eq!(seen.ident, ident, "{what}: ident");
    assert_eq!(seen.udata, !ident, "{what}: udata");
    assert_eq!(seen.data, data, "{what}: bytes sent");
    assert_eq!(seen.fflags, 0, "{what}: error");
}

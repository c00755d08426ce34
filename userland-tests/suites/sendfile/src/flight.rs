//! Calls in flight, and what has to be true once they are not.

use kdk_fixtures::bytes::{SOON_MS, soon};
use kdk_harness::Stop;
use kdk_sys::kqueue::{EV_ERROR, Event, Filter, Kqueue};
use kdk_sys::sendfile::{Completion, Generation, Request, Sent, sendfile};
use kdk_sys::suite::must;
use kdk_sys::time::{Deadline, sleep_ms};
use kdk_sys::{Descriptor, Errno, counters};

/// Registers a test of this suite: it looks at the kernel's books often, which
/// takes its time, and must leave nothing there. `defect` is why it fails on
/// the kernels of 2014, `crash` why it may end them.
#[macro_export]
macro_rules! case {
    ($name:expr, $run:expr $(,)?) => {
        $crate::case!(@ $name, $run, kdk_harness::Expect::Pass);
    };
    ($name:expr, $run:expr, defect = $why:expr $(,)?) => {
        $crate::case!(@ $name, $run, kdk_harness::Expect::FailOn(kdk_sys::sendfile::Generation::is_first, $why));
    };
    ($name:expr, $run:expr, crash = $why:expr $(,)?) => {
        $crate::case!(
            @ $name,
            $run,
            kdk_harness::Expect::CrashOn(kdk_sys::sendfile::Generation::is_first, $why)
        );
    };
    (@ $name:expr, $run:expr, $expect:expr) => {
        kdk_harness::kdk_test!(
            $name,
            $run,
            limit_ms = 60_000,
            leak_types = &["sendfile", "kqueue"],
            expect = $expect,
        );
    };
}

/// A kqueue for events, and how many allocations of sendfile(2) there are
/// before the test makes any.
pub struct Flight {
    /// Where the events come.
    pub queue: Kqueue,
    /// How the kernel has it all.
    pub generation: Generation,
    books: i64,
}

impl Flight {
    /// Nothing is in flight yet.
    ///
    /// # Errors
    /// Skips the test on kernels without the flag.
    pub fn new() -> Result<Self, Stop> {
        let generation = Generation::of_kernel().map_err(|_| {
            Stop::Skip("the kernels between those of 2014 and 15 have no SF_KQUEUE")
        })?;
        Ok(Self {
            queue: must("kqueue", Kqueue::new()),
            generation,
            books: books(generation),
        })
    }

    /// As [`new`](Self::new), for what the kernels of 2014 have nothing of.
    ///
    /// # Errors
    /// Skips the test there, for the reason given.
    pub fn of_second(why: &'static str) -> Result<Self, Stop> {
        let flight = Self::new()?;
        match flight.generation {
            Generation::First => Err(Stop::Skip(why)),
            Generation::Second => Ok(flight),
        }
    }

    /// What a call is refused with whose descriptor is not that of a kqueue.
    pub const fn no_kqueue(&self) -> Errno {
        match self.generation {
            Generation::First => Errno::EBADF,
            Generation::Second => Errno::EINVAL,
        }
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
            let left = books(self.generation) - self.books;
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
fn books(generation: Generation) -> i64 {
    must(
        "count the books of sendfile(2)",
        counters::sendfile_books(generation),
    )
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

/// The event says how many bytes were sent. Those of 2014 never do, as
/// `sendfile/event-data` finds; elsewhere it is not held against them.
#[track_caller]
pub fn says(what: &str, seen: &Event, data: i64) {
    if !Generation::is_first() {
        assert_eq!(seen.data, data, "{what}: bytes sent");
    }
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
    says(what, seen, data);
    assert_eq!(seen.fflags, 0, "{what}: error");
}

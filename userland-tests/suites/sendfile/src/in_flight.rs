//! Calls of sendfile(2) in flight, and the checks to make once all are done.

use kdk_fixtures::bytes::soon;
use kdk_harness::Stop;
use kdk_sys::kqueue::{EV_ERROR, Event, Filter, Kqueue};
use kdk_sys::sendfile::{Completion, Generation, Request, Sent, sendfile};
use kdk_sys::suite::{must, settles};
use kdk_sys::{Descriptor, Errno, counters};

/// Registers a test of this suite. The test counts the kernel's allocations
/// often, which takes time, and must not leak any. `defect` is the reason why
/// it fails on kernels of 2014, `crash` the reason why it may crash them.
///
/// Other threads take part in each test: those of the network, of the pager, or
/// of a second process. So a test runs on one and on several CPUs, unless `cpus`
/// says otherwise.
#[macro_export]
macro_rules! case {
    ($name:expr, $run:expr $(,)?) => {
        $crate::case!($name, $run, cpus = &[1, 4]);
    };
    ($name:expr, $run:expr, cpus = $cpus:expr $(,)?) => {
        $crate::case!(@ $name, $run, 60_000, kdk_harness::Expect::Pass, $cpus);
    };
    ($name:expr, $run:expr, defect = $why:expr $(,)?) => {
        // A lost event never comes: the expected failure lasts until the limit.
        $crate::case!(
            @ $name,
            $run,
            15_000,
            kdk_harness::Expect::FailOn(kdk_sys::sendfile::Generation::is_first, $why),
            &[1, 4]
        );
    };
    ($name:expr, $run:expr, crash = $why:expr $(,)?) => {
        $crate::case!(
            @ $name,
            $run,
            60_000,
            kdk_harness::Expect::CrashOn(kdk_sys::sendfile::Generation::is_first, $why),
            &[1, 4]
        );
    };
    (@ $name:expr, $run:expr, $limit_ms:expr, $expect:expr, $cpus:expr) => {
        kdk_harness::kdk_test!(
            $name,
            $run,
            limit_ms = $limit_ms,
            leak_types = &["sendfile", "kqueue"],
            expect = $expect,
            cpus = $cpus
        );
    };
}

/// How late the kernel may free what a call used, in milliseconds of the guest.
const LATE_MS: u64 = 4_000;

/// A kqueue for completion events, and the number of allocations of
/// sendfile(2) before the test made any.
pub struct InFlight {
    /// The kqueue that receives the events.
    pub queue: Kqueue,
    /// Which SF_KQUEUE the kernel has.
    pub generation: Generation,
    allocations: i64,
}

impl InFlight {
    /// Creates the kqueue. Nothing is in flight yet.
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
            allocations: allocations(generation),
        })
    }

    /// As [`new`](Self::new), for features that kernels of 2014 lack.
    ///
    /// # Errors
    /// Skips the test there, for the reason given.
    pub fn of_second(why: &'static str) -> Result<Self, Stop> {
        let in_flight = Self::new()?;
        match in_flight.generation {
            Generation::First => Err(Stop::Skip(why)),
            Generation::Second => Ok(in_flight),
        }
    }

    /// Returns the error for a call whose descriptor is not a kqueue.
    pub const fn no_kqueue(&self) -> Errno {
        match self.generation {
            Generation::First => Errno::EBADF,
            Generation::Second => Errno::EINVAL,
        }
    }

    /// Sends with a completion event of this ident. Its udata is the bitwise
    /// negation of the ident.
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

    /// Checks that the next event is for `ident`, with this data and no error.
    #[track_caller]
    pub fn expect_event(&self, what: &str, ident: usize, data: i64) {
        let seen = one(what, &self.queue);
        is_event(what, &seen, ident, data);
    }

    /// Checks that nothing is in flight: no allocation is left, and no event is
    /// pending.
    #[track_caller]
    pub fn assert_done(&self, what: &str) {
        self.wait_until_idle(what);
        none(what, &self.queue);
    }

    /// Waits until all allocations of sendfile(2) are freed.
    #[track_caller]
    pub fn wait_until_idle(&self, what: &str) {
        self.wait_until_left(what, 0);
    }

    /// Waits until only `events` allocations are left, those of pending
    /// events.
    #[track_caller]
    pub fn wait_until_left(&self, what: &str, events: i64) {
        let left = || allocations(self.generation) - self.allocations;
        assert!(
            settles(LATE_MS, || left() <= events),
            "{what}: {} allocations of sendfile(2), expected {events}",
            left()
        );
    }
}

#[track_caller]
fn allocations(generation: Generation) -> i64 {
    must(
        "count the allocations of sendfile(2)",
        counters::sendfile_allocations(generation),
    )
}

/// Returns the next event.
#[track_caller]
pub fn one(what: &str, queue: &Kqueue) -> Event {
    let events = must("wait for an event", queue.wait(&[], 1, soon()));
    match events.first() {
        Some(event) => *event,
        None => panic!("{what}: no event"),
    }
}

/// Checks that no event is pending.
#[track_caller]
pub fn none(what: &str, queue: &Kqueue) {
    let events = must("look for events", queue.ready(8));
    assert!(
        events.is_empty(),
        "{what}: expected no event, saw {events:?}"
    );
}

/// Checks the number of bytes that the event reports. Kernels of 2014 never
/// report it, as `sendfile/event-data` shows; other tests ignore that defect.
#[track_caller]
pub fn assert_data(what: &str, seen: &Event, data: i64) {
    if !Generation::is_first() {
        assert_eq!(seen.data, data, "{what}: bytes sent");
    }
}

/// Checks that the event belongs to a successful [`InFlight::send`].
#[track_caller]
pub fn is_event(what: &str, seen: &Event, ident: usize, data: i64) {
    assert!(
        seen.is(Filter::Sendfile) && seen.flags & EV_ERROR == 0,
        "{what}: another event: {seen:?}"
    );
    assert_eq!(seen.ident, ident, "{what}: ident");
    assert_eq!(seen.udata, !ident, "{what}: udata");
    assert_data(what, seen, data);
    assert_eq!(seen.fflags, 0, "{what}: error");
}

//! Suite `kqueue`: races in kqueue(9). A thread is stopped at a place where it
//! has released the kqueue's lock, while another thread does what it may do
//! there. So each race has one outcome, on any number of CPUs.

#[cfg(kqueue_copy)]
mod call;
#[cfg(kqueue_copy)]
mod cleared;
#[cfg(kqueue_copy)]
mod dumped;
#[cfg(kqueue_copy)]
mod forked;

use kdk_harness::kdk_test;

/// Registers tests. Where fork(2) copies no kqueue each test is skipped with a
/// reason.
macro_rules! suite {
    ($($name:literal => $run:expr,)*) => {$(
        #[cfg(kqueue_copy)]
        kdk_test!(
            $name,
            $run,
            limit_ms = 10_000,
            leak_types = &["kqueue"],
            cpus = &[1, 4]
        );
        #[cfg(not(kqueue_copy))]
        kdk_test!($name, absent);
    )*};
}

suite! {
    "kqueue/cleared-as-dump-ends" => cleared::as_dump_ends,
    "kqueue/cleared-while-copied" => cleared::while_copied,
    "kqueue/cleared-while-dumped" => cleared::while_dumped,
    "kqueue/deleted-while-dumped" => dumped::deleted,
    "kqueue/dumped-during-event" => dumped::during_event,
    "kqueue/dumped-while-deleted" => dumped::while_deleted,
    "kqueue/event-between-dumps" => dumped::event_between,
    "kqueue/event-while-copied" => forked::event,
    "kqueue/event-while-dumped" => dumped::event,
    "kqueue/forked-as-it-grows" => forked::grows,
    "kqueue/forked-during-event" => forked::during_event,
    "kqueue/forked-twice-at-once" => forked::twice,
}

#[cfg(not(kqueue_copy))]
fn absent() -> kdk_harness::TestResult {
    Err(kdk_harness::Stop::Skip(
        "the tree does not have KQUEUE_CPONFORK",
    ))
}

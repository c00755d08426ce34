//! Several processes with one table of descriptors do everything at once, and
//! others look at their kqueues meanwhile. A ledger in shared memory says which
//! calls must have an event, and which events came.
//!
//! Each process derives its operations from the run's seed, so that a failure,
//! which names the seed, the process and the operation, can be repeated as far
//! as the interleaving allows.

mod ledger;
mod operation;
mod table;
mod worker;

use crate::case;
use crate::in_flight::InFlight;
use crate::late::Broken;
use crate::stress::seed;
use alloc::vec::Vec;
use kdk_fixtures::child::Child;
use kdk_fixtures::looker::Looker;
use kdk_harness::TestResult;
use kdk_sys::process::{exit, me};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::suite::must;
use kdk_sys::sysctl;
use kdk_sys::time::Deadline;
use ledger::Ledger;
use table::Table;
use worker::Worker;

/// Processes that do something, and how much each does.
const WORKERS: usize = 4;
const OPERATIONS: usize = 250;

/// How late an event may come, in milliseconds of the guest.
const LATE_MS: u64 = 4_000;

case!("sendfile/races", || races(false), cpus = &[1, 2, 4]);
case!(
    "sendfile/races-late-errors",
    || races(true),
    cpus = &[1, 2, 4]
);

/// With `late`, some of the calls send from a disk that fails.
fn races(late: bool) -> TestResult {
    let in_flight = InFlight::of_second(
        "SF_KQUEUE of 2014 loses events with equal idents, and reports no lengths",
    )?;
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let seed = seed();
    let broken = late.then(Broken::new);
    // What a process has when it forks stays open there: the sockets come later.
    let lookers = [Looker::at(me()), statistics()];
    let table = Table::new(broken.as_ref());
    let ledger = Ledger::new(seed, WORKERS * OPERATIONS);
    let workers: Vec<Child> = (0..WORKERS)
        .map(|nth| {
            Child::with_one_table(|| Worker::new(seed, nth, &table, &ledger).work(OPERATIONS))
        })
        .collect();
    for worker in workers {
        worker.join();
    }
    table.end_all();
    let deadline = Deadline::after_ms(LATE_MS);
    while ledger.missing().is_some() && !deadline.has_passed() {
        for event in must("wait for events", table.queue.wait(&[], 64, deadline)) {
            ledger.came(&event);
        }
    }
    for event in must("look for more events", table.queue.ready(64)) {
        ledger.came(&event);
    }
    ledger.check();
    lookers.into_iter().for_each(Looker::stop);
    drop(table);
    drop(broken);
    in_flight.assert_done("all is freed");
    Ok(())
}

/// A process that reads the statistics and tables that a kernel has of what the
/// others do.
fn statistics() -> Looker {
    let process = me().0;
    Looker::of(Child::run(|| {
        loop {
            let looked = [
                sysctl::bytes_of("kern.proc.filedesc", &[process]),
                sysctl::bytes("net.local.stream.pcblist"),
                sysctl::bytes("net.inet.tcp.pcblist"),
                sysctl::bytes("kern.ipc.sfstat"),
                sysctl::bytes("vm.zone_stats"),
                sysctl::bytes("kern.malloc_stats"),
            ];
            if let Some(Err(errno)) = looked.into_iter().find(Result::is_err) {
                exit(errno.0);
            }
        }
    }))
}

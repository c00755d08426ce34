//! One configuration, all methods in turn.

use crate::method::Method;
use crate::reader::read;
use crate::setup::{Segment, Setup};
use crate::shared_counters::{Counts, SharedCounters};
use crate::worker::{Memory, send};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_harness::{Stop, TestResult};
use kdk_sys::memory::{Mapping, shared_memory};
use kdk_sys::process::Pid;
use kdk_sys::suite::{must, note};
use kdk_sys::time::{now_ns, sleep_ms};
use kdk_sys::usage::{idle, runtime_us};
use kdk_sys::{Fd, sysctl};

/// How often each method is measured.
const ROUNDS: usize = 3;

/// Measures, and records the samples.
///
/// # Errors
/// Skips where the kernel has no SF_KQUEUE.
pub fn measure(setup: &Setup) -> TestResult {
    if sysctl::integer("kern.features.sendfile_kqueue") != Ok(1) {
        return Err(Stop::Skip("this kernel has no SF_KQUEUE"));
    }
    let idle = must("find the idle process", idle());
    note("setup", &setup.describe());
    for round in 0..ROUNDS {
        for method in Method::ALL {
            let seen = one(method, setup, idle);
            note(
                "run",
                &format!("method={} round={round} {seen}", method.name()),
            );
        }
    }
    Ok(())
}

/// The state of everything that is counted, at one moment.
struct Moment {
    counts: Counts,
    ns: u64,
    idle_us: u64,
    workers_us: u64,
    reader_us: u64,
}

impl Moment {
    #[track_caller]
    fn now(counters: &SharedCounters, idle: Pid, workers: &[Child], reader: &Child) -> Self {
        let runtime = |process| must("read kern.proc.pid", runtime_us(process));
        Self {
            counts: counters.counts(),
            ns: now_ns(),
            idle_us: runtime(idle),
            workers_us: workers.iter().map(|worker| runtime(worker.pid())).sum(),
            reader_us: runtime(reader.pid()),
        }
    }
}

fn one(method: Method, setup: &Setup, idle: Pid) -> String {
    let counters = SharedCounters::new();
    let (here, there): (Vec<Fd>, Vec<Fd>) = (0..setup.sockets)
        .map(|_| Link::Tcp.connect_with(setup.room() as i32))
        .unzip();
    let reader = Child::run(|| read(setup, &there, &counters));
    let common = match setup.segment {
        Segment::Own => None,
        Segment::Shared => Some(memory(setup.workers * setup.memory_each())),
    };
    let workers: Vec<Child> = here
        .chunks(setup.sockets_each())
        .enumerate()
        .map(|(nth, sockets)| {
            Child::run(|| {
                let (own, start) = match &common {
                    Some(_) => (None, nth * setup.memory_each()),
                    None => (Some(memory(setup.memory_each())), 0),
                };
                let Some(object) = common.as_ref().or(own.as_ref()) else {
                    return;
                };
                let length = start + setup.memory_each();
                let mapping = must("mmap", Mapping::of(object, length));
                let memory = Memory {
                    object,
                    mapping,
                    start,
                };
                send(method, setup, sockets, memory, &counters)
            })
        })
        .collect();
    drop((here, there));
    let (warm_up, window) = setup.times_ms();
    note("from", &format_args!("method={}", method.name()));
    sleep_ms(warm_up);
    let before = Moment::now(&counters, idle, &workers, &reader);
    sleep_ms(window);
    let after = Moment::now(&counters, idle, &workers, &reader);
    let seen = difference(&counters, &before, &after);
    drop((workers, reader));
    seen
}

#[track_caller]
fn memory(length: usize) -> Fd {
    must("shm_open", shared_memory(length as u64))
}

/// What happened between two moments, for the host; times in nanoseconds.
fn difference(counters: &SharedCounters, before: &Moment, after: &Moment) -> String {
    let (from, to) = (before.counts, after.counts);
    let latencies = counters.latencies(from.samples, to.samples);
    let part = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
        latencies.get(at).copied().unwrap_or(0)
    };
    let ns = after.ns - before.ns;
    let idle_ns = (after.idle_us - before.idle_us) * 1000;
    format!(
        "bytes={} ns={ns} idle={idle_ns} workers={} reader={} sends={} waits={} buffers={} p50={} p99={}",
        to.read - from.read,
        (after.workers_us - before.workers_us) * 1000,
        (after.reader_us - before.reader_us) * 1000,
        to.sends - from.sends,
        to.waits - from.waits,
        to.samples - from.samples,
        part(50),
        part(99),
    )
}

//! Counts of kernel resources in use.

use crate::errno::{Errno, Result};
use crate::sendfile::Generation;
use crate::sysctl;

/// The start of a stream of statistics, as both umastat(9) and memstat(9)
/// have it: version, CPUs, records, padding.
struct Stream<'a> {
    cpus: usize,
    records: &'a [u8],
}

const STREAM_VERSION: u32 = 1;
const NAME: usize = 32;
/// Bytes of a `uma_type_header`; where its allocations are.
const ZONE_HEADER: usize = 120;
const ZONE_ALLOCATIONS: usize = 72;
/// Bytes of a `uma_percpu_stat` and of a `malloc_type_stats`.
const PER_CPU: usize = 64;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<i64> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(i64::from_le_bytes)
}

impl<'a> Stream<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        (word(bytes, 0)? == STREAM_VERSION).then_some(())?;
        Some(Self {
            cpus: word(bytes, 4)? as usize,
            records: bytes.get(16..)?,
        })
    }

    /// The records of `header` bytes and as many per CPU; those of `name`.
    fn named(&self, header: usize, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let length = header + self.cpus * PER_CPU;
        self.records.chunks_exact(length).filter(move |record| {
            let text = record.get(..NAME).unwrap_or_default();
            text.split(|byte| *byte == 0).next() == Some(name.as_bytes())
        })
    }
}

/// Items of a UMA zone that are neither free nor in a cache.
fn zone_in_use(record: &[u8]) -> Option<i64> {
    let difference = |at| Some(long(record, at)? - long(record, at + 8)?);
    let per_cpu = record.get(ZONE_HEADER..)?.chunks_exact(PER_CPU);
    per_cpu.fold(difference(ZONE_ALLOCATIONS), |sum, cpu| {
        Some(sum? + long(cpu, 0)? - long(cpu, 8)?)
    })
}

/// Returns the number of mbufs in use in the machine.
///
/// # Errors
/// Those of sysctl(3); `EBADMSG` for statistics of an unknown form.
pub fn mbufs() -> Result<i64> {
    // An mbuf that has a cluster from the start is counted apart.
    zones(&["mbuf", "mbuf_packet"])
}

/// Registrations in kqueues, in the machine.
///
/// # Errors
/// Those of sysctl(3); `EBADMSG` for statistics of an unknown form.
pub fn knotes() -> Result<i64> {
    zones(&["KNOTE"])
}

/// Allocations of sendfile(2) for its calls, in the machine.
///
/// # Errors
/// Those of sysctl(3); `EBADMSG` for statistics of an unknown form.
pub fn sendfile_allocations(generation: Generation) -> Result<i64> {
    match generation {
        Generation::First => zones(&["sendfile_sync"]),
        Generation::Second => malloc_type("sendfile"),
    }
}

fn zones(names: &[&str]) -> Result<i64> {
    let bytes = sysctl::bytes("vm.zone_stats")?;
    let stream = Stream::new(&bytes).ok_or(Errno::EBADMSG)?;
    names
        .iter()
        .map(|zone| {
            let mut records = stream.named(ZONE_HEADER, zone).peekable();
            records.peek()?;
            records.map(zone_in_use).sum::<Option<i64>>()
        })
        .sum::<Option<i64>>()
        .ok_or(Errno::EBADMSG)
}

/// Allocations of a malloc(9) type, all types of the same name together; 0
/// for one that nothing uses.
///
/// # Errors
/// Those of sysctl(3); `EBADMSG` for statistics of an unknown form.
pub fn malloc_type(name: &str) -> Result<i64> {
    let bytes = sysctl::bytes("kern.malloc_stats")?;
    let stream = Stream::new(&bytes).ok_or(Errno::EBADMSG)?;
    let per_cpu = |cpu: &[u8]| Some(long(cpu, 16)? - long(cpu, 24)?);
    stream
        .named(NAME, name)
        .flat_map(|record| record.get(NAME..).unwrap_or_default().chunks_exact(PER_CPU))
        .map(per_cpu)
        .sum::<Option<i64>>()
        .ok_or(Errno::EBADMSG)
}

/// Open files, in the machine.
///
/// # Errors
/// Those of sysctl(3).
pub fn open_files() -> Result<i64> {
    sysctl::integer("kern.openfiles")
}

/// Sockets, in the machine, those closed but not gone included.
///
/// # Errors
/// Those of sysctl(3).
pub fn sockets() -> Result<i64> {
    sysctl::integer("kern.ipc.numopensockets")
}

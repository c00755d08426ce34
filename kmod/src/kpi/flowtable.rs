//! The flowtable of the tree under test, with an environment that the test
//! supplies: see `shim/kdk_flowtable.h`.

use super::bindings;
use super::errno::Errno;
use super::resource::{Registration, Stop};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_int;

/// The number of routes. Each has an lle and an interface of its own.
pub const ROUTES: u32 = bindings::KDK_FLOWTABLE_ROUTES;

/// The fewest buckets of a table.
pub const SMALLEST: u32 = 256;

/// The longest output of ddb's command, in bytes.
const SHOWN: usize = 1 << 18;

/// Returns the `nth` IPv4 address with the route `route` in a bucket of a table
/// of `size` buckets.
#[must_use]
pub const fn key(size: u32, route: u32, bucket: u32, nth: u32) -> u32 {
    route << bindings::KDK_FLOWTABLE_ROUTE_SHIFT | (nth * size + bucket)
}

/// Returns the `nth` IPv6 address like [`key`]. All addresses of a bucket and
/// route have the same hash, and differ only in one of their last words.
#[must_use]
pub const fn key6(route: u32, bucket: u32, nth: u32) -> [u32; 4] {
    const OTHER: u32 = u32::MAX;
    let first = route << bindings::KDK_FLOWTABLE_ROUTE_SHIFT | bucket;
    match nth % 3 {
        0 => [first, nth, OTHER, OTHER],
        1 => [first, OTHER, nth, OTHER],
        _ => [first, OTHER, OTHER, nth],
    }
}

/// Allocates zeroed per-CPU memory as on a machine whose CPU ids have gaps.
/// Returns a mask of the ids whose memory is not zero.
#[must_use]
pub fn unzeroed_cpus() -> u64 {
    // SAFETY: callable by any thread that can sleep.
    unsafe { bindings::kdk_pcpu_unzeroed() }
}

/// A family of addresses. Each has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, AF_INET of the kernel.
    V4,
    /// IPv6, AF_INET6 of the kernel.
    V6,
}

impl Family {
    /// All families that the flowtable knows.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn number(self) -> c_int {
        match self {
            Self::V4 => number(bindings::AF_INET),
            Self::V6 => number(bindings::AF_INET6),
        }
    }
}

/// The destination address of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An IPv4 address, in the host's order.
    V4(u32),
    /// An IPv6 address, as words in the host's order.
    V6([u32; 4]),
}

impl From<u32> for Key {
    fn from(word: u32) -> Self {
        Self::V4(word)
    }
}

impl From<[u32; 4]> for Key {
    fn from(words: [u32; 4]) -> Self {
        Self::V6(words)
    }
}

impl Key {
    /// Returns the hash that the flow of this address has.
    #[must_use]
    pub const fn hash(self) -> u32 {
        match self {
            Self::V4(word) | Self::V6([word, ..]) => word,
        }
    }

    const fn raw(self) -> bindings::kdk_flow_key {
        match self {
            Self::V4(word) => bindings::kdk_flow_key {
                words: [word, 0, 0, 0],
                count: 1,
            },
            Self::V6(words) => bindings::kdk_flow_key { words, count: 4 },
        }
    }

    /// Returns the address of a flow that was found with this one.
    const fn of_flow(self, words: [u32; 4]) -> Self {
        match self {
            Self::V4(_) => Self::V4(words[0]),
            Self::V6(_) => Self::V6(words),
        }
    }
}

/// Returns the route of an address.
#[must_use]
pub const fn route_of(key: u32) -> u32 {
    key >> bindings::KDK_FLOWTABLE_ROUTE_SHIFT
}

/// A defect of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteDefect {
    /// The look-up finds no route.
    Missing,
    /// It is a host route that is not up.
    Down,
    /// Its interface has detached.
    NoInterface,
    /// Its interface's link is down.
    LinkDown,
    /// Its interface is a loopback.
    Loopback,
    /// The look-up finds no lle.
    NoLle,
    /// Its lle is not resolved.
    LleInvalid,
}

impl RouteDefect {
    const fn bits(self) -> u32 {
        match self {
            Self::Missing => bindings::KDK_ROUTE_MISSING,
            Self::Down => bindings::KDK_ROUTE_DOWN,
            Self::NoInterface => bindings::KDK_ROUTE_NO_IFP,
            Self::LinkDown => bindings::KDK_ROUTE_LINK_DOWN,
            Self::Loopback => bindings::KDK_ROUTE_LOOPBACK,
            Self::NoLle => bindings::KDK_ROUTE_NO_LLE,
            Self::LleInvalid => bindings::KDK_ROUTE_LLE_INVALID,
        }
    }
}

/// A step of the insertion of a flow, before the flow is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertStep {
    /// The route is looked up.
    Route,
    /// The lle is looked up.
    Lle,
    /// The flow is allocated.
    Entry,
}

impl InsertStep {
    /// All steps, in order.
    pub const ALL: [Self; 3] = [Self::Route, Self::Lle, Self::Entry];

    const fn number(self) -> u32 {
        match self {
            Self::Route => bindings::KDK_FLOWTABLE_AFTER_ROUTE,
            Self::Lle => bindings::KDK_FLOWTABLE_AFTER_LLE,
            Self::Entry => bindings::KDK_FLOWTABLE_AFTER_ENTRY,
        }
    }
}

/// A flow at the time of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its destination address.
    pub key: Key,
    /// Its route, or `None` for one that is not the test's.
    pub route: Option<u32>,
    /// The route of its lle.
    pub lle: Option<u32>,
}

/// The references of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct References {
    /// To the route.
    pub route: i32,
    /// To its lle.
    pub lle: i32,
}

/// The statistics of both tables since they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Insertions of flows that existed already.
    pub collisions: u64,
    /// Buckets that walks have visited.
    pub free_checks: u64,
    /// Flows that walks have freed.
    pub frees: u64,
    /// Look-ups that found a flow.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Flows not inserted because the lle was not resolved.
    pub lle_invalid: u64,
    /// The number of insertions.
    pub inserts: u64,
    /// Bytes of masks that walks have read. Invalid if walks overlapped.
    pub mask_bytes: u64,
    /// Flows that are allocated.
    pub flows: u64,
    /// Flows that were freed while they were in use.
    pub freed_in_use: u64,
}

/// The cost of a walk over the buckets of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Walk {
    /// The time in ticks of the TSC.
    pub ticks: u64,
    /// The number of buckets that it visited.
    pub visits: u64,
    /// The number of bytes of the mask that it read.
    pub mask_bytes: u64,
}

/// A table for IPv4, and one for IPv6. There is one of each at a time.
///
/// All methods fail with `ENXIO` once the test that opened it has died, and
/// with `EINVAL` for a CPU or route that the table does not have.
pub struct Table {
    registration: Option<Registration>,
    size: u32,
}

struct Open;

static OPEN: Open = Open;

// SAFETY: closing waits for the threads in the table, and refuses others
// afterwards.
unsafe impl Stop for Open {
    const WHAT: &'static str = "flowtable";

    fn stop(&self) {
        // SAFETY: callable by any thread that can sleep.
        unsafe { bindings::kdk_flowtable_close() }
    }
}

impl Table {
    /// Opens a table of `size` buckets, a power of two, on these CPUs.
    ///
    /// # Errors
    /// Returns `EBUSY` while there is a table, and `EINVAL` for another size or
    /// for CPUs that the machine does not have.
    pub fn open(size: u32, cpus: u64) -> Result<Self, Errno> {
        // SAFETY: callable by any thread that can sleep.
        Errno::check(unsafe { bindings::kdk_flowtable_open(size, cpus) })?;
        // SAFETY: a static does not move.
        let registration = unsafe { Registration::new(&raw const OPEN) };
        Ok(Self {
            registration: Some(registration.inspect_err(|_| OPEN.stop())?),
            size,
        })
    }

    /// Returns the number of buckets.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Sets the time since boot that the table uses, in seconds.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn set_clock(&self, uptime: u32) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_set_clock(uptime) })
    }

    /// Sets the routing table (FIB) of the packets to come. The routes of all
    /// FIBs are the same.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn set_fib(&self, fib: u32) -> Result<(), Errno> {
        // SAFETY: takes a number.
        Errno::check(unsafe { bindings::kdk_flowtable_set_fib(fib) })
    }

    /// Sets or clears the defect of a route.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn set_route(&self, route: u32, wrong: Option<RouteDefect>) -> Result<(), Errno> {
        let wrong = wrong.map_or(0, RouteDefect::bits);
        // SAFETY: takes numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_set_route(route, wrong) })
    }

    /// Returns the references of flows to a route.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn references(&self, route: u32) -> Result<References, Errno> {
        let (mut rt, mut lle) = (0, 0);
        // SAFETY: both are written during the call.
        Errno::check(unsafe {
            bindings::kdk_flowtable_references(route, &raw mut rt, &raw mut lle)
        })?;
        Ok(References { route: rt, lle })
    }

    /// Returns the statistics.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn counts(&self) -> Result<Counts, Errno> {
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_flowtable_counts = unsafe { core::mem::zeroed() };
        // SAFETY: it is written during the call.
        Errno::check(unsafe { bindings::kdk_flowtable_counts(&raw mut raw) })?;
        Ok(Counts {
            collisions: raw.collisions,
            free_checks: raw.free_checks,
            frees: raw.frees,
            hits: raw.hits,
            misses: raw.misses,
            lle_invalid: raw.fail_lle_invalid,
            inserts: raw.inserts,
            mask_bytes: raw.mask_bytes,
            flows: raw.flows,
            freed_in_use: raw.freed_in_use,
        })
    }

    /// Looks up the flow for a packet to this address on this CPU, and inserts it
    /// if there is none. No other thread may expire flows meanwhile.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn look_up(&self, cpu: u32, key: impl Into<Key>) -> Result<Option<Flow>, Errno> {
        // SAFETY: the key is read, and the flow is written, during the call.
        read_flow(key.into(), |key, flow| unsafe {
            bindings::kdk_flowtable_lookup(number(cpu), key, flow)
        })
    }

    /// Looks up like [`look_up`](Self::look_up), at any time. Returns whether
    /// there is a flow now.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn touch(&self, cpu: u32, key: impl Into<Key>) -> Result<bool, Errno> {
        let key = key.into().raw();
        // SAFETY: the key is read during the call, and no flow is written to a
        // null pointer.
        found(unsafe {
            bindings::kdk_flowtable_lookup(number(cpu), &raw const key, core::ptr::null_mut())
        })
    }

    /// Inserts without a look-up, as a thread does that migrated to this CPU
    /// after its look-up failed on another one.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn insert(&self, cpu: u32, key: impl Into<Key>) -> Result<Option<Flow>, Errno> {
        // SAFETY: the key is read, and the flow is written, during the call.
        read_flow(key.into(), |key, flow| unsafe {
            bindings::kdk_flowtable_insert(number(cpu), key, flow)
        })
    }

    /// Looks up like [`touch`](Self::touch), and flushes the route after a step
    /// of the insertion.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn touch_and_flush(
        &self,
        cpu: u32,
        key: impl Into<Key>,
        after: InsertStep,
    ) -> Result<bool, Errno> {
        let key = key.into().raw();
        // SAFETY: the key is read during the call.
        found(unsafe {
            bindings::kdk_flowtable_lookup_flush(number(cpu), &raw const key, after.number())
        })
    }

    /// Looks up like [`touch`](Self::touch), and inserts the flow when
    /// [`flush_beside`](Self::flush_beside), which another thread calls, has
    /// visited the CPU. Once per table.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn touch_beside(&self, cpu: u32, key: impl Into<Key>) -> Result<bool, Errno> {
        let key = key.into().raw();
        // SAFETY: the key is read during the call.
        found(unsafe { bindings::kdk_flowtable_lookup_beside(number(cpu), &raw const key) })
    }

    /// Flushes a route when [`touch_beside`](Self::touch_beside) has looked it up,
    /// and ends after the insertion.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn flush_beside(&self, family: Family, route: u32) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_flush_beside(family.number(), route) })
    }

    /// Looks up the flow for a packet to this address on this CPU, and uses it
    /// as `ip_output()` does: without a reference.
    ///
    /// # Errors
    /// See [`Table`]. Returns `ENOSPC` if too many flows are in use.
    pub fn use_flow(&self, cpu: u32, key: impl Into<Key>) -> Result<Option<InUse<'_>>, Errno> {
        let key = key.into();
        let (raw, mut slot) = (key.raw(), 0);
        // SAFETY: the key is read, and the slot is written, during the call.
        let there = found(unsafe {
            bindings::kdk_flowtable_use(number(cpu), &raw const raw, &raw mut slot)
        })?;
        // An InUse that is dropped gives its slot back: only for a flow that is there.
        Ok(there.then(|| InUse {
            _table: self,
            key,
            slot,
        }))
    }

    /// Frees flows as the cleaner does: those that are idle for more than
    /// `max_idle` seconds, and those whose route is invalid.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn expire(&self, max_idle: i32) -> Result<(), Errno> {
        self.expire_family(Family::V4, max_idle)
    }

    /// Frees flows of a family like [`expire`](Self::expire).
    ///
    /// # Errors
    /// See [`Table`].
    pub fn expire_family(&self, family: Family, max_idle: i32) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_expire(family.number(), max_idle) })
    }

    /// Removes the flows of a route, as the routing table does when a more
    /// specific route is added.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn flush(&self, route: u32) -> Result<(), Errno> {
        self.flush_family(Family::V4, route)
    }

    /// Removes flows of a family like [`flush`](Self::flush).
    ///
    /// # Errors
    /// See [`Table`].
    pub fn flush_family(&self, family: Family, route: u32) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_flush(family.number(), route) })
    }

    /// Walks over the buckets in use of this CPU as the cleaner does, with
    /// nothing to expire.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn walk(&self, cpu: u32) -> Result<Walk, Errno> {
        let mut raw = bindings::kdk_flow_walk {
            ticks: 0,
            visits: 0,
            mask_bytes: 0,
        };
        // SAFETY: it is written during the call.
        Errno::check(unsafe { bindings::kdk_flowtable_walk(number(cpu), &raw mut raw) })?;
        Ok(Walk {
            ticks: raw.ticks,
            visits: raw.visits,
            mask_bytes: raw.mask_bytes,
        })
    }

    /// Returns whether there is a flow for this address on this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn has(&self, cpu: u32, key: impl Into<Key>) -> Result<bool, Errno> {
        let key = key.into().raw();
        // SAFETY: the key is read during the call.
        found(unsafe { bindings::kdk_flowtable_has(number(cpu), &raw const key) })
    }

    /// Returns a mask of the buckets that have flows on this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn used(&self, cpu: u32) -> Result<Vec<u32>, Errno> {
        self.used_family(Family::V4, cpu)
    }

    /// Returns a mask of a family like [`used`](Self::used).
    ///
    /// # Errors
    /// See [`Table`].
    pub fn used_family(&self, family: Family, cpu: u32) -> Result<Vec<u32>, Errno> {
        let mut words = self.words();
        let (at, count) = (words.as_mut_ptr(), words.len());
        // SAFETY: `count` words are written during the call.
        Errno::check(unsafe {
            bindings::kdk_flowtable_used(family.number(), number(cpu), at, count)
        })?;
        Ok(words)
    }

    /// Returns the table's mask of the buckets in use on this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn mask(&self, cpu: u32) -> Result<Vec<u32>, Errno> {
        self.mask_family(Family::V4, cpu)
    }

    /// Returns a mask of a family like [`mask`](Self::mask).
    ///
    /// # Errors
    /// See [`Table`].
    pub fn mask_family(&self, family: Family, cpu: u32) -> Result<Vec<u32>, Errno> {
        let mut words = self.words();
        let (at, count) = (words.as_mut_ptr(), words.len());
        // SAFETY: `count` words are written during the call.
        Errno::check(unsafe {
            bindings::kdk_flowtable_mask(family.number(), number(cpu), at, count)
        })?;
        Ok(words)
    }

    /// Replaces the table's mask.
    ///
    /// # Errors
    /// See [`Table`]. Returns `EINVAL` for a mask of another size.
    pub fn set_mask(&self, cpu: u32, words: &[u32]) -> Result<(), Errno> {
        let (at, count) = (words.as_ptr(), words.len());
        // SAFETY: `count` words are read during the call.
        Errno::check(unsafe { bindings::kdk_flowtable_set_mask(number(cpu), at, count) })
    }

    /// Returns whether the table has a mask for this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn has_mask(&self, cpu: u32) -> Result<bool, Errno> {
        // SAFETY: takes numbers.
        found(unsafe { bindings::kdk_flowtable_has_mask(number(cpu)) })
    }

    /// Returns the output of ddb's `show flowtables`.
    ///
    /// # Errors
    /// See [`Table`]. Returns `EINVAL` if the output is not text.
    pub fn show(&self) -> Result<String, Errno> {
        let mut text = vec![0_u8; SHOWN];
        let mut length = 0;
        // SAFETY: at most the length of `text` is written during the call.
        Errno::check(unsafe {
            bindings::kdk_flowtable_show(text.as_mut_ptr().cast(), text.len(), &raw mut length)
        })?;
        text.truncate(length);
        String::from_utf8(text).map_err(|_| Errno::EINVAL)
    }

    /// Returns whether ddb finds the mask of this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn ddb_finds_mask(&self, cpu: u32) -> Result<bool, Errno> {
        // SAFETY: takes numbers.
        found(unsafe { bindings::kdk_flowtable_ddb_mask(number(cpu)) })
    }

    /// Returns whether ddb finds the list of a bucket on this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn ddb_finds_list(&self, cpu: u32, bucket: u32) -> Result<bool, Errno> {
        // SAFETY: takes numbers.
        found(unsafe { bindings::kdk_flowtable_ddb_list(number(cpu), bucket) })
    }

    fn words(&self) -> Vec<u32> {
        vec![0; self.size as usize / 32]
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.registration = None;
        OPEN.stop();
    }
}

/// A flow in use.
pub struct InUse<'a> {
    _table: &'a Table,
    key: Key,
    slot: u32,
}

impl InUse<'_> {
    /// Returns the flow, or `None` if it was freed meanwhile.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn flow(&self) -> Result<Option<Flow>, Errno> {
        // SAFETY: the flow is written during the call.
        read_flow(self.key, |_, flow| unsafe {
            bindings::kdk_flowtable_in_use(self.slot, flow)
        })
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        // SAFETY: takes a number. It fails if the table was closed meanwhile,
        // which ends the use as well.
        let _ = unsafe { bindings::kdk_flowtable_done(self.slot) };
    }
}

fn number(cpu: u32) -> c_int {
    c_int::try_from(cpu).unwrap_or(c_int::MAX)
}

fn found(value: c_int) -> Result<bool, Errno> {
    match Errno::check(value) {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn read_flow(
    key: Key,
    call: impl FnOnce(*const bindings::kdk_flow_key, *mut bindings::kdk_flow) -> c_int,
) -> Result<Option<Flow>, Errno> {
    let wanted = key.raw();
    let mut raw = bindings::kdk_flow {
        key: [0; 4],
        route: -1,
        lle: -1,
    };
    let found = found(call(&raw const wanted, &raw mut raw))?;
    Ok(found.then_some(Flow {
        key: key.of_flow(raw.key),
        route: u32::try_from(raw.route).ok(),
        lle: u32::try_from(raw.lle).ok(),
    }))
}

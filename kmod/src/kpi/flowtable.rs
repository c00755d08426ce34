//! The flowtable of the tree under test, in a world of the test's: see
//! shim/kdk_flowtable.h.

use super::bindings;
use super::errno::Errno;
use super::resource::{Registration, Stop};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_int;

/// Routes that there are, each with an lle and an interface of its own.
pub const ROUTES: u32 = bindings::KDK_FLOWTABLE_ROUTES;

/// Fewest buckets of a table.
pub const SMALLEST: u32 = 256;

/// Longest text of ddb's command that is read, bytes.
const SHOWN: usize = 1 << 18;

/// The address that falls into `bucket` of a table with at least so many, and
/// has the route `route`; `nth` tells apart the addresses of a bucket in a
/// table of `size`.
#[must_use]
pub const fn key(size: u32, route: u32, bucket: u32, nth: u32) -> u32 {
    route << bindings::KDK_FLOWTABLE_ROUTE_SHIFT | (nth * size + bucket)
}

/// The route of an address.
#[must_use]
pub const fn route_of(key: u32) -> u32 {
    key >> bindings::KDK_FLOWTABLE_ROUTE_SHIFT
}

/// What is wrong with a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is not found.
    Missing,
    /// It is one to a host, and not up.
    Down,
    /// Its interface has gone.
    NoInterface,
    /// Its interface's link is down.
    LinkDown,
    /// Its interface is a loopback.
    Loopback,
    /// No lle is found.
    NoLle,
    /// Its lle is not resolved.
    LleInvalid,
}

impl Wrong {
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

/// A flow, as it was when it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The address it is for.
    pub key: u32,
    /// Its route; `None` for one that is not the test's.
    pub route: Option<u32>,
    /// The route that its lle is of.
    pub lle: Option<u32>,
}

/// References that flows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct References {
    /// To the route.
    pub route: i32,
    /// To its lle.
    pub lle: i32,
}

/// What the table has counted since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Flows that were there already when they were to be inserted.
    pub collisions: u64,
    /// Buckets that a walk has visited.
    pub free_checks: u64,
    /// Flows that a walk has freed.
    pub frees: u64,
    /// Look-ups that found a flow.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Flows not inserted for an lle that is not resolved.
    pub lle_invalid: u64,
    /// Flows inserted.
    pub inserts: u64,
    /// Bytes of masks that walks have read; nonsense after walks at one time.
    pub mask_bytes: u64,
    /// Flows that there are.
    pub flows: u64,
}

/// What a walk over a CPU's buckets took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Walk {
    /// Time, in ticks of the CPU's counter.
    pub ticks: u64,
    /// Buckets that it visited.
    pub visits: u64,
    /// Bytes of the mask that it read.
    pub mask_bytes: u64,
}

/// A table for IPv4. There is one at a time.
///
/// All methods fail with `ENXIO` once the test that opened it has died, and
/// with `EINVAL` for a CPU or route that the table has not.
pub struct Table {
    registration: Option<Registration>,
    size: u32,
}

struct Open;

static OPEN: Open = Open;

// SAFETY: closing waits for whoever is in the table, and nobody comes in
// afterwards.
unsafe impl Stop for Open {
    const WHAT: &'static str = "flowtable";

    fn stop(&self) {
        // SAFETY: may be called at any time by a thread that can sleep.
        unsafe { bindings::kdk_flowtable_close() }
    }
}

impl Table {
    /// A table of `size` buckets, a power of two, on these CPUs.
    ///
    /// # Errors
    /// `EBUSY` while there is one; `EINVAL` for another size, and CPUs that
    /// the machine has not.
    pub fn open(size: u32, cpus: u64) -> Result<Self, Errno> {
        // SAFETY: may be called at any time by a thread that can sleep.
        Errno::check(unsafe { bindings::kdk_flowtable_open(size, cpus) })?;
        // SAFETY: a static stays where it is.
        let registration = unsafe { Registration::new(&raw const OPEN) };
        Ok(Self {
            registration: Some(registration.inspect_err(|_| OPEN.stop())?),
            size,
        })
    }

    /// Its buckets.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Seconds since boot, as the table sees it.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn set_clock(&self, uptime: u32) -> Result<(), Errno> {
        // SAFETY: numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_set_clock(uptime) })
    }

    /// Something becomes wrong with a route, or all is well again.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn set_route(&self, route: u32, wrong: Option<Wrong>) -> Result<(), Errno> {
        let wrong = wrong.map_or(0, Wrong::bits);
        // SAFETY: numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_set_route(route, wrong) })
    }

    /// Who refers to this route.
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

    /// What it has counted.
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
        })
    }

    /// What a packet to this address does on this CPU: the flow is found, or
    /// inserted. Not while another thread expires flows.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn look_up(&self, cpu: u32, key: u32) -> Result<Option<Flow>, Errno> {
        // SAFETY: the flow is written during the call.
        read_flow(|flow| unsafe { bindings::kdk_flowtable_lookup(number(cpu), key, flow) })
    }

    /// Like [`look_up`](Self::look_up), at any time: whether there is a flow
    /// now.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn touch(&self, cpu: u32, key: u32) -> Result<bool, Errno> {
        // SAFETY: without a place for it no flow is written.
        found(unsafe { bindings::kdk_flowtable_lookup(number(cpu), key, core::ptr::null_mut()) })
    }

    /// Inserts without a look-up: what a thread does that moved to this CPU
    /// after its look-up failed on another one.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn insert(&self, cpu: u32, key: u32) -> Result<Option<Flow>, Errno> {
        // SAFETY: the flow is written during the call.
        read_flow(|flow| unsafe { bindings::kdk_flowtable_insert(number(cpu), key, flow) })
    }

    /// What the cleaner does: flows go that are idle for longer, in seconds,
    /// or whose route is of no use any more.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn expire(&self, max_idle: i32) -> Result<(), Errno> {
        // SAFETY: numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_expire(max_idle) })
    }

    /// What the routing table does when a route gets a more specific one.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn flush(&self, route: u32) -> Result<(), Errno> {
        // SAFETY: numbers.
        Errno::check(unsafe { bindings::kdk_flowtable_flush(route) })
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

    /// Whether there is a flow for this address on this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn has(&self, cpu: u32, key: u32) -> Result<bool, Errno> {
        // SAFETY: numbers.
        found(unsafe { bindings::kdk_flowtable_has(number(cpu), key) })
    }

    /// A bit for each bucket that has flows on this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn used(&self, cpu: u32) -> Result<Vec<u32>, Errno> {
        let mut words = self.words();
        let (at, count) = (words.as_mut_ptr(), words.len());
        // SAFETY: so many words are written during the call.
        Errno::check(unsafe { bindings::kdk_flowtable_used(number(cpu), at, count) })?;
        Ok(words)
    }

    /// The mask of this CPU's buckets in use.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn mask(&self, cpu: u32) -> Result<Vec<u32>, Errno> {
        let mut words = self.words();
        let (at, count) = (words.as_mut_ptr(), words.len());
        // SAFETY: so many words are written during the call.
        Errno::check(unsafe { bindings::kdk_flowtable_mask(number(cpu), at, count) })?;
        Ok(words)
    }

    /// Another mask in its place.
    ///
    /// # Errors
    /// See [`Table`]; `EINVAL` for a mask of another size.
    pub fn set_mask(&self, cpu: u32, words: &[u32]) -> Result<(), Errno> {
        let (at, count) = (words.as_ptr(), words.len());
        // SAFETY: so many words are read during the call.
        Errno::check(unsafe { bindings::kdk_flowtable_set_mask(number(cpu), at, count) })
    }

    /// Whether a mask was allocated for this CPU.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn has_mask(&self, cpu: u32) -> Result<bool, Errno> {
        // SAFETY: numbers.
        found(unsafe { bindings::kdk_flowtable_has_mask(number(cpu)) })
    }

    /// What ddb's `show flowtables` writes.
    ///
    /// # Errors
    /// See [`Table`]; `EINVAL` when it is not text.
    pub fn show(&self) -> Result<String, Errno> {
        let mut text = vec![0_u8; SHOWN];
        let mut length = 0;
        // SAFETY: so many bytes are written, at most, during the call.
        Errno::check(unsafe {
            bindings::kdk_flowtable_show(text.as_mut_ptr().cast(), text.len(), &raw mut length)
        })?;
        text.truncate(length);
        String::from_utf8(text).map_err(|_| Errno::EINVAL)
    }

    /// Whether ddb takes this CPU's mask for this CPU's mask.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn ddb_finds_mask(&self, cpu: u32) -> Result<bool, Errno> {
        // SAFETY: numbers.
        found(unsafe { bindings::kdk_flowtable_ddb_mask(number(cpu)) })
    }

    /// Whether ddb takes this CPU's list of a bucket for that list.
    ///
    /// # Errors
    /// See [`Table`].
    pub fn ddb_finds_list(&self, cpu: u32, bucket: u32) -> Result<bool, Errno> {
        // SAFETY: numbers.
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

fn read_flow(call: impl FnOnce(*mut bindings::kdk_flow) -> c_int) -> Result<Option<Flow>, Errno> {
    let mut raw = bindings::kdk_flow {
        key: 0,
        route: -1,
        lle: -1,
    };
    let found = found(call(&raw mut raw))?;
    Ok(found.then_some(Flow {
        key: raw.key,
        route: u32::try_from(raw.route).ok(),
        lle: u32::try_from(raw.lle).ok(),
    }))
}

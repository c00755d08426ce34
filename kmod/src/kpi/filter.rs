//! Packet filters on an interface's own head: see `shim/kdk_filter.h`.

use super::bindings;
use super::errno::Errno;
use super::interface::Interface;
use super::resource::{Registration, Stop};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

/// Longest frame that is handed out, bytes.
const LONGEST: usize = 16 * 1024;

/// What a filter does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It passes.
    Pass,
    /// It is dropped.
    Drop,
    /// It is dropped if the first byte that the filter is shown is this one.
    DropFirst(u8),
    /// It is taken, and kept if it is a chain of mbufs.
    Consume,
    /// In the receive ring a copy takes its place.
    Replace {
        /// A byte of the copy with all bits changed.
        at: u32,
        /// Bytes at the end that the copy lacks.
        trim: u32,
    },
}

impl Rule {
    const fn raw(self) -> bindings::kdk_filter_rule {
        let mut raw = bindings::kdk_filter_rule {
            verdict: bindings::KDK_FILTER_PASS,
            first: 0,
            at: 0,
            trim: 0,
        };
        match self {
            Self::Pass => {}
            Self::Drop => raw.verdict = bindings::KDK_FILTER_DROP,
            Self::DropFirst(first) => {
                raw.verdict = bindings::KDK_FILTER_DROP_FIRST;
                raw.first = first;
            }
            Self::Consume => raw.verdict = bindings::KDK_FILTER_CONSUME,
            Self::Replace { at, trim } => {
                raw.verdict = bindings::KDK_FILTER_REPLACE;
                raw.at = at;
                raw.trim = trim;
            }
        }
        raw
    }
}

/// What a filter was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// In the receive ring, by its address; else as a chain of mbufs.
    pub in_ring: bool,
    /// Bytes, as the filter was told.
    pub length: u32,
    /// Bytes in the whole chain; of a frame in the ring the same as `length`.
    pub chain: u32,
    /// All bytes of a chain; of a frame in the ring up to 2048.
    pub bytes: Vec<u8>,
}

type Take = unsafe extern "C" fn(
    *mut bindings::kdk_filter,
    *mut c_void,
    usize,
    *mut bindings::kdk_filtered,
) -> c_int;

struct Open {
    raw: *mut bindings::kdk_filter,
    closed: AtomicBool,
}

// SAFETY: closing waits for whoever is in the filter.
unsafe impl Stop for Open {
    const WHAT: &'static str = "packet filter";

    fn stop(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            // SAFETY: opened in `Filter::on`, closed once.
            unsafe { bindings::kdk_filter_close(self.raw) }
        }
    }
}

/// A filter of received frames. It has to go before its interface does.
pub struct Filter {
    registration: Option<Registration>,
    open: Box<Open>,
    bytes: Vec<u8>,
}

impl Filter {
    /// A filter on an interface.
    ///
    /// # Errors
    /// `ENOENT` when there is no such interface with a head of its own,
    /// `EAGAIN` when the test has too many resources already.
    pub fn on(interface: &Interface, rule: Rule) -> Result<Self, Errno> {
        let mut raw = core::ptr::null_mut();
        let rule = rule.raw();
        // SAFETY: the name is a C string; the rule is copied and the pointer
        // written.
        Errno::check(unsafe {
            bindings::kdk_filter_open(interface.raw_name(), &raw const rule, &raw mut raw)
        })?;
        let open = Box::new(Open {
            raw,
            closed: AtomicBool::new(false),
        });
        // SAFETY: a box's content does not move; `drop` removes the
        // registration first.
        let registration = unsafe { Registration::new(&raw const *open) };
        let registration = registration.inspect_err(|_| open.stop())?;
        Ok(Self {
            registration: Some(registration),
            open,
            bytes: vec![0; LONGEST],
        })
    }

    /// The oldest of the calls that were not asked for yet.
    pub fn shown(&mut self) -> Option<Shown> {
        self.take(bindings::kdk_filter_seen)
    }

    /// The oldest of the chains that it has taken; it is freed.
    pub fn kept(&mut self) -> Option<Shown> {
        self.take(bindings::kdk_filter_kept)
    }

    fn take(&mut self, take: Take) -> Option<Shown> {
        if self.open.closed.load(Ordering::SeqCst) {
            return None;
        }
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_filtered = unsafe { core::mem::zeroed() };
        let (at, room) = (self.bytes.as_mut_ptr().cast(), self.bytes.len());
        // SAFETY: the filter is open; both are written during the call.
        let error = unsafe { take(self.open.raw, at, room, &raw mut raw) };
        let copied = usize::try_from(raw.copied).unwrap_or_default();
        (error == 0).then(|| Shown {
            in_ring: raw.memory != 0,
            length: raw.length,
            chain: raw.chain,
            bytes: self.bytes.get(..copied).unwrap_or_default().to_vec(),
        })
    }

    /// Calls that there was no memory to remember or to act upon.
    #[must_use]
    pub fn lost(&self) -> u32 {
        // SAFETY: the filter is open.
        unsafe { bindings::kdk_filter_lost(self.open.raw) }
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.open.stop();
        self.registration = None;
    }
}

//! Packet filters (pfil(9)) on the link-layer head of an interface: see
//! `shim/kdk_filter.h`.

use super::bindings;
use super::errno::Errno;
use super::handle::{Handle, Kind};
use super::interface::{FrameBuffer, Interface};
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};

/// The longest frame that is returned, in bytes.
const LONGEST: usize = 16 * 1024;

/// What a filter does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Pass the frame.
    Pass,
    /// Drop the frame.
    Drop,
    /// Drop it if its first byte is this one.
    DropFirst(u8),
    /// Consume it. An mbuf chain is kept.
    Consume,
    /// Replace it by a copy.
    Replace {
        /// The offset of a byte that is inverted in the copy.
        at: u32,
        /// The number of bytes at the end that the copy lacks.
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

/// A frame as a filter was called for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilteredFrame {
    /// Whether it was in the receive ring; else it was an mbuf chain.
    pub in_ring: bool,
    /// The length that the filter was called with.
    pub length: u32,
    /// The bytes of the chain; for a frame in the ring, `length`.
    pub chain: u32,
    /// All bytes of a chain, or the first 2048 of a frame in the ring.
    pub bytes: Vec<u8>,
}

type Take = unsafe extern "C" fn(
    *mut bindings::kdk_filter,
    *mut c_void,
    usize,
    *mut bindings::kdk_filtered,
) -> c_int;

struct OpenFilter;

// SAFETY: closing waits for the threads that are in the filter.
unsafe impl Kind for OpenFilter {
    type Raw = *mut bindings::kdk_filter;
    const WHAT: &'static str = "packet filter";

    unsafe fn close(raw: Self::Raw) {
        // SAFETY: the caller promises that the filter is open.
        unsafe { bindings::kdk_filter_close(raw) }
    }
}

/// A filter of received frames. Drop it before its interface detaches.
pub struct Filter {
    handle: Handle<OpenFilter>,
    buffer: FrameBuffer,
}

impl Filter {
    /// Opens a filter on an interface.
    ///
    /// # Errors
    /// Returns `ENOENT` if no such interface has a head of its own, and
    /// `EAGAIN` if the test has too many resources already.
    pub fn on(interface: &Interface, rule: Rule) -> Result<Self, Errno> {
        let mut raw = core::ptr::null_mut();
        let rule = rule.raw();
        // SAFETY: the name is a C string; the rule is copied and the pointer
        // written.
        Errno::check(unsafe {
            bindings::kdk_filter_open(interface.raw_name(), &raw const rule, &raw mut raw)
        })?;
        // SAFETY: opened above, and closed by the handle alone.
        let handle = unsafe { Handle::new(raw) }?;
        Ok(Self {
            handle,
            buffer: FrameBuffer::new(LONGEST),
        })
    }

    /// Removes and returns the oldest call of the filter.
    pub fn next_call(&mut self) -> Option<FilteredFrame> {
        self.take(bindings::kdk_filter_take_call)
    }

    /// Removes and returns the oldest chain that the filter has consumed.
    pub fn next_consumed(&mut self) -> Option<FilteredFrame> {
        self.take(bindings::kdk_filter_take_consumed)
    }

    fn take(&mut self, take: Take) -> Option<FilteredFrame> {
        let filter = self.handle.raw()?;
        // SAFETY: the filter is open; the structure consists of numbers; at
        // most the room of the buffer is written.
        let (raw, bytes) = unsafe {
            self.buffer.read(
                |at, room, raw| take(filter, at, room, raw),
                |raw| usize::try_from(raw.copied).unwrap_or_default(),
            )
        }?;
        Some(FilteredFrame {
            in_ring: raw.memory != 0,
            length: raw.length,
            chain: raw.chain,
            bytes,
        })
    }

    /// Returns the number of calls that could not be recorded, or not acted
    /// upon, for want of memory.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.handle.raw().map_or(0, |filter| {
            // SAFETY: the filter is open.
            unsafe { bindings::kdk_filter_lost(filter) }
        })
    }
}

//! Reads of a file that wait for the test, and output that fails: see
//! `shim/kdk_reads.h`.

use super::bindings;
use super::descriptor::Descriptor;
use super::errno::Errno;
use super::handle::{Handle, Kind};

struct Pager;

// SAFETY: closing completes all reads, and no page of the file is read from the
// pager afterwards.
unsafe impl Kind for Pager {
    type Raw = *mut bindings::kdk_reads;
    const WHAT: &'static str = "pager";

    unsafe fn close(raw: Self::Raw) {
        // SAFETY: the caller promises that it is open.
        unsafe { bindings::kdk_reads_close(raw) }
    }
}

/// The reads of a shared memory object, whose pages must not have been used yet.
/// Each waits until the test completes it. Dropping this lets them fail.
pub struct Reads(Handle<Pager>);

impl Reads {
    /// Lets the reads of a file wait from now on. A read has at most `pages`
    /// pages, and not more than 16.
    ///
    /// # Errors
    /// Returns `EAGAIN` if there are too many.
    pub fn of(file: &Descriptor, pages: i32) -> Result<Self, Errno> {
        let mut raw = core::ptr::null_mut();
        // SAFETY: the pointer is written during the call.
        Errno::check(unsafe { bindings::kdk_reads_open(file.number(), pages, &raw mut raw) })?;
        // SAFETY: opened above, and closed by the handle alone.
        unsafe { Handle::new(raw) }.map(Self)
    }

    /// Returns the number of reads that wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.0.raw().map_or(0, |reads| {
            // SAFETY: it is open.
            unsafe { bindings::kdk_reads_waiting(reads) }
        })
    }

    /// Completes one of the reads that wait, in the order of their start, with
    /// zeros or with an error.
    ///
    /// # Errors
    /// Returns `ENOENT` if there are fewer.
    pub fn complete(&self, number: u32, result: Result<(), Errno>) -> Result<(), Errno> {
        let reads = self.0.raw().ok_or(Errno::EBADF)?;
        // SAFETY: it is open.
        Errno::check(unsafe { bindings::kdk_reads_complete(reads, number, Errno::of(result)) })
    }
}

struct Filter;

// SAFETY: closing waits for the threads that are in the filter.
unsafe impl Kind for Filter {
    type Raw = *mut bindings::kdk_blocked;
    const WHAT: &'static str = "output filter";

    unsafe fn close(raw: Self::Raw) {
        // SAFETY: the caller promises that it is open.
        unsafe { bindings::kdk_blocked_close(raw) }
    }
}

/// A packet filter that lets the output of data of a TCP socket fail with
/// `EACCES` until it is dropped.
pub struct BlockedOutput {
    _filter: Handle<Filter>,
}

impl BlockedOutput {
    /// Blocks the output of a socket.
    ///
    /// # Errors
    /// Returns `EINVAL` if it is not a TCP socket.
    pub fn of(socket: &Descriptor) -> Result<Self, Errno> {
        let mut raw = core::ptr::null_mut();
        // SAFETY: the pointer is written during the call.
        Errno::check(unsafe { bindings::kdk_blocked_open(socket.number(), &raw mut raw) })?;
        // SAFETY: opened above, and closed by the handle alone.
        unsafe { Handle::new(raw) }.map(|filter| Self { _filter: filter })
    }
}

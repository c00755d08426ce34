//! malloc(9) with `M_WAITOK` and `M_ZERO`, which `Box` does not offer.

use super::bindings;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Returns `M_KDK`.
pub(super) fn kdk_type() -> *mut bindings::malloc_type {
    (&raw mut bindings::M_KDK).cast()
}

/// The name of the module's malloc type, as vmstat(8) prints it.
pub const TYPE: &str = "kdk";

/// A block of zeroed bytes.
#[derive(Debug)]
pub struct Zeroed {
    at: NonNull<u8>,
    len: usize,
}

impl Zeroed {
    /// Allocates a block. Sleeps until there is memory (`M_WAITOK`), so the
    /// caller must not own a lock.
    ///
    /// Returns `None` only if the kernel violates `M_WAITOK`.
    #[must_use]
    pub fn new(len: usize) -> Option<Self> {
        let flags = (bindings::M_WAITOK | bindings::M_ZERO).cast_signed();
        // SAFETY: the type is the module's own and initialised while loaded.
        let at = unsafe { bindings::kdk_malloc(len, kdk_type(), flags) };
        NonNull::new(at.cast()).map(|at| Self { at, len })
    }
}

impl Deref for Zeroed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block has `len` initialised bytes and no other owner.
        unsafe { core::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl DerefMut for Zeroed {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        // SAFETY: the block came from `kdk_malloc` with this type, once.
        unsafe { bindings::kdk_free(self.at.as_ptr().cast(), kdk_type()) }
    }
}

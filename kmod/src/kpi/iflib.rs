//! Hooks between iflib(9) and the driver: see `shim/kdk_iflib.h`.

use super::bindings;
use super::errno::Errno;
use super::interface::Interface;
use core::ffi::{c_int, c_void};

/// Waits until the receive tasks of all NICs are idle. Sleeps.
pub fn drain() {
    // SAFETY: may be called by any thread that can sleep.
    unsafe { bindings::kdk_iflib_drain() }
}

/// The identity of the context lock of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextLock(usize);

impl ContextLock {
    /// Returns the lock of an interface of iflib(9).
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface.
    pub fn of(interface: &Interface) -> Result<Self, Errno> {
        // SAFETY: the name is a C string.
        let channel = unsafe { bindings::kdk_iflib_lock_channel(interface.raw_name()) };
        if channel.is_null() {
            return Err(Errno::ENXIO);
        }
        Ok(Self(channel.addr()))
    }

    /// Returns the address on which threads that wait for the lock sleep.
    pub(super) const fn channel(self) -> *const c_void {
        core::ptr::without_provenance(self.0)
    }
}

/// A failure of the driver that no NIC can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`: the NIC has failed.
    Card,
    /// `EBADMSG` without the list of the buffers of the frame.
    Frame,
}

impl Failure {
    fn errno(self) -> c_int {
        let errno = match self {
            Self::Card => bindings::EIO,
            Self::Frame => bindings::EBADMSG,
        };
        c_int::try_from(errno).unwrap_or(c_int::MAX)
    }
}

/// A failure that will occur. Dropping it cancels the failure.
#[derive(Debug)]
pub struct InjectedError(());

impl InjectedError {
    /// Makes the driver fail at the `nth` next frame of this queue, from 1. There
    /// is one such failure at a time.
    #[must_use]
    pub fn inject(queue: u16, nth: u32, failure: Failure) -> Self {
        // SAFETY: takes numbers.
        unsafe { bindings::kdk_iflib_fail(queue.into(), nth, failure.errno()) };
        Self(())
    }
}

impl Drop for InjectedError {
    fn drop(&mut self) {
        // SAFETY: takes numbers.
        unsafe { bindings::kdk_iflib_fail(0, 0, 0) }
    }
}

//! Between iflib(9) and the driver: see `shim/kdk_iflib.h`.

use super::bindings;
use core::ffi::c_int;

/// Waits until the tasks that take frames from the rings of all cards have
/// nothing to do. Sleeps.
pub fn drain() {
    // SAFETY: waits only.
    unsafe { bindings::kdk_iflib_drain() }
}

/// What the driver says of a frame, which no card can make it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `EIO`: something is wrong with the card.
    Card,
    /// `EBADMSG`, but not which buffers the frame has.
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

/// A failure to come; it is called off when this is dropped.
#[derive(Debug)]
pub struct InjectedError(());

impl InjectedError {
    /// Has the driver fail at the `nth` frame, 1 for the next, that it takes
    /// from the ring of this queue. There is one at a time.
    #[must_use]
    pub fn inject(queue: u16, nth: u32, failure: Failure) -> Self {
        // SAFETY: sets numbers.
        unsafe { bindings::kdk_iflib_fail(queue.into(), nth, failure.errno()) };
        Self(())
    }
}

impl Drop for InjectedError {
    fn drop(&mut self) {
        // SAFETY: sets numbers.
        unsafe { bindings::kdk_iflib_fail(0, 0, 0) }
    }
}

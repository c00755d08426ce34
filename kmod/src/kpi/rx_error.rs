//! Errors of the receive path that no card can be made to have: see
//! `shim/kdk_rx_error.h`.

use super::bindings;
use core::ffi::c_int;

/// What the driver says of a frame.
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
pub struct Planned(());

impl Planned {
    /// Has the driver fail at the `nth` frame, 1 for the next, that it takes
    /// from the ring of this queue. There is one at a time.
    #[must_use]
    pub fn at(queue: u16, nth: u32, failure: Failure) -> Self {
        // SAFETY: sets numbers.
        unsafe { bindings::kdk_rx_error_set(queue.into(), nth, failure.errno()) };
        Self(())
    }
}

impl Drop for Planned {
    fn drop(&mut self) {
        // SAFETY: sets numbers.
        unsafe { bindings::kdk_rx_error_set(0, 0, 0) }
    }
}

//! Error numbers of errno(2).

use super::bindings;
use core::ffi::c_int;
use core::fmt;

/// An `errno(2)` value that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(c_int);

impl Errno {
    /// The error "Invalid argument".
    pub const EINVAL: Self = Self(bindings::EINVAL as c_int);
    /// The error "Device busy".
    pub const EBUSY: Self = Self(bindings::EBUSY as c_int);
    /// Device not configured.
    pub const ENXIO: Self = Self(bindings::ENXIO as c_int);
    /// Cannot allocate memory.
    pub const ENOMEM: Self = Self(bindings::ENOMEM as c_int);
    /// Resource temporarily unavailable.
    pub const EAGAIN: Self = Self(bindings::EAGAIN as c_int);
    /// Name too long; here, of a command.
    pub const ENAMETOOLONG: Self = Self(bindings::ENAMETOOLONG as c_int);
    /// Input/output error; here also of a NIC that does not work.
    #[cfg(any(sendfile_kqueue, ixgbe))]
    pub const EIO: Self = Self(bindings::EIO as c_int);
    /// Bad file descriptor.
    #[cfg(kqueue_copy)]
    pub const EBADF: Self = Self(bindings::EBADF as c_int);
    /// No buffer space available.
    #[cfg(any(sendfile_kqueue, ixgbe))]
    pub const ENOBUFS: Self = Self(bindings::ENOBUFS as c_int);
    /// Socket is not connected.
    #[cfg(sendfile_kqueue)]
    pub const ENOTCONN: Self = Self(bindings::ENOTCONN as c_int);
    /// The error "Broken pipe".
    #[cfg(sendfile_kqueue)]
    pub const EPIPE: Self = Self(bindings::EPIPE as c_int);
    /// Permission denied; here, by a packet filter.
    #[cfg(sendfile_kqueue)]
    pub const EACCES: Self = Self(bindings::EACCES as c_int);
    /// Connection reset by peer.
    #[cfg(sendfile_kqueue)]
    pub const ECONNRESET: Self = Self(bindings::ECONNRESET as c_int);
    /// No such file or directory; here, of a flow.
    #[cfg(flowtable)]
    pub const ENOENT: Self = Self(bindings::ENOENT as c_int);

    /// Converts the result of a C function: `Ok` for 0.
    pub(super) const fn check(value: c_int) -> Result<(), Self> {
        if value == 0 { Ok(()) } else { Err(Self(value)) }
    }

    /// Converts a result to the value that a C function returns.
    pub(super) fn of(result: Result<(), Self>) -> c_int {
        result.map_or_else(|errno| errno.0, |()| 0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

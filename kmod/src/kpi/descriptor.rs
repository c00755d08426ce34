//! Descriptors of the kernel process, which its threads share.

use super::bindings;
use super::errno::Errno;
use super::handle::{Handle, Kind};
use core::ffi::c_int;

/// A number that is not a descriptor.
pub const NO_DESCRIPTOR: c_int = -1;

/// The direction in which a connection is shut down.
#[cfg(sendfile_kqueue)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// No more input (`SHUT_RD`).
    Input,
    /// No more output (`SHUT_WR`).
    Output,
    /// No more of both (`SHUT_RDWR`).
    Both,
}

#[cfg(sendfile_kqueue)]
impl Direction {
    const fn raw(self) -> c_int {
        (match self {
            Self::Input => bindings::KDK_SHUT_INPUT,
            Self::Output => bindings::KDK_SHUT_OUTPUT,
            Self::Both => bindings::KDK_SHUT_BOTH,
        })
        .cast_signed()
    }
}

/// An open descriptor. Dropping it closes it.
pub struct Descriptor(Handle<Number>);

struct Number;

// SAFETY: a closed descriptor does nothing more for the test.
unsafe impl Kind for Number {
    type Raw = c_int;
    const WHAT: &'static str = "descriptor";

    unsafe fn close(number: c_int) {
        // SAFETY: takes a number. If close(2) fails the descriptor is closed
        // all the same.
        let _ = unsafe { bindings::kdk_fd_close(number) };
    }
}

impl Descriptor {
    pub(super) fn of(number: c_int) -> Result<Self, Errno> {
        // SAFETY: the kernel has just opened it for this call.
        unsafe { Handle::new(number) }.map(Self)
    }

    /// Makes a kqueue.
    ///
    /// # Errors
    /// Returns the kernel's error, or `EAGAIN` if the test has too many
    /// resources.
    pub fn kqueue() -> Result<Self, Errno> {
        Self::any_kqueue(false)
    }

    /// Makes a kqueue that fork(2) copies (`KQUEUE_CPONFORK`).
    ///
    /// # Errors
    /// Returns the errors of [`kqueue`](Self::kqueue).
    pub fn copied_kqueue() -> Result<Self, Errno> {
        Self::any_kqueue(true)
    }

    fn any_kqueue(copied_on_fork: bool) -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_kqueue(copied_on_fork.into(), &raw mut number) })?;
        Self::of(number)
    }

    /// Returns the descriptor's number, or [`NO_DESCRIPTOR`] once it is closed.
    pub(super) fn number(&self) -> c_int {
        self.0.raw().unwrap_or(NO_DESCRIPTOR)
    }
}

#[cfg(sendfile_kqueue)]
impl Descriptor {
    fn two(numbers: [c_int; 2]) -> Result<(Self, Self), Errno> {
        let [one, other] = numbers.map(Self::of);
        Ok((one?, other?))
    }

    /// Makes two connected stream sockets of unix(4).
    ///
    /// # Errors
    /// Returns the kernel's error, or `EAGAIN` if the test has too many
    /// resources.
    pub fn unix_pair() -> Result<(Self, Self), Errno> {
        let mut numbers = [-1; 2];
        // SAFETY: there is room for two.
        Errno::check(unsafe { bindings::kdk_fd_unix_pair(numbers.as_mut_ptr()) })?;
        Self::two(numbers)
    }

    /// Makes two sockets with a TCP connection over lo0.
    ///
    /// # Errors
    /// Returns the errors of [`unix_pair`](Self::unix_pair).
    pub fn tcp_pair() -> Result<(Self, Self), Errno> {
        let mut numbers = [-1; 2];
        // SAFETY: there is room for two.
        Errno::check(unsafe { bindings::kdk_fd_tcp_pair(numbers.as_mut_ptr()) })?;
        Self::two(numbers)
    }

    /// Makes a TCP socket that listens on lo0.
    ///
    /// # Errors
    /// Returns the errors of [`unix_pair`](Self::unix_pair).
    pub fn tcp_listener() -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_tcp_listener(&raw mut number) })?;
        Self::of(number)
    }

    /// Makes an anonymous shared memory object of `length` bytes.
    ///
    /// # Errors
    /// Returns the errors of [`unix_pair`](Self::unix_pair).
    pub fn shared_memory(length: usize) -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_shared_memory(length, &raw mut number) })?;
        Self::of(number)
    }

    /// Makes a stream socket of unix(4).
    ///
    /// # Errors
    /// Returns the errors of [`unix_pair`](Self::unix_pair).
    pub fn unix() -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_unix(&raw mut number) })?;
        Self::of(number)
    }

    /// Connects a socket of unix(4) to a new one, which is returned.
    ///
    /// # Errors
    /// Returns the kernel's error, or `EAGAIN` if the test has too many
    /// resources.
    pub fn connect_unix(&self) -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_unix_connect(self.number(), &raw mut number) })?;
        Self::of(number)
    }

    /// Shuts a connection down, see shutdown(2).
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub fn shut_down(&self, how: Direction) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::check(unsafe { bindings::kdk_fd_shutdown(self.number(), how.raw()) })
    }

    /// Takes the pending error of a socket (`SO_ERROR`).
    ///
    /// # Errors
    /// Returns the error of getsockopt(2) itself.
    pub fn take_error(&self) -> Result<Option<Errno>, Errno> {
        let mut error = 0;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_error(self.number(), &raw mut error) })?;
        Ok(Errno::check(error).err())
    }

    /// Sends bytes without waiting.
    ///
    /// # Errors
    /// Returns the error of send(2).
    pub fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        // SAFETY: the bytes are read during the call.
        Errno::check(unsafe {
            bindings::kdk_fd_send(self.number(), bytes.as_ptr().cast(), bytes.len())
        })
    }

    /// Sends another descriptor over unix(4), with a byte.
    ///
    /// # Errors
    /// Returns the error of sendmsg(2).
    pub fn send_descriptor(&self, other: &Self) -> Result<(), Errno> {
        // SAFETY: takes numbers.
        Errno::check(unsafe { bindings::kdk_fd_send_descriptor(self.number(), other.number()) })
    }

    /// Receives bytes without waiting, and returns how many: 0 at the end.
    ///
    /// # Errors
    /// Returns the error of recv(2).
    pub fn receive(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let mut length = 0;
        // SAFETY: at most the buffer's room is written.
        Errno::check(unsafe {
            bindings::kdk_fd_receive(
                self.number(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                &raw mut length,
            )
        })?;
        Ok(length)
    }
}

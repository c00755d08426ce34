//! Descriptors of the kernel's own process, which its threads have.

use super::bindings;
use super::errno::Errno;
use super::resource::{Registration, Stop};
use alloc::boxed::Box;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

/// An open descriptor. Dropping it closes it.
pub struct Descriptor {
    registration: Option<Registration>,
    shared: Box<Shared>,
}

struct Shared {
    number: c_int,
    closed: AtomicBool,
}

// SAFETY: a closed descriptor does nothing more in the test's name.
unsafe impl Stop for Shared {
    const WHAT: &'static str = "descriptor";

    fn stop(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            // SAFETY: a number. An error of close(2) leaves nothing open.
            let _ = unsafe { bindings::kdk_fd_close(self.number) };
        }
    }
}

impl Descriptor {
    fn of(number: c_int) -> Result<Self, Errno> {
        let shared = Box::new(Shared {
            number,
            closed: AtomicBool::new(false),
        });
        // SAFETY: `shared` is freed after the registration, see `drop`.
        let registration = unsafe { Registration::new(&raw const *shared) };
        match registration {
            Ok(registration) => Ok(Self {
                registration: Some(registration),
                shared,
            }),
            Err(errno) => {
                shared.stop();
                Err(errno)
            }
        }
    }

    fn two(numbers: [c_int; 2]) -> Result<(Self, Self), Errno> {
        let [one, other] = numbers.map(Self::of);
        Ok((one?, other?))
    }

    /// Two connected stream sockets of unix(4).
    ///
    /// # Errors
    /// What the kernel said, or `EAGAIN` when the test has too many resources.
    pub fn unix_pair() -> Result<(Self, Self), Errno> {
        let mut numbers = [-1; 2];
        // SAFETY: there is room for two.
        Errno::check(unsafe { bindings::kdk_fd_unix_pair(numbers.as_mut_ptr()) })?;
        Self::two(numbers)
    }

    /// Two sockets connected by TCP over lo0.
    ///
    /// # Errors
    /// As for [`unix_pair`](Self::unix_pair).
    pub fn tcp_pair() -> Result<(Self, Self), Errno> {
        let mut numbers = [-1; 2];
        // SAFETY: there is room for two.
        Errno::check(unsafe { bindings::kdk_fd_tcp_pair(numbers.as_mut_ptr()) })?;
        Self::two(numbers)
    }

    /// A TCP socket on lo0 that listens.
    ///
    /// # Errors
    /// As for [`unix_pair`](Self::unix_pair).
    pub fn tcp_listener() -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_tcp_listener(&raw mut number) })?;
        Self::of(number)
    }

    /// Shared memory without a name, `length` bytes.
    ///
    /// # Errors
    /// As for [`unix_pair`](Self::unix_pair).
    pub fn shared_memory(length: usize) -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_shared_memory(length, &raw mut number) })?;
        Self::of(number)
    }

    /// A kqueue.
    ///
    /// # Errors
    /// As for [`unix_pair`](Self::unix_pair).
    pub fn kqueue() -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_fd_kqueue(&raw mut number) })?;
        Self::of(number)
    }

    /// Ends a connection in both directions.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn shut_down(&self) -> Result<(), Errno> {
        // SAFETY: a number.
        Errno::check(unsafe { bindings::kdk_fd_shutdown(self.number()) })
    }

    pub(super) fn number(&self) -> c_int {
        self.shared.number
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.shared.stop();
        self.registration = None;
    }
}

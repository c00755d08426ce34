//! The entry points of `/dev/kdk` that the C half calls.

use super::errno::Errno;
use super::{bindings, module};
use crate::dev_kdk::Session;
use alloc::boxed::Box;
use core::ffi::{c_int, c_void};

/// The operations of one open descriptor. Several threads may call them at
/// once.
pub trait Device: Sized + Sync {
    /// Handles a call of open(2).
    ///
    /// # Errors
    /// Returns the error of open(2).
    fn open() -> Result<Self, Errno>;

    /// Handles a call of read(2).
    ///
    /// # Errors
    /// Returns the error of read(2).
    fn read(&self, user: &mut Uio<'_>) -> Result<(), Errno>;

    /// Handles a call of write(2).
    ///
    /// # Errors
    /// Returns the error of write(2).
    fn write(&self, user: &mut Uio<'_>) -> Result<(), Errno>;
}

/// The user memory of one read(2) or write(2), see uio(9).
pub struct Uio<'a>(&'a mut bindings::uio);

impl Uio<'_> {
    /// Returns the number of bytes that remain to be transferred.
    #[must_use]
    pub fn resid(&self) -> usize {
        // SAFETY: the uio is the kernel's and valid during the call.
        usize::try_from(unsafe { bindings::kdk_uio_resid(self.0) }).unwrap_or(0)
    }

    /// Copies bytes to user memory, as many as there is room for. Returns their
    /// number.
    ///
    /// # Errors
    /// Returns `EFAULT` for a bad address.
    pub fn copy_out(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let count = bytes.len().min(self.resid());
        // SAFETY: uiomove(9) reads `count` bytes, the uio being one of read(2).
        unsafe { self.transfer(bytes.as_ptr().cast_mut(), count) }
    }

    /// Copies bytes from user memory to the start of `bytes`. Returns their
    /// number.
    ///
    /// # Errors
    /// Returns `EFAULT` for a bad address.
    pub fn copy_in(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let count = bytes.len().min(self.resid());
        // SAFETY: uiomove(9) writes `count` bytes at most.
        unsafe { self.transfer(bytes.as_mut_ptr(), count) }
    }

    unsafe fn transfer(&mut self, at: *mut u8, count: usize) -> Result<usize, Errno> {
        let count = count.min(c_int::MAX as usize);
        let len = c_int::try_from(count).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the caller guarantees that `at` has `count` bytes.
        Errno::check(unsafe { bindings::uiomove(at.cast(), len, self.0) })?;
        Ok(count)
    }
}

#[unsafe(no_mangle)]
extern "C" fn kdk_dev_open(session: *mut *mut c_void) -> c_int {
    let opened = module::enter().and_then(|()| Session::open().inspect_err(|_| module::leave()));
    Errno::of(opened.map(|opened| {
        // SAFETY: the shim passes a place for the pointer.
        unsafe { session.write(Box::into_raw(Box::new(opened)).cast()) }
    }))
}

#[unsafe(no_mangle)]
extern "C" fn kdk_dev_close(session: *mut c_void) {
    // SAFETY: `kdk_dev_open` made the box; the kernel returns it once, when no
    // call uses it.
    drop(unsafe { Box::from_raw(session.cast::<Session>()) });
    module::leave();
}

#[unsafe(no_mangle)]
extern "C" fn kdk_dev_read(session: *mut c_void, user: *mut bindings::uio) -> c_int {
    // SAFETY: both are valid during the call, and nothing else uses the uio.
    let (session, user) = unsafe { (&*session.cast::<Session>(), &mut *user) };
    Errno::of(session.read(&mut Uio(user)))
}

#[unsafe(no_mangle)]
extern "C" fn kdk_dev_write(session: *mut c_void, user: *mut bindings::uio) -> c_int {
    // SAFETY: as in `kdk_dev_read`.
    let (session, user) = unsafe { (&*session.cast::<Session>(), &mut *user) };
    Errno::of(session.write(&mut Uio(user)))
}

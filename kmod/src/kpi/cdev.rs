//! `/dev/kdk`, as far as it takes pointers.

use super::errno::Errno;
use super::{bindings, module};
use crate::dev_kdk::Session;
use alloc::boxed::Box;
use core::ffi::{c_int, c_void};

/// What the device does for one open descriptor. Calls may come from several
/// threads at once.
pub trait Device: Sized + Sync {
    /// A new descriptor.
    ///
    /// # Errors
    /// What open(2) is to say.
    fn open() -> Result<Self, Errno>;

    /// read(2).
    ///
    /// # Errors
    /// What read(2) is to say.
    fn read(&self, user: &mut Uio<'_>) -> Result<(), Errno>;

    /// write(2).
    ///
    /// # Errors
    /// What write(2) is to say.
    fn write(&self, user: &mut Uio<'_>) -> Result<(), Errno>;
}

/// The user's side of one read(2) or write(2).
pub struct Uio<'a>(&'a mut bindings::uio);

impl Uio<'_> {
    /// Bytes the user still offers or has room for.
    #[must_use]
    pub fn resid(&self) -> usize {
        // SAFETY: the kernel's, for the time of the call.
        usize::try_from(unsafe { bindings::kdk_uio_resid(self.0) }).unwrap_or(0)
    }

    /// Copies bytes to the user, as many as there is room for; says how many.
    ///
    /// # Errors
    /// `EFAULT` for a bad address.
    pub fn copy_out(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let count = bytes.len().min(self.resid());
        // SAFETY: uiomove(9) reads `count` bytes, the uio being one of read(2).
        unsafe { self.transfer(bytes.as_ptr().cast_mut(), count) }
    }

    /// Fills the start of `bytes` from the user; says how many came.
    ///
    /// # Errors
    /// `EFAULT` for a bad address.
    pub fn copy_in(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let count = bytes.len().min(self.resid());
        // SAFETY: uiomove(9) writes `count` bytes at most.
        unsafe { self.transfer(bytes.as_mut_ptr(), count) }
    }

    unsafe fn transfer(&mut self, at: *mut u8, count: usize) -> Result<usize, Errno> {
        let count = count.min(c_int::MAX as usize);
        let len = c_int::try_from(count).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the caller's.
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
    // SAFETY: `kdk_dev_open` made the box; the kernel gives it back once, when
    // no call that uses it is under way.
    drop(unsafe { Box::from_raw(session.cast::<Session>()) });
    module::leave();
}

#[unsafe(no_mangle)]
extern "C" fn kdk_dev_read(session: *mut c_void, user: *mut bindings::uio) -> c_int {
    // SAFETY: both live for the time of the call, the uio for us alone.
    let (session, user) = unsafe { (&*session.cast::<Session>(), &mut *user) };
    Errno::of(session.read(&mut Uio(user)))
}

#[unsafe(no_mangle)]
extern "C" fn kdk_dev_write(session: *mut c_void, user: *mut bindings::uio) -> c_int {
    // SAFETY: as in `kdk_dev_read`.
    let (session, user) = unsafe { (&*session.cast::<Session>(), &mut *user) };
    Errno::of(session.write(&mut Uio(user)))
}

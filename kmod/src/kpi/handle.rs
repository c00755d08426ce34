//! Kernel objects that are opened and closed: descriptors, taps, packet
//! filters.

use super::errno::Errno;
use super::resource::{Registration, Stop};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

/// A kind of kernel object.
///
/// # Safety
/// [`close`](Self::close) has to keep the promise of [`Stop::stop`]: after it
/// returns nothing of the object runs.
pub(super) unsafe trait Kind {
    /// The value that names an object in calls to C: a pointer or a number.
    type Raw: Copy;
    /// The name of the kind in a leak report, such as "tap".
    const WHAT: &'static str;
    /// Closes an object. May sleep.
    ///
    /// # Safety
    /// The object is open, and nothing uses it afterwards.
    unsafe fn close(raw: Self::Raw);
}

struct Open<K: Kind> {
    raw: K::Raw,
    closed: AtomicBool,
}

// SAFETY: `Kind` promises this of `close`, which is called once.
unsafe impl<K: Kind> Stop for Open<K> {
    const WHAT: &'static str = K::WHAT;

    fn stop(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            // SAFETY: the object is open: `closed` was not set.
            unsafe { K::close(self.raw) }
        }
    }
}

/// An open object. It is closed when it is dropped, or when its test ends.
pub(super) struct Handle<K: Kind> {
    registration: Option<Registration>,
    open: Box<Open<K>>,
}

impl<K: Kind> Handle<K> {
    /// Takes an open object over.
    ///
    /// # Errors
    /// Returns `EAGAIN` if the test has too many resources already; the object
    /// is closed then.
    ///
    /// # Safety
    /// The object is open, and nothing else closes it.
    pub(super) unsafe fn new(raw: K::Raw) -> Result<Self, Errno> {
        let open = Box::new(Open {
            raw,
            closed: AtomicBool::new(false),
        });
        // SAFETY: the content of a box does not move, and `drop` removes the
        // registration first.
        let registration = unsafe { Registration::new(&raw const *open) };
        let registration = registration.inspect_err(|_| open.stop())?;
        Ok(Self {
            registration: Some(registration),
            open,
        })
    }

    /// Returns the object while it is open.
    pub(super) fn raw(&self) -> Option<K::Raw> {
        (!self.open.closed.load(Ordering::SeqCst)).then_some(self.open.raw)
    }
}

impl<K: Kind> Drop for Handle<K> {
    fn drop(&mut self) {
        self.open.stop();
        self.registration = None;
    }
}

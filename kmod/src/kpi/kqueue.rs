//! Kqueues, and a file whose knotes stop threads where the test says: see
//! `shim/kdk_kqueue.h`.

use super::bindings;
use super::descriptor::Descriptor;
use super::errno::Errno;
use super::handle::{Handle, Kind};
use core::ffi::{c_int, c_long, c_uint};
use core::time::Duration;

/// A place where a thread can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A dump for `kern.proc.kq` that shows a knote.
    Dump,
    /// A copy of a knote, which fork(2) makes.
    Copy,
    /// An event that is posted to a knote, whose list is locked.
    Event,
    /// The removal of a knote, before it leaves its list.
    Detach,
    /// The lock of the list, before it is locked.
    Lock,
    /// The lock of the list, after it was unlocked.
    Unlock,
}

impl Place {
    const fn raw(self) -> c_int {
        (match self {
            Self::Dump => bindings::KDK_STOP_DUMP,
            Self::Copy => bindings::KDK_STOP_COPY,
            Self::Event => bindings::KDK_STOP_EVENT,
            Self::Detach => bindings::KDK_STOP_DETACH,
            Self::Lock => bindings::KDK_STOP_LOCK,
            Self::Unlock => bindings::KDK_STOP_UNLOCK,
        })
        .cast_signed()
    }
}

/// When a knote's event is removed from the kqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// When it is taken; the knote stays (`EV_CLEAR`).
    Clear,
    /// When it is taken, and the knote too (`EV_ONESHOT`).
    OneShot,
}

struct File;

// SAFETY: closing removes the knotes, and so waits for the threads that use
// them, none of which is stopped any more.
unsafe impl Kind for File {
    type Raw = c_int;
    const WHAT: &'static str = "file with knotes";

    unsafe fn close(number: c_int) {
        // SAFETY: takes a number.
        unsafe { bindings::kdk_knotes_close(number) }
    }
}

/// A file with knotes of `EVFILT_READ`. A test has one at a time.
pub struct Subject(Handle<File>);

impl Subject {
    /// Makes the file. No thread is stopped anywhere.
    ///
    /// # Errors
    /// Returns the kernel's error, or `EAGAIN` if the test has too many
    /// resources.
    pub fn new() -> Result<Self, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe { bindings::kdk_knotes_open(&raw mut number) })?;
        // SAFETY: opened above, and closed by the handle alone.
        unsafe { Handle::new(number) }.map(Self)
    }

    /// Duplicates the file's descriptor to a number that is not below `least`.
    ///
    /// # Errors
    /// Returns the errors of [`new`](Self::new).
    pub fn duplicate_from(&self, least: i32) -> Result<Descriptor, Errno> {
        let mut number = -1;
        // SAFETY: the number is written during the call.
        Errno::check(unsafe {
            bindings::kdk_fd_duplicate(self.number()?, least, &raw mut number)
        })?;
        Descriptor::of(number)
    }

    /// Adds a knote of the file to a kqueue.
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub fn watch(&self, queue: &Descriptor, kept: Kept) -> Result<(), Errno> {
        watch(queue, self.number()?, kept)
    }

    /// Removes the knote from a kqueue (`EV_DELETE`).
    ///
    /// # Errors
    /// Returns the kernel's error.
    pub fn unwatch(&self, queue: &Descriptor) -> Result<(), Errno> {
        change(queue, self.number()?, bindings::EV_DELETE)
    }

    /// Stops the next `threads` threads that come to a place.
    pub fn stop_next(&self, place: Place, threads: u32) {
        // SAFETY: takes numbers.
        unsafe { bindings::kdk_stop_next(place.raw(), threads) }
    }

    /// Returns how many threads have come to a place since
    /// [`stop_next`](Self::stop_next).
    #[must_use]
    pub fn came(&self, place: Place) -> u32 {
        // SAFETY: takes a number.
        unsafe { bindings::kdk_stop_came(place.raw()) }
    }

    /// Waits until this many threads have come to a place.
    pub fn wait_for(&self, place: Place, threads: u32) {
        // SAFETY: this thread can sleep.
        unsafe { bindings::kdk_stop_wait(place.raw(), threads) }
    }

    /// Lets the thread go on that was stopped first.
    pub fn release(&self, place: Place) {
        // SAFETY: takes a number.
        unsafe { bindings::kdk_stop_release(place.raw()) }
    }

    /// Adds to the data of all knotes, as knote(9) with the kqueue locked.
    pub fn post(&self, data: c_long) {
        // SAFETY: the list of knotes exists as long as the file.
        unsafe { bindings::kdk_knotes_post(data, 1) }
    }

    /// Adds to the data of all knotes without the kqueue's lock, as for vnodes
    /// (`KNF_NOKQLOCK`).
    pub fn post_unlocked(&self, data: c_long) {
        // SAFETY: the list of knotes exists as long as the file.
        unsafe { bindings::kdk_knotes_post(data, 0) }
    }

    /// Removes all knotes from the list, see knlist_clear(9).
    pub fn clear(&self) {
        // SAFETY: this thread can sleep.
        unsafe { bindings::kdk_knotes_clear() }
    }

    /// Does the same as [`clear`](Self::clear). The newest knote of the file is
    /// being dumped, and its dump is stopped; it goes on, and leaves the knote,
    /// when this has found the knote in use and looks at the next one.
    pub fn clear_as_dump_ends(&self) {
        // SAFETY: this thread can sleep.
        unsafe { bindings::kdk_knotes_clear_as_dump_ends() }
    }

    /// Counts the knotes on the list.
    #[must_use]
    pub fn knotes(&self) -> c_uint {
        // SAFETY: this thread can sleep.
        unsafe { bindings::kdk_knotes_count() }
    }

    fn number(&self) -> Result<c_int, Errno> {
        self.0.raw().ok_or(Errno::EBADF)
    }
}

/// Adds a knote of another descriptor of the [`Subject`].
///
/// # Errors
/// Returns the kernel's error.
pub fn watch_descriptor(queue: &Descriptor, of: &Descriptor, kept: Kept) -> Result<(), Errno> {
    watch(queue, of.number(), kept)
}

fn watch(queue: &Descriptor, number: c_int, kept: Kept) -> Result<(), Errno> {
    let kept = match kept {
        Kept::Clear => bindings::EV_CLEAR,
        Kept::OneShot => bindings::EV_ONESHOT,
    };
    change(queue, number, bindings::EV_ADD | kept)
}

fn change(queue: &Descriptor, number: c_int, flags: c_uint) -> Result<(), Errno> {
    // SAFETY: takes numbers.
    Errno::check(unsafe { bindings::kdk_knotes_change(queue.number(), number, flags) })
}

/// Copies a kqueue as fork(2) does.
///
/// # Errors
/// Returns the kernel's error, or `EAGAIN` if the test has too many resources.
pub fn fork(queue: &Descriptor) -> Result<Descriptor, Errno> {
    let mut number = -1;
    // SAFETY: the number is written during the call.
    Errno::check(unsafe { bindings::kdk_kqueue_fork(queue.number(), &raw mut number) })?;
    Descriptor::of(number)
}

/// Reads `kern.proc.kq` of the kernel process, and returns the number of knotes
/// in it.
///
/// # Errors
/// Returns the kernel's error.
pub fn dump() -> Result<u32, Errno> {
    let mut knotes = 0;
    // SAFETY: the number is written during the call.
    Errno::check(unsafe { bindings::kdk_kqueue_dump(&raw mut knotes) })?;
    Ok(knotes)
}

/// Takes an event that is pending, and returns its data.
///
/// # Errors
/// Returns the error of kevent(2).
pub fn take(queue: &Descriptor) -> Result<Option<i64>, Errno> {
    Ok(take_raw(queue, Duration::ZERO)?.map(|event| event.data))
}

/// Takes an event. Waits for up to `limit`.
pub(super) fn take_raw(
    queue: &Descriptor,
    limit: Duration,
) -> Result<Option<bindings::kdk_event>, Errno> {
    let mut event = bindings::kdk_event {
        ident: 0,
        udata: 0,
        data: 0,
        fflags: 0,
        filter: 0,
    };
    let mut count = 0;
    let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    // SAFETY: both are written during the call only.
    Errno::check(unsafe {
        bindings::kdk_kqueue_take(queue.number(), limit, &raw mut event, &raw mut count)
    })?;
    Ok((count != 0).then_some(event))
}

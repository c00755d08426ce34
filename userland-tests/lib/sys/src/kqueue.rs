//! kqueue(2) with call 363, whose `kevent` both generations of kernels know.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd, adopted};
use crate::process::Pid;
use crate::raw::{call, number, plain};
use crate::sysctl;
use crate::time::{Deadline, TimeSpec};
use alloc::vec;
use alloc::vec::Vec;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Filter {
    /// Something can be read.
    Read = -1,
    /// Something can be written.
    Write = -2,
    /// Something happens to a file.
    Vnode = -4,
    /// Events of a process.
    Process = -5,
    /// A signal to this process, even an ignored one.
    Signal = -6,
    /// Events of a timer.
    Timer = -7,
    /// The program itself.
    User = -11,
    /// The pages of a sendfile(2) are no longer needed.
    Sendfile = -12,
}

/// Add the event.
pub const EV_ADD: u16 = 0x1;
/// Removes the event.
pub const EV_DELETE: u16 = 0x2;
/// Reports the change's result.
pub const EV_ENABLE: u16 = 0x4;
/// Keep it without reporting it.
pub const EV_DISABLE: u16 = 0x8;
/// Remove it when it was reported.
pub const EV_ONESHOT: u16 = 0x10;
/// Start over when it was reported.
pub const EV_CLEAR: u16 = 0x20;
/// Answer the change with an `EV_ERROR` event, error or not.
pub const EV_RECEIPT: u16 = 0x40;
/// Disable it when it was reported.
pub const EV_DISPATCH: u16 = 0x80;
/// The answer to a change; `data` is its error number.
pub const EV_ERROR: u16 = 0x4000;
/// The other side has ended.
pub const EV_EOF: u16 = 0x8000;

/// [`Filter::Vnode`]: it was written to.
pub const NOTE_WRITE: u32 = 0x2;
/// [`Filter::Process`]: it ended; `data` is its wait status.
pub const NOTE_EXIT: u32 = 0x8000_0000;
/// [`Filter::User`]: let it happen.
pub const NOTE_TRIGGER: u32 = 0x0100_0000;
/// [`Filter::User`]: replace the flags of the event by these.
pub const NOTE_FFCOPY: u32 = 0xc000_0000;

/// A `struct kevent` of FreeBSD 11 and before.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Descriptor, process, or a number of the program's.
    pub ident: usize,
    filter: i16,
    /// The flags `EV_*`.
    pub flags: u16,
    /// `NOTE_*`, as the filter has them.
    pub fflags: u32,
    /// As the filter has it: bytes, milliseconds, times, an error number.
    pub data: i64,
    /// The program's own.
    pub udata: usize,
}

/// No change, and no event.
pub const NOTHING: Event = Event {
    ident: 0,
    filter: 0,
    flags: 0,
    fflags: 0,
    data: 0,
    udata: 0,
};

impl Event {
    /// A change or an expected event; the other fields are 0.
    #[must_use]
    pub const fn new(ident: usize, filter: Filter, flags: u16) -> Self {
        Self {
            ident,
            filter: filter as i16,
            flags,
            ..NOTHING
        }
    }

    /// A change for a descriptor.
    #[must_use]
    pub fn on(descriptor: &impl Descriptor, filter: Filter, flags: u16) -> Self {
        Self::new(descriptor.raw() as usize, filter, flags)
    }

    /// The same with these flags.
    #[must_use]
    pub const fn with_flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    /// The same with these flags of the filter.
    #[must_use]
    pub const fn with_fflags(self, fflags: u32) -> Self {
        Self { fflags, ..self }
    }

    /// The same with this data.
    #[must_use]
    pub const fn with_data(self, data: i64) -> Self {
        Self { data, ..self }
    }

    /// The same with this of the program's own.
    #[must_use]
    pub const fn with_udata(self, udata: usize) -> Self {
        Self { udata, ..self }
    }

    /// Whether the event is of this filter.
    #[must_use]
    pub const fn is(&self, filter: Filter) -> bool {
        self.filter == filter as i16
    }
}

/// A kernel event queue.
#[derive(Debug)]
pub struct Kqueue(Fd);

impl Descriptor for Kqueue {
    fn raw(&self) -> i32 {
        self.0.raw()
    }
}

impl Kqueue {
    /// kqueuex(2) with `KQUEUE_CPONFORK`: fork(2) copies it. FreeBSD 15.
    ///
    /// # Errors
    /// Those of kqueuex(2).
    pub fn copied_on_fork() -> Result<Self> {
        const KQUEUE_CPONFORK: i64 = 2;
        // SAFETY: no addresses.
        unsafe { plain(number::KQUEUEX, [KQUEUE_CPONFORK]) }.map(|fd| Self(adopted(fd)))
    }

    /// Calls kqueue(2).
    ///
    /// # Errors
    /// Those of kqueue(2).
    pub fn new() -> Result<Self> {
        // SAFETY: no addresses.
        unsafe { plain(number::KQUEUE, []) }.map(|fd| Self(adopted(fd)))
    }

    /// Makes changes and waits for nothing.
    ///
    /// # Errors
    /// Those of kevent(2), the first change's that could not be made.
    pub fn change(&self, changes: &[Event]) -> Result<()> {
        self.kevent(changes, &mut [], Some(0)).map(drop)
    }

    /// Makes changes, then waits for events, `room` of them at most; none when
    /// the deadline passed.
    ///
    /// # Errors
    /// Those of kevent(2).
    pub fn wait(&self, changes: &[Event], room: usize, deadline: Deadline) -> Result<Vec<Event>> {
        let mut events = vec![NOTHING; room];
        let count = self.wait_in(changes, &mut events, deadline)?;
        events.truncate(count);
        Ok(events)
    }

    /// The same with room of the caller's: how many events there are.
    ///
    /// # Errors
    /// Those of kevent(2).
    pub fn wait_in(
        &self,
        changes: &[Event],
        events: &mut [Event],
        deadline: Deadline,
    ) -> Result<usize> {
        let mut changes = changes;
        loop {
            match self.kevent(changes, events, deadline.left_ms()) {
                // The changes have been made.
                Err(Errno::EINTR) => changes = &[],
                done => return done,
            }
        }
    }

    /// Events that are there already, `room` of them at most.
    ///
    /// # Errors
    /// Those of kevent(2).
    pub fn ready(&self, room: usize) -> Result<Vec<Event>> {
        self.wait(&[], room, Deadline::after_ms(0))
    }

    fn kevent(&self, changes: &[Event], events: &mut [Event], ms: Option<u64>) -> Result<usize> {
        let time = ms.map(TimeSpec::from_ms);
        let time = time.as_ref().map_or(0, |time| &raw const *time as usize);
        let arguments = [
            self.0.raw() as usize,
            changes.as_ptr() as usize,
            changes.len(),
            events.as_mut_ptr() as usize,
            events.len(),
            time,
        ];
        // SAFETY: the kernel reads the changes and the time and writes to
        // `events`, all with their true lengths.
        unsafe { call(number::KEVENT, &arguments) }
    }
}

/// An event that is registered in a kqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The kqueue's descriptor.
    pub kqueue: i32,
    /// The event as it would be reported now.
    pub event: Event,
    /// `KNOTE_STATUS_*`: 1 active, 2 queued, 4 disabled, 8 detached.
    pub status: i32,
}

/// Bytes of a `struct kinfo_knote`; where its `kevent` is.
const KNOTE: usize = 1160;
const KNOTE_EVENT: usize = 8;

/// The events in all kqueues of a process, as procstat(1) shows them
/// (`kern.proc.kq`).
///
/// # Errors
/// Those of sysctl(3); `ENOENT` on kernels that do not have it.
pub fn registered(process: Pid) -> Result<Vec<Registered>> {
    let bytes = sysctl::bytes_of("kern.proc.kq", &[process.0])?;
    let (records, rest) = bytes.as_chunks::<KNOTE>();
    match (records.iter().map(knote).collect(), rest) {
        (Some(knotes), []) => Ok(knotes),
        _ => Err(Errno::EBADMSG),
    }
}

fn knote(record: &[u8; KNOTE]) -> Option<Registered> {
    let long = |at: usize| {
        let bytes = record.get(KNOTE_EVENT + at..)?.first_chunk()?;
        Some(i64::from_le_bytes(*bytes))
    };
    // The filter, the flags and the flags of the filter.
    let kind = long(8)?;
    Some(Registered {
        kqueue: i32::from_le_bytes(*record.first_chunk()?),
        event: Event {
            ident: long(0)? as usize,
            filter: kind as i16,
            flags: (kind >> 16) as u16,
            fflags: (kind >> 32) as u32,
            data: long(16)?,
            udata: long(24)? as usize,
        },
        status: long(64)? as i32,
    })
}

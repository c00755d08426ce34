//! sendfile(2) with SF_KQUEUE, its events, and the mbufs it makes.

use super::bindings;
use super::descriptor::{Descriptor, NO_DESCRIPTOR};
use super::errno::Errno;
use super::mbuf::Mbuf;
use core::ffi::{c_int, c_uint};
use core::ptr::{NonNull, null};
use core::time::Duration;

/// Bytes in one page.
pub const PAGE: usize = bindings::PAGE_SIZE as usize;

/// An event flag that a program may not give here.
pub const EV_ADD: u32 = bindings::EV_ADD;

/// Sleeps until the pages are free; not together with SF_KQUEUE.
pub const SF_SYNC: u32 = bindings::SF_SYNC;

/// A step of the call that is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `pr_sendfile_wait()`, which looks for space.
    Wait,
    /// `pr_send()`.
    Send,
    /// `pr_sosend()`, which sends the trailers.
    Trailer,
}

/// That step, after so many times that it went well, fails so.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which one.
    pub step: Step,
    /// How often it goes well before.
    pub passes: u32,
    /// With what.
    pub error: Errno,
}

/// One call: from the start of `file`, with an event on `queue`.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What is sent.
    pub file: &'a Descriptor,
    /// Where.
    pub socket: &'a Descriptor,
    /// Where the event goes; `None` for a number that is no descriptor.
    pub queue: Option<&'a Descriptor>,
    /// The event's identifier; its udata is the negation.
    pub ident: usize,
    /// `EV_*` for the event.
    pub event_flags: u32,
    /// `SF_*` besides `SF_KQUEUE`.
    pub flags: u32,
    /// Bytes.
    pub length: usize,
    /// Bytes behind those of the file.
    pub trailer: Option<&'static [u8]>,
    /// Bytes that go to the socket at a time, at most; 0 for any number.
    pub space: usize,
    /// What goes wrong. Of two calls at once only one may have a fault, a
    /// limit of its space, or pages that are being read.
    pub fault: Option<Fault>,
    /// Whether its pages are still being read when the call returns, until
    /// [`pages_read`].
    pub reading: bool,
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes, headers and trailers included.
    pub bytes: i64,
    /// What it returned.
    pub result: Result<(), Errno>,
}

impl Request<'_> {
    /// Calls the file's `fo_sendfile()`, as sendfile(2) does.
    #[must_use]
    pub fn send(&self) -> Sent {
        let trailer = self.trailer.unwrap_or_default();
        let fault = self.fault;
        let mut call = bindings::kdk_sendfile {
            file: self.file.number(),
            socket: self.socket.number(),
            queue: self.queue.map_or(NO_DESCRIPTOR, Descriptor::number),
            flags: self.flags.cast_signed(),
            ident: self.ident,
            event_flags: self.event_flags,
            length: self.length,
            trailer: self.trailer.map_or(null(), |bytes| bytes.as_ptr().cast()),
            trailer_length: trailer.len(),
            space: c_int::try_from(self.space).unwrap_or(c_int::MAX),
            step: step(fault).cast_signed(),
            passes: fault.map_or(0, |fault| fault.passes),
            error: fault.map_or(0, |fault| Errno::of(Err(fault.error))),
            reading: c_int::from(self.reading),
            sent: 0,
        };
        // SAFETY: the descriptors are open, or no descriptors; the trailer is
        // there for ever; `call` is used during the call only.
        let result = Errno::check(unsafe { bindings::kdk_sendfile(&raw mut call) });
        Sent {
            bytes: call.sent,
            result,
        }
    }
}

/// The pages of the call with [`Request::reading`] have been read.
///
/// # Errors
/// `ENOENT` if there is no such call.
pub fn pages_read() -> Result<(), Errno> {
    // SAFETY: takes nothing; what it is about stays until it is called.
    Errno::check(unsafe { bindings::kdk_sendfile_read() })
}

fn step(fault: Option<Fault>) -> u32 {
    match fault.map(|fault| fault.step) {
        None => bindings::KDK_STEP_NONE,
        Some(Step::Wait) => bindings::KDK_STEP_WAIT,
        Some(Step::Send) => bindings::KDK_STEP_SEND,
        Some(Step::Trailer) => bindings::KDK_STEP_TRAILER,
    }
}

/// An event of a kqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// As given.
    pub ident: usize,
    /// As given.
    pub udata: usize,
    /// Bytes sent.
    pub data: i64,
    /// An error number.
    pub fflags: u32,
    /// Whether its filter is EVFILT_SENDFILE.
    pub of_sendfile: bool,
}

/// Takes the next event of a kqueue, waiting this long for it.
///
/// # Errors
/// What kevent(2) says.
pub fn take_event(queue: &Descriptor, limit: Duration) -> Result<Option<Event>, Errno> {
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
    Ok((count != 0).then_some(Event {
        ident: event.ident,
        udata: event.udata,
        data: event.data,
        fflags: event.fflags,
        of_sendfile: event.filter == bindings::EVFILT_SENDFILE,
    }))
}

/// EV_DELETE of the first event of this identifier.
///
/// # Errors
/// What kevent(2) says.
pub fn delete_event(queue: &Descriptor, ident: usize) -> Result<(), Errno> {
    // SAFETY: numbers.
    Errno::check(unsafe { bindings::kdk_kqueue_delete(queue.number(), ident) })
}

/// Takes all mbufs that a socket has received, without their bytes being
/// looked at; `None` when there are none.
///
/// # Errors
/// What the socket says.
pub fn take_mbufs(from: &Descriptor) -> Result<Option<Mbuf>, Errno> {
    let mut chain = core::ptr::null_mut();
    // SAFETY: the pointer is written during the call; the chain is ours then.
    Errno::check(unsafe { bindings::kdk_socket_take(from.number(), &raw mut chain) })?;
    Ok(NonNull::new(chain).map(Mbuf))
}

/// Bytes that a TCP socket's peer has not acknowledged.
///
/// # Errors
/// What the socket says.
pub fn unacknowledged(socket: &Descriptor) -> Result<i64, Errno> {
    let mut bytes = 0;
    // SAFETY: the number is written during the call.
    Errno::check(unsafe { bindings::kdk_socket_unsent(socket.number(), &raw mut bytes) })?;
    Ok(bytes)
}

/// What is held while mbufs are freed.
#[derive(Clone, Copy)]
pub enum Hold<'a> {
    /// A mutex.
    Mutex,
    /// A rwlock, to write.
    RwLock,
    /// An rmlock, to read.
    RmLock,
    /// An sx lock, exclusively.
    Sx,
    /// The network's epoch: nothing may sleep.
    Epoch,
    /// The send buffer of this socket.
    SendBuffer(&'a Descriptor),
    /// The receive buffer of this socket.
    ReceiveBuffer(&'a Descriptor),
    /// The inpcb of this TCP socket, to write.
    Inpcb(&'a Descriptor),
    /// The control block of this unix(4) socket.
    Unpcb(&'a Descriptor),
}

impl Hold<'_> {
    fn raw(self) -> (c_uint, c_int) {
        match self {
            Self::Mutex => (bindings::KDK_HOLD_MUTEX, NO_DESCRIPTOR),
            Self::RwLock => (bindings::KDK_HOLD_RWLOCK, NO_DESCRIPTOR),
            Self::RmLock => (bindings::KDK_HOLD_RMLOCK, NO_DESCRIPTOR),
            Self::Sx => (bindings::KDK_HOLD_SX, NO_DESCRIPTOR),
            Self::Epoch => (bindings::KDK_HOLD_EPOCH, NO_DESCRIPTOR),
            Self::SendBuffer(of) => (bindings::KDK_HOLD_SEND_BUFFER, of.number()),
            Self::ReceiveBuffer(of) => (bindings::KDK_HOLD_RECEIVE_BUFFER, of.number()),
            Self::Inpcb(of) => (bindings::KDK_HOLD_INPCB, of.number()),
            Self::Unpcb(of) => (bindings::KDK_HOLD_UNPCB, of.number()),
        }
    }
}

impl Mbuf {
    /// The chain's first mbuf alone, and the rest.
    #[must_use]
    pub fn split_first(self) -> (Self, Option<Self>) {
        // SAFETY: the chain is ours; afterwards it is two.
        let rest = unsafe { bindings::kdk_mbuf_unlink(self.0.as_ptr()) };
        (self, NonNull::new(rest).map(Self))
    }

    /// Another chain of the same bytes, which are not copied where they are
    /// in external storage (m_copym(9)). May sleep.
    #[must_use]
    pub fn share(&self) -> Option<Self> {
        // SAFETY: the chain is ours and is not changed.
        NonNull::new(unsafe { bindings::kdk_mbuf_share(self.0.as_ptr()) }).map(Self)
    }

    /// How many mbufs have the first one's external storage; 0 when its bytes
    /// are inside.
    #[must_use]
    pub fn references(&self) -> u32 {
        // SAFETY: the chain is ours.
        unsafe { bindings::kdk_mbuf_references(self.0.as_ptr()) }
    }

    /// Frees the chain while something is held.
    ///
    /// # Errors
    /// The descriptor is no socket; the chain is freed all the same.
    pub fn free_under(self, hold: Hold<'_>) -> Result<(), Errno> {
        let (hold, socket) = hold.raw();
        let chain = core::mem::ManuallyDrop::new(self);
        // SAFETY: the chain is ours and freed once.
        Errno::check(unsafe {
            bindings::kdk_mbuf_free_under(chain.0.as_ptr(), hold.cast_signed(), socket)
        })
    }
}

//! sendfile(2) with SF_KQUEUE, its events and its mbufs.

use super::bindings;
use super::descriptor::{Descriptor, NO_DESCRIPTOR};
use super::errno::Errno;
use super::kqueue;
use super::mbuf::Mbuf;
use core::ffi::{c_int, c_uint};
use core::ptr::{NonNull, null};
use core::time::Duration;

/// The page size in bytes.
pub const PAGE: usize = bindings::PAGE_SIZE as usize;

/// An event flag that sendfile(2) does not accept.
pub const EV_ADD: u32 = bindings::EV_ADD;

/// Sleeps until the pages are free. It excludes SF_KQUEUE.
pub const SF_SYNC: u32 = bindings::SF_SYNC;

/// A step of the call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `pr_sendfile_wait()`, which waits for space.
    Wait,
    /// The call of `pr_send()`. TCP drops the connection first, since it refuses
    /// nothing else, and the error is its own.
    Send,
    /// `pr_sosend()`, which sends the trailers.
    Trailer,
}

/// An injected failure of a step.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The step that fails.
    pub step: Step,
    /// The number of times that it succeeds first.
    pub passes: u32,
    /// The error that it returns.
    pub error: Errno,
}

/// One call, from the start of `file`, with an event on `queue`.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The file to send.
    pub file: &'a Descriptor,
    /// The socket to send to.
    pub socket: &'a Descriptor,
    /// The kqueue for the event, or `None` for an invalid descriptor.
    pub queue: Option<&'a Descriptor>,
    /// The event's identifier. Its udata is the complement.
    pub ident: usize,
    /// `EV_*` flags of the event.
    pub event_flags: u32,
    /// `SF_*` flags besides `SF_KQUEUE`.
    pub flags: u32,
    /// The number of bytes to send.
    pub length: usize,
    /// Bytes to send before the file.
    pub header: Option<&'static [u8]>,
    /// Bytes to send after the file.
    pub trailer: Option<&'static [u8]>,
    /// The most bytes that go to the socket at a time, or 0 for no limit.
    pub space: usize,
    /// An injected failure. Only one call at a time may have a fault, a limit of
    /// its space, or a socket that is shut down.
    pub fault: Option<Fault>,
    /// Whether it is a call without `SF_KQUEUE`.
    pub plain: bool,
    /// A socket whose input is shut down after the wait for space, before the
    /// bytes are appended.
    pub shut_before_append: Option<&'a Descriptor>,
}

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The number of bytes that were sent, with headers and trailers.
    pub bytes: i64,
    /// The value that it returned.
    pub result: Result<(), Errno>,
}

impl Request<'_> {
    /// Calls `fo_sendfile()` of the file, as sendfile(2) does.
    #[must_use]
    pub fn send(&self) -> Sent {
        let header = self.header.unwrap_or_default();
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
            header: self.header.map_or(null(), |bytes| bytes.as_ptr().cast()),
            header_length: header.len(),
            trailer: self.trailer.map_or(null(), |bytes| bytes.as_ptr().cast()),
            trailer_length: trailer.len(),
            space: c_int::try_from(self.space).unwrap_or(c_int::MAX),
            step: step(fault).cast_signed(),
            passes: fault.map_or(0, |fault| fault.passes),
            error: fault.map_or(0, |fault| Errno::of(Err(fault.error))),
            plain: c_int::from(self.plain),
            shut: self
                .shut_before_append
                .map_or(NO_DESCRIPTOR, Descriptor::number),
            sent: 0,
        };
        // SAFETY: the descriptors are open or invalid; header and trailer are static;
        // `call` is used during the call only.
        let result = Errno::check(unsafe { bindings::kdk_sendfile(&raw mut call) });
        Sent {
            bytes: call.sent,
            result,
        }
    }
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
    /// As in the request.
    pub ident: usize,
    /// As in the request.
    pub udata: usize,
    /// The number of bytes that were sent.
    pub data: i64,
    /// The error of a read that failed after the call (`fflags`).
    pub error: Option<Errno>,
    /// Whether its filter is EVFILT_SENDFILE.
    pub of_sendfile: bool,
}

/// Removes and returns the next event of a kqueue. Waits for up to `limit`.
///
/// # Errors
/// Returns the error of kevent(2).
pub fn take_event(queue: &Descriptor, limit: Duration) -> Result<Option<Event>, Errno> {
    Ok(kqueue::take_raw(queue, limit)?.map(|event| Event {
        ident: event.ident,
        udata: event.udata,
        data: event.data,
        error: Errno::check(event.fflags.cast_signed()).err(),
        of_sendfile: event.filter == bindings::EVFILT_SENDFILE,
    }))
}

/// Deletes the first event with this identifier (`EV_DELETE`).
///
/// # Errors
/// Returns the error of kevent(2).
pub fn delete_event(queue: &Descriptor, ident: usize) -> Result<(), Errno> {
    // SAFETY: takes numbers.
    Errno::check(unsafe { bindings::kdk_sendfile_delete(queue.number(), ident) })
}

/// Removes all mbufs that a socket has received, without copying their bytes.
///
/// # Errors
/// Returns the error of the socket.
pub fn take_mbufs(from: &Descriptor) -> Result<Option<Mbuf>, Errno> {
    let mut chain = core::ptr::null_mut();
    // SAFETY: the pointer is written during the call; the caller then owns the
    // chain.
    Errno::check(unsafe { bindings::kdk_socket_take(from.number(), &raw mut chain) })?;
    Ok(NonNull::new(chain).map(Mbuf))
}

/// Counts the bytes that the peer of a TCP socket has not acknowledged.
///
/// # Errors
/// Returns the error of the socket.
pub fn unacknowledged(socket: &Descriptor) -> Result<i64, Errno> {
    let mut bytes = 0;
    // SAFETY: the number is written during the call.
    Errno::check(unsafe { bindings::kdk_socket_unsent(socket.number(), &raw mut bytes) })?;
    Ok(bytes)
}

/// The lock under which mbufs are freed.
#[derive(Clone, Copy)]
pub enum Hold<'a> {
    /// A sleep mutex.
    Mutex,
    /// A rwlock, exclusively.
    RwLock,
    /// An rmlock, shared.
    RmLock,
    /// An sx lock, exclusively.
    Sx,
    /// The net epoch, in which no thread may sleep.
    Epoch,
    /// The send buffer of this socket.
    SendBuffer(&'a Descriptor),
    /// The receive buffer of this socket.
    ReceiveBuffer(&'a Descriptor),
    /// The inpcb of this TCP socket, exclusively.
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
    /// Splits the chain into its first mbuf and the rest.
    #[must_use]
    pub fn split_first(self) -> (Self, Option<Self>) {
        // SAFETY: the chain is owned; it becomes two chains.
        let rest = unsafe { bindings::kdk_mbuf_unlink(self.0.as_ptr()) };
        (self, NonNull::new(rest).map(Self))
    }

    /// Makes another chain that refers to the same external storage, see
    /// m_copym(9). May sleep.
    #[must_use]
    pub fn share(&self) -> Option<Self> {
        // SAFETY: the chain is owned and is not changed.
        NonNull::new(unsafe { bindings::kdk_mbuf_share(self.0.as_ptr()) }).map(Self)
    }

    /// Counts the mbufs that refer to the external storage of the first one: 0
    /// if it has none.
    #[must_use]
    pub fn references(&self) -> u32 {
        // SAFETY: the chain is owned.
        unsafe { bindings::kdk_mbuf_references(self.0.as_ptr()) }
    }

    /// Identifies the external storage of the first mbuf: 0 if it has none.
    #[must_use]
    pub fn storage(&self) -> usize {
        // SAFETY: the chain is owned. The address is only compared.
        unsafe { bindings::kdk_mbuf_storage(self.0.as_ptr()) }.addr()
    }

    /// Frees the chain under a lock.
    ///
    /// # Errors
    /// Fails if the descriptor is not a socket; the chain is freed all the same.
    pub fn free_under(self, hold: Hold<'_>) -> Result<(), Errno> {
        let (hold, socket) = hold.raw();
        let chain = core::mem::ManuallyDrop::new(self);
        // SAFETY: the chain is owned, and freed once.
        Errno::check(unsafe {
            bindings::kdk_mbuf_free_under(chain.0.as_ptr(), hold.cast_signed(), socket)
        })
    }
}

//! The system call sendfile(2).
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::fd::Descriptor;
use crate::file::{PAGE, set_length};
use crate::kqueue::EV_ONESHOT;
use crate::memory::{Mapping, shared_memory};
use crate::raw::{IoVec, call, number};
use crate::suite::must;
use crate::sysctl;
use alloc::vec::Vec;
use core::mem::offset_of;

/// Fail with `EBUSY` rather than wait for a page that somebody works on.
pub const SF_NODISKIO: u32 = 1;
/// Return when the file's pages are no longer needed.
pub const SF_SYNC: u32 = 4;

/// Which `SF_KQUEUE` a kernel has: post an event to a kqueue when the file's
/// pages are no longer needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// FreeBSD 11-CURRENT of 2014.
    First,
    /// FreeBSD 15 with the series. Without it the kernel ignores the flag.
    Second,
}

impl Generation {
    /// That of the running kernel.
    ///
    /// # Errors
    /// Those of sysctl(3); `EOPNOTSUPP` for a kernel of the years between, which
    /// had none.
    pub fn of_kernel() -> Result<Self> {
        Self::of(sysctl::osreldate()?).ok_or(Errno::EOPNOTSUPP)
    }

    /// That of a `__FreeBSD_version`.
    const fn of(version: i64) -> Option<Self> {
        match version {
            1_100_000..1_100_100 => Some(Self::First),
            1_500_000.. => Some(Self::Second),
            _ => None,
        }
    }

    /// The flag of sendfile(2). [`Request::completion`] sets it of itself.
    #[must_use]
    pub const fn flag(self) -> u32 {
        match self {
            Self::First => 0x8,
            Self::Second => 0x20,
        }
    }

    /// Whether the running kernel's is the first, which has defects.
    #[must_use]
    pub fn is_first() -> bool {
        Self::of_kernel() == Ok(Self::First)
    }

    /// The flags of a one-shot event. [`Second`](Self::Second) has
    /// no others.
    #[must_use]
    pub const fn once(self) -> u16 {
        match self {
            Self::First => EV_ONESHOT,
            Self::Second => 0,
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// First byte of the file.
    pub offset: u64,
    /// Bytes of the file; 0 is all of it.
    pub length: usize,
    /// Sent before the file.
    pub headers: &'a [&'a [u8]],
    /// Sent after the file.
    pub trailers: &'a [&'a [u8]],
    /// The flags `SF_*`.
    pub flags: u32,
    /// The event to post when the file's pages are no longer needed.
    pub completion: Option<Completion>,
}

/// The event of `SF_KQUEUE`; a `struct sf_hdtr_kq`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The event's identifier.
    pub ident: usize,
    /// The program's own.
    pub udata: usize,
    /// `EV_CLEAR`, `EV_DISPATCH`, `EV_ONESHOT`.
    pub flags: u32,
    /// Descriptor of the kqueue.
    pub kqueue: i32,
}

impl Completion {
    /// A one-shot event.
    ///
    /// # Panics
    /// When the kernel has no such events.
    #[track_caller]
    pub fn on(kqueue: &impl Descriptor, ident: usize, udata: usize) -> Self {
        let generation = must(
            "determine which SF_KQUEUE there is",
            Generation::of_kernel(),
        );
        Self {
            ident,
            udata,
            flags: generation.once().into(),
            kqueue: kqueue.raw(),
        }
    }
}

/// The placeholder for no completion; the kernel does not read it.
const NO_COMPLETION: Completion = Completion {
    ident: 0,
    udata: 0,
    flags: 0,
    kqueue: -1,
};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes sent, headers and trailers included, even when it failed. -1 when
    /// the kernel did not say.
    pub bytes: i64,
    /// How it ended.
    pub result: Result<()>,
}

/// A `struct sf_hdtr_all`.
#[repr(C)]
struct Around {
    headers: *const IoVec,
    header_count: i32,
    trailers: *const IoVec,
    trailer_count: i32,
    completion: Completion,
}

/// Sends what `request` says from `file` to `socket`.
pub fn sendfile(file: &impl Descriptor, socket: &impl Descriptor, request: &Request<'_>) -> Sent {
    let vectors = |parts: &[&[u8]]| parts.iter().map(|part| IoVec::of(part)).collect::<Vec<_>>();
    let (headers, trailers) = (vectors(request.headers), vectors(request.trailers));
    let around = Around {
        headers: start(&headers),
        header_count: i32::try_from(headers.len()).unwrap_or(i32::MAX),
        trailers: start(&trailers),
        trailer_count: i32::try_from(trailers.len()).unwrap_or(i32::MAX),
        completion: request.completion.unwrap_or(NO_COMPLETION),
    };
    let nothing_around = headers.is_empty() && trailers.is_empty() && request.completion.is_none();
    let generation = request.completion.map(|_| Generation::of_kernel());
    let flags = match generation.transpose() {
        Ok(generation) => request.flags | generation.map_or(0, Generation::flag),
        Err(errno) => {
            return Sent {
                bytes: -1,
                result: Err(errno),
            };
        }
    };
    let mut bytes = -1i64;
    let arguments = [
        file.raw() as usize,
        socket.raw() as usize,
        request.offset as usize,
        request.length,
        if nothing_around {
            0
        } else {
            &raw const around as usize
        },
        &raw mut bytes as usize,
        flags as usize,
    ];
    // SAFETY: the kernel reads the vectors and what they point to, all alive
    // here, and writes one off_t.
    let result = unsafe { call(number::SENDFILE, &arguments) }.map(drop);
    Sent { bytes, result }
}

/// Sends all of `file` with an event whose description is outside of memory. The
/// `struct sf_hdtr` before it can be read; it has no headers and no trailers.
///
/// # Errors
/// Those of the preparation.
pub fn sendfile_without_description(
    file: &impl Descriptor,
    socket: &impl Descriptor,
) -> Result<Sent> {
    let flags = Generation::of_kernel()?.flag();
    // The second page is behind the object's end. Kernels of 2014 refuse to map
    // more than the object has at that time.
    let object = shared_memory(2 * PAGE as u64)?;
    let zeros = Mapping::of(&object, 2 * PAGE)?;
    set_length(&object, PAGE as u64)?;
    let mut bytes = -1i64;
    let arguments = [
        file.raw() as usize,
        socket.raw() as usize,
        0,
        0,
        zeros.address() + PAGE - offset_of!(Around, completion),
        &raw mut bytes as usize,
        flags as usize,
    ];
    // SAFETY: the kernel reads the mapping, fails to read what is behind it, and
    // writes one off_t.
    let result = unsafe { call(number::SENDFILE, &arguments) }.map(drop);
    Ok(Sent { bytes, result })
}

/// No address for nothing: the kernel would make a write of no bytes of it,
/// which fails on a socket that has ended.
fn start(vectors: &[IoVec]) -> *const IoVec {
    match vectors {
        [] => core::ptr::null(),
        _ => vectors.as_ptr(),
    }
}

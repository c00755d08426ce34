//! Mbuf chains (mbuf(9)).

use super::bindings;
use core::ffi::c_int;
use core::ptr::NonNull;

/// The size of a standard cluster in bytes.
pub const CLUSTER: usize = bindings::MCLBYTES as usize;

/// Whether a chain starts with a packet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It does (`M_PKTHDR`).
    Packet,
    /// It does not.
    None,
}

/// The kernel is out of mbufs. The bytes that were appended before remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMbufs;

/// A chain of mbufs.
#[derive(Debug)]
pub struct Mbuf(pub(super) NonNull<bindings::mbuf>);

// SAFETY: a chain has one owner, on any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Allocates an empty chain with room for `size` bytes. May sleep.
    #[must_use]
    pub fn new(size: usize, header: Header) -> Option<Self> {
        let size = c_int::try_from(size).ok()?;
        // SAFETY: allocates only.
        let chain = unsafe { bindings::kdk_mbuf_get(size, c_int::from(header == Header::Packet)) };
        NonNull::new(chain).map(Self)
    }

    /// Appends bytes. It allocates mbufs as needed, without sleeping.
    ///
    /// # Errors
    /// Fails if the kernel is out of mbufs.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), OutOfMbufs> {
        let len = c_int::try_from(bytes.len()).map_err(|_| OutOfMbufs)?;
        // SAFETY: the chain is owned; `len` bytes are copied.
        let done = unsafe { bindings::m_append(self.0.as_ptr(), len, bytes.as_ptr().cast()) };
        if done != 0 { Ok(()) } else { Err(OutOfMbufs) }
    }

    /// Counts the bytes of the chain, see m_length(9).
    #[must_use]
    pub fn len(&self) -> usize {
        // SAFETY: the chain is owned; the last mbuf is not requested.
        let len = unsafe { bindings::m_length(self.0.as_ptr(), core::ptr::null_mut()) };
        len as usize
    }

    /// Returns whether the chain has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the length in the packet header, if there is one.
    #[must_use]
    pub fn packet_len(&self) -> Option<usize> {
        // SAFETY: the chain is owned.
        usize::try_from(unsafe { bindings::kdk_mbuf_pktlen(self.0.as_ptr()) }).ok()
    }

    /// Counts the mbufs of the chain.
    #[must_use]
    pub fn links(&self) -> usize {
        let next = |&at: &NonNull<bindings::mbuf>| {
            // SAFETY: an mbuf of the owned chain.
            NonNull::new(unsafe { bindings::kdk_mbuf_next(at.as_ptr()) })
        };
        core::iter::successors(Some(self.0), next).count()
    }

    /// Fills `out` with the bytes from `offset` on. Returns false if there are
    /// fewer.
    #[must_use]
    pub fn copy_out(&self, offset: usize, out: &mut [u8]) -> bool {
        let (Ok(from), Ok(len)) = (c_int::try_from(offset), c_int::try_from(out.len())) else {
            return false;
        };
        if offset
            .checked_add(out.len())
            .is_none_or(|end| end > self.len())
        {
            return false;
        }
        // SAFETY: the chain has these bytes, and `out` has room for them.
        unsafe { bindings::m_copydata(self.0.as_ptr(), from, len, out.as_mut_ptr().cast()) };
        true
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: the chain is owned, and freed once.
        unsafe { bindings::m_freem(self.0.as_ptr()) }
    }
}

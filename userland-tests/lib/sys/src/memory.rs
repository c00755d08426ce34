//! Mapped memory and POSIX shared memory.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::fd::{Descriptor, Fd, adopted};
use crate::file::set_length;
use crate::raw::{call, number};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
const MAP_PRIVATE: usize = 2;
const MAP_ANON: usize = 0x1000;
const SHM_ANON: usize = 1;
const O_RDWR: usize = 2;

/// Memory shared with whoever else maps or reads the same object.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps the first `length` bytes of `object`.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn of(object: &impl Descriptor, length: usize) -> Result<Self> {
        let start = map(length, MAP_SHARED, object.raw())?;
        Ok(Self { start, length })
    }

    /// Copies `bytes` to `offset`; what lies outside the mapping is left out.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let room = self.length.saturating_sub(offset).min(bytes.len());
        if room == 0 {
            return;
        }
        // SAFETY: `offset + room` is within the mapping, which is writable and
        // can overlap no slice of this program's. Others may read it at the
        // same time: the bytes are copied, no reference is kept.
        unsafe {
            self.start
                .as_ptr()
                .add(offset)
                .copy_from_nonoverlapping(bytes.as_ptr(), room);
        }
    }

    /// The address of its first byte.
    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Keeps all of it in memory (mlock(2)).
    ///
    /// # Errors
    /// Those of mlock(2).
    pub fn lock(&self) -> Result<()> {
        let arguments = [self.start.as_ptr() as usize, self.length];
        // SAFETY: the mapping's own pages; nothing is read or written.
        unsafe { call(number::MLOCK, &arguments) }.map(drop)
    }

    /// write(2) of `length` bytes from `offset` on: how many were taken.
    ///
    /// # Errors
    /// Those of write(2); `EFAULT` when they lie outside the mapping.
    pub fn write_to(&self, to: &impl Descriptor, offset: usize, length: usize) -> Result<usize> {
        let end = offset.checked_add(length).filter(|end| *end <= self.length);
        end.ok_or(crate::Errno::EFAULT)?;
        let arguments = [
            to.raw() as usize,
            self.start.as_ptr() as usize + offset,
            length,
        ];
        // SAFETY: within the mapping. The kernel copies the bytes, whoever
        // else writes there.
        unsafe { call(number::WRITE, &arguments) }
    }

    /// The mapping as counters that several processes count on.
    #[must_use]
    pub fn counters(&self) -> &[AtomicU64] {
        let count = self.length / size_of::<AtomicU64>();
        // SAFETY: a mapping begins with a page, is zeros or whatever was
        // stored, and lives as long as this value. Atomics may be shared.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr().cast(), count) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let arguments = [self.start.as_ptr() as usize, self.length];
        // SAFETY: the mapping is this value's own and nothing refers to it.
        let _ = unsafe { call(number::MUNMAP, &arguments) };
    }
}

/// POSIX shared memory without a name, `length` bytes of zeros.
///
/// # Errors
/// Those of shm_open(2) and ftruncate(2).
pub fn shared_memory(length: u64) -> Result<Fd> {
    // SAFETY: SHM_ANON is a number in place of a name.
    let object = unsafe { call(number::SHM_OPEN, &[SHM_ANON, O_RDWR, 0o600]) }.map(adopted)?;
    set_length(&object, length)?;
    Ok(object)
}

/// Private memory for the allocator; it is never given back.
pub(crate) fn arena(length: usize) -> Result<NonNull<u8>> {
    map(length, MAP_PRIVATE | MAP_ANON, -1)
}

fn map(length: usize, flags: usize, object: i32) -> Result<NonNull<u8>> {
    let arguments = [0, length, PROT_READ_WRITE, flags, object as usize, 0];
    // SAFETY: the kernel chooses a place where nothing is.
    let start = unsafe { call(number::MMAP, &arguments) }?;
    NonNull::new(start as *mut u8).ok_or(crate::Errno::ENOMEM)
}

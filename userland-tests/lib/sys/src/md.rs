//! md(4): a file as a disk.

use crate::errno::{Errno, Result};
use crate::fd::Fd;
use crate::file::{O_CLOEXEC, O_RDWR, open};
use crate::net::{control, direction, request};
use crate::raw::c_string;
use alloc::format;
use alloc::string::String;

/// Bytes of a `struct md_ioctl` of `<sys/mdioctl.h>`.
const LENGTH: usize = 448;
const UNIT: usize = 4;
const KIND: usize = 8;
const FILE: usize = 16;
const SIZE: usize = 24;
const OPTIONS: usize = 36;

const MDIOCATTACH: usize = request(direction::BOTH, b'm', 0, LENGTH);
const MDIOCDETACH: usize = request(direction::BOTH, b'm', 1, LENGTH);
const MD_VNODE: u32 = 2;
const MD_AUTOUNIT: u32 = 0x4;
const MD_READONLY: u32 = 0x8;
const MD_FORCE: u32 = 0x20;

/// A disk whose bytes are those of a file; it is taken away when dropped.
#[derive(Debug)]
pub struct Disk {
    control: Fd,
    unit: u32,
}

impl Disk {
    /// Makes a disk that can only be read of the first `length` bytes of the
    /// file at `path`.
    ///
    /// # Errors
    /// `ENOENT` without md(4) in the kernel; else those of md(4).
    pub fn of(path: &str, length: u64) -> Result<Self> {
        let control_device = open("/dev/mdctl", O_RDWR | O_CLOEXEC)?;
        let path = c_string(path)?;
        let mut bytes = [0; LENGTH];
        put(&mut bytes, KIND, &MD_VNODE.to_le_bytes());
        // The kernel reads the path here, which is alive until it has.
        put(&mut bytes, FILE, &(path.as_ptr() as usize).to_le_bytes());
        put(&mut bytes, SIZE, &length.to_le_bytes());
        put(
            &mut bytes,
            OPTIONS,
            &(MD_AUTOUNIT | MD_READONLY).to_le_bytes(),
        );
        control(&control_device, MDIOCATTACH, &mut bytes)?;
        drop(path);
        let unit = bytes.get(UNIT..).and_then(|rest| rest.first_chunk());
        Ok(Self {
            control: control_device,
            unit: u32::from_le_bytes(*unit.ok_or(Errno::EBADMSG)?),
        })
    }

    /// Its device, which appears a moment after it was made.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/dev/md{}", self.unit)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut bytes = [0; LENGTH];
        put(&mut bytes, UNIT, &self.unit.to_le_bytes());
        put(&mut bytes, OPTIONS, &MD_FORCE.to_le_bytes());
        // A failure cannot be reported any more.
        let _ = control(&self.control, MDIOCDETACH, &mut bytes);
    }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(what) {
        *to = *from;
    }
}

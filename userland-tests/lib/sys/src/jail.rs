//! Jails with a network of their own.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{IoVec, as_id, call, number, plain};

const JAIL_CREATE: usize = 1;
const JAIL_SYS_NEW: i32 = 1;

/// A jail, removed when dropped with all that runs in it.
#[derive(Debug)]
pub struct Jail(i32);

impl Jail {
    /// A jail with the root file system, with a network of its own.
    ///
    /// # Errors
    /// Those of jail_set(2); `EINVAL` on a kernel without `VIMAGE`.
    pub fn with_network(name: &str) -> Result<Self> {
        let mut name = name.as_bytes().to_vec();
        name.push(0);
        let new = JAIL_SYS_NEW.to_le_bytes();
        let parameters = [
            IoVec::of(b"name\0"),
            IoVec::of(&name),
            IoVec::of(b"path\0"),
            IoVec::of(b"/\0"),
            IoVec::of(b"vnet\0"),
            IoVec::of(&new),
            IoVec::of(b"persist\0"),
            IoVec {
                base: core::ptr::null(),
                length: 0,
            },
        ];
        let arguments = [parameters.as_ptr() as usize, parameters.len(), JAIL_CREATE];
        // SAFETY: the kernel reads the vectors and what they point to, all
        // alive here.
        unsafe { call(number::JAIL_SET, &arguments) }.map(|id| Self(as_id(id)))
    }

    /// The number the kernel knows it by.
    #[must_use]
    pub const fn id(&self) -> i32 {
        self.0
    }

    /// Puts this process into it, for good.
    ///
    /// # Errors
    /// Those of jail_attach(2).
    pub fn enter(&self) -> Result<()> {
        // SAFETY: no addresses.
        unsafe { plain(number::JAIL_ATTACH, [self.0.into()]) }.map(drop)
    }

    /// Removes it now.
    ///
    /// # Errors
    /// Those of jail_remove(2).
    pub fn remove(self) -> Result<()> {
        let id = self.0;
        core::mem::forget(self);
        remove(id)
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        let _ = remove(self.0);
    }
}

fn remove(id: i32) -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::JAIL_REMOVE, [id.into()]) }.map(drop)
}

//! The virtual machine monitors: the programs that play machines.

use std::fmt;

/// A program that plays machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vmm {
    /// QEMU, everywhere.
    Qemu,
    /// bhyve(8), on FreeBSD.
    Bhyve,
}

impl Vmm {
    /// Its name in arguments, reports and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::Bhyve => "bhyve",
        }
    }

    /// Whether the state of a machine can be saved and loaded, so that every
    /// test gets a fresh kernel without a boot. bhyve's snapshots are compiled
    /// out of FreeBSD's releases (`BHYVE_SNAPSHOT`) and their format is not
    /// stable, so isolation by test falls back to isolation by suite there.
    pub fn can_save(self) -> bool {
        match self {
            Self::Qemu => true,
            Self::Bhyve => false,
        }
    }
}

impl fmt::Display for Vmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

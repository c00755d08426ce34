//! The interface that every hypervisor implements.
//!
//! A [`Hypervisor`] is a program that was found on this host. It turns a
//! [`MachineConfig`] into a [`Pool`], which starts any number of
//! [`Machine`](crate::machine::Machine)s of any size. Code that uses machines never asks
//! which hypervisor it has; the two constructors are [`crate::qemu`]'s and
//! [`crate::bhyve`]'s.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::InfraError;
use crate::machine::Machine;
use crate::qemu::QemuPool;

/// The name of a hypervisor, for reports, and the advice for its failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vmm {
    /// The name in arguments, reports and messages.
    pub name: &'static str,
    /// What to check when it does not start a machine.
    pub requirements: &'static str,
}

impl fmt::Display for Vmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// How a kernel gets into a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootMethod {
    /// QEMU loads the kernel through its PVH entry point.
    Pvh,
    /// UEFI firmware runs FreeBSD's loader.
    Efi,
    /// bhyveload(8) loads the kernel.
    Load,
}

impl BootMethod {
    /// Returns the name that the command line and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pvh => "pvh",
            Self::Efi => "efi",
            Self::Load => "load",
        }
    }
}

/// The files and variables that a machine boots from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFiles {
    /// The kernel, an ELF file, for [`BootMethod::Pvh`].
    pub kernel: PathBuf,
    /// The kernel's command line, for [`BootMethod::Pvh`].
    pub cmdline: String,
    /// The kernel's environment, for [`BootMethod::Load`].
    pub env: Vec<(String, String)>,
    /// The loader's directory, for [`BootMethod::Efi`] and
    /// [`BootMethod::Load`].
    pub esp: PathBuf,
}

/// The size of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineSize {
    /// The number of virtual CPUs.
    pub cpus: u32,
    /// The memory, in MiB.
    pub mem_mib: u32,
}

/// A machine as its user describes it, for any hypervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineConfig {
    /// How the kernel is booted.
    pub method: BootMethod,
    /// What it is booted from.
    pub files: BootFiles,
    /// The image of the root file system, which no guest changes.
    pub root: Option<PathBuf>,
    /// Its size, unless its user asks for another one.
    pub size: MachineSize,
}

/// A hypervisor that was found on this host.
pub trait Hypervisor: fmt::Debug + Send + Sync {
    /// Returns its name.
    fn vmm(&self) -> Vmm;

    /// Returns the name of what executes the guest's instructions.
    fn accel(&self) -> &'static str;

    /// Returns the boot methods that it supports, the fastest first.
    fn boot_methods(&self) -> &'static [BootMethod];

    /// Returns a pool of the machines that `config` describes.
    ///
    /// # Errors
    /// Fails with [`InfraError::Unsupported`] for a boot method that is not
    /// one of [`Self::boot_methods`], and when no firmware is installed for
    /// [`BootMethod::Efi`].
    fn pool(&self, config: MachineConfig) -> Result<Box<dyn Pool>, InfraError>;
}

/// A pool of machines that differ only in their sizes. Several threads may
/// start machines at once.
pub trait Pool: Sync {
    /// Returns the size of a machine whose user needs no other.
    fn size(&self) -> MachineSize;

    /// Starts machine number `number` (from 1) of this run.
    ///
    /// # Errors
    /// Fails only when the host is at fault. A kernel that does not boot is
    /// found later, from the machine's events.
    fn start(&self, number: usize, size: MachineSize) -> Result<Box<dyn Machine>, InfraError>;

    /// Returns the QEMU pool, if this is one. Only QEMU can save a machine's
    /// state, serve a debugger and count instructions.
    fn qemu(&self) -> Option<&QemuPool> {
        None
    }

    /// Returns the QEMU pool for changes, if this is one.
    fn qemu_mut(&mut self) -> Option<&mut QemuPool> {
        None
    }
}

impl<F> Pool for F
where
    F: Fn(usize, MachineSize) -> Result<Box<dyn Machine>, InfraError> + Sync,
{
    fn size(&self) -> MachineSize {
        MachineSize {
            cpus: 1,
            mem_mib: 0,
        }
    }

    fn start(&self, number: usize, size: MachineSize) -> Result<Box<dyn Machine>, InfraError> {
        self(number, size)
    }
}

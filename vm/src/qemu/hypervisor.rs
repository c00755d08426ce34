//! Implements [`Hypervisor`] for QEMU.

use super::{Access, Boot, Drive, Engine, Format, Qemu, QemuMachine, Spec};
use crate::efi;
use crate::error::InfraError;
use crate::hypervisor::{BootMethod, Hypervisor, MachineConfig, MachineSize, Pool, Vmm};
use crate::machine::Machine;

/// The name and the requirements of QEMU.
pub const VMM: Vmm = Vmm {
    name: "QEMU",
    requirements: "the message is QEMU's own; `cargo xtask doctor` checks what it needs",
};

/// A QEMU binary and its accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuHypervisor {
    /// The QEMU binary.
    pub qemu: Qemu,
    /// The accelerator that QEMU uses.
    pub engine: Engine,
}

impl Hypervisor for QemuHypervisor {
    fn vmm(&self) -> Vmm {
        VMM
    }

    fn accel(&self) -> &'static str {
        self.engine.name()
    }

    fn boot_methods(&self) -> &'static [BootMethod] {
        &[BootMethod::Pvh, BootMethod::Efi]
    }

    fn pool(&self, config: MachineConfig) -> Result<Box<dyn Pool>, InfraError> {
        let boot = match config.method {
            BootMethod::Pvh => Boot::Pvh {
                kernel: config.files.kernel,
                cmdline: config.files.cmdline,
            },
            BootMethod::Efi => Boot::Efi {
                firmware: efi::find_firmware()?,
                dir: config.files.esp,
            },
            BootMethod::Load => return Err(InfraError::unsupported(self, config.method)),
        };
        let mut spec = Spec::new(self.engine, boot);
        spec.size = config.size;
        spec.drives.extend(config.root.map(Drive::root));
        Ok(Box::new(QemuPool {
            qemu: self.qemu.clone(),
            spec,
        }))
    }
}

/// A pool of machines that QEMU runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuPool {
    /// The QEMU binary.
    pub qemu: Qemu,
    /// The machine that is started.
    pub spec: Spec,
}

impl Pool for QemuPool {
    fn size(&self) -> MachineSize {
        self.spec.size
    }

    fn start(&self, _: usize, size: MachineSize) -> Result<Box<dyn Machine>, InfraError> {
        let spec = self.spec.sized(size);
        Ok(Box::new(QemuMachine::start(&self.qemu, &spec)?))
    }

    fn qemu(&self) -> Option<&QemuPool> {
        Some(self)
    }

    fn qemu_mut(&mut self) -> Option<&mut QemuPool> {
        Some(self)
    }
}

impl Drive {
    /// Returns the root disk: a raw image whose changes are discarded.
    pub(crate) fn root(path: std::path::PathBuf) -> Self {
        Self {
            path,
            format: Format::Raw,
            access: Access::Snapshot,
        }
    }
}

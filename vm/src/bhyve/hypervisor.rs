//! Implements [`Hypervisor`] for bhyve.

use super::{Bhyve, BhyveMachine, Boot, Spec, find_firmware, load_env};
use crate::error::InfraError;
use crate::hypervisor::{BootMethod, Hypervisor, MachineConfig, MachineSize, Pool, Vmm};
use crate::machine::Machine;
use crate::qemu::Drive;

/// The name and the requirements of bhyve.
pub const VMM: Vmm = Vmm {
    name: "bhyve",
    requirements: "it needs root, vmm.ko (`kldload vmm`) and a CPU with EPT or RVI; `cargo xtask \
                   doctor` checks what it needs",
};

impl Hypervisor for Bhyve {
    fn vmm(&self) -> Vmm {
        VMM
    }

    fn accel(&self) -> &'static str {
        VMM.name
    }

    fn boot_methods(&self) -> &'static [BootMethod] {
        &[BootMethod::Load, BootMethod::Efi]
    }

    fn pool(&self, config: MachineConfig) -> Result<Box<dyn Pool>, InfraError> {
        let boot = match config.method {
            BootMethod::Load => Boot::Load {
                dir: config.files.esp,
                env: load_env(config.files.env),
            },
            BootMethod::Efi => Boot::Efi {
                firmware: find_firmware()?,
                dir: config.files.esp,
            },
            BootMethod::Pvh => return Err(InfraError::unsupported(self, config.method)),
        };
        let mut spec = Spec::new(boot);
        spec.size = config.size;
        spec.drives.extend(config.root.map(Drive::root));
        Ok(Box::new(BhyvePool {
            bhyve: self.clone(),
            spec,
        }))
    }
}

/// A pool of machines that bhyve runs.
///
/// They cannot be saved: FreeBSD's releases are built without bhyve's snapshots
/// (`BHYVE_SNAPSHOT`), and the format of a snapshot is not stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BhyvePool {
    /// The programs of bhyve.
    pub bhyve: Bhyve,
    /// The machine that is started.
    pub spec: Spec,
}

impl Pool for BhyvePool {
    fn size(&self) -> MachineSize {
        self.spec.size
    }

    fn start(&self, _: usize, size: MachineSize) -> Result<Box<dyn Machine>, InfraError> {
        let spec = Spec {
            size,
            ..self.spec.clone()
        };
        Ok(Box::new(BhyveMachine::start(&self.bhyve, &spec)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::BootFiles;

    /// Programs that are found and never run.
    fn bhyve() -> Bhyve {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bhyve", "bhyveload", "bhyvectl"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        Bhyve::at(dir.path(), dir.path()).unwrap()
    }

    #[test]
    fn a_boot_method_of_another_hypervisor_is_refused() {
        let config = MachineConfig {
            method: BootMethod::Pvh,
            files: BootFiles {
                kernel: "/k".into(),
                cmdline: String::new(),
                env: Vec::new(),
                esp: "/esp".into(),
            },
            root: None,
            size: MachineSize {
                cpus: 1,
                mem_mib: 512,
            },
        };
        let error = bhyve().pool(config).err().unwrap();
        insta::assert_snapshot!(error, @"bhyve does not support the boot method pvh; it supports load, efi");
    }
}

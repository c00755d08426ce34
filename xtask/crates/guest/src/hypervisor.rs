//! Which program plays the machines, how it boots a kernel, and the machines
//! it is given.

#[cfg(test)]
mod manual;

use std::path::PathBuf;

use kdk_vm::accel::AccelChoice;
use kdk_vm::bhyve::{self, Bhyve, BhyveMachine, load_env};
use kdk_vm::efi;
use kdk_vm::error::InfraError;
use kdk_vm::machine::Machine;
use kdk_vm::qemu::{self, Engine, Qemu, QemuMachine};
use kdk_vm::vmm::Vmm;

use crate::guest::{BootWish, Wanted};
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;
use kdk_doctor::accel;
use kdk_doctor::tools;

/// Who plays the machines, found on this host.
#[derive(Debug)]
pub enum Player {
    /// QEMU, and what runs the guest's instructions in it.
    Qemu(Qemu, Engine),
    /// bhyve.
    Bhyve(Bhyve),
}

/// A machine that can be started.
#[derive(Debug)]
pub enum Driver {
    /// By QEMU.
    Qemu(Qemu, qemu::Spec),
    /// By bhyve.
    Bhyve(Bhyve, bhyve::Spec),
}

/// How a kernel gets into a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// QEMU loads it, by its PVH entry.
    Pvh,
    /// Firmware and FreeBSD's loader.
    Efi,
    /// bhyveload(8).
    Load,
}

impl Way {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pvh => "pvh",
            Self::Efi => "efi",
            Self::Load => "load",
        }
    }
}

/// What a FreeBSD machine is made of.
pub struct Parts {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its command line, for [`Way::Pvh`].
    pub cmdline: String,
    /// Its environment, for [`Way::Load`].
    pub env: Vec<(String, String)>,
    /// The loader's directory.
    pub esp: PathBuf,
    /// The root file system.
    pub root: PathBuf,
}

/// Finds who plays. The remark says why it is not the fastest engine.
pub fn find(home: &Home, wanted: &Wanted) -> Result<(Player, Option<String>), Failure> {
    match kdk_doctor::hypervisor::choose(wanted.vmm)? {
        Vmm::Qemu => {
            let qemu = tools::qemu()?;
            let choice = accel::resolve(home, &qemu, wanted.accel)?;
            let remark = choice.remark();
            Ok((Player::Qemu(qemu, choice.engine), remark))
        }
        Vmm::Bhyve => {
            if wanted.accel != AccelChoice::Auto {
                return Err(Failure::usage(
                    "use that accelerator",
                    "bhyve has only its own, the processor's",
                )
                .help("leave --accel out, or say `--vmm qemu`"));
            }
            Ok((Player::Bhyve(Bhyve::find()?), None))
        }
    }
}

impl Player {
    fn vmm(&self) -> Vmm {
        match self {
            Self::Qemu(..) => Vmm::Qemu,
            Self::Bhyve(_) => Vmm::Bhyve,
        }
    }

    /// How it boots FreeBSD: as wished, else the shortest way; for QEMU that
    /// is the direct one where the series `enables` it.
    pub fn way(&self, wish: BootWish, enables: bool) -> Result<Way, Failure> {
        way(self.vmm(), wish, enables)
    }

    /// The FreeBSD machine of `parts`, booted in the `way` that
    /// [`Self::way`] gave.
    pub fn freebsd(self, way: Way, parts: Parts, cpus: u32) -> Result<Driver, Failure> {
        let root = qemu::Drive {
            path: parts.root,
            format: qemu::Format::Raw,
            access: qemu::Access::Snapshot,
        };
        match self {
            Self::Qemu(qemu, engine) => {
                let boot = match way {
                    Way::Pvh => qemu::Boot::Pvh {
                        kernel: parts.kernel,
                        cmdline: parts.cmdline,
                    },
                    Way::Efi | Way::Load => qemu::Boot::Efi {
                        firmware: efi::find_firmware()?,
                        dir: parts.esp,
                    },
                };
                let mut spec = qemu::Spec::new(engine, boot);
                spec.cpus = cpus;
                spec.drives.push(root);
                Ok(Driver::Qemu(qemu, spec))
            }
            Self::Bhyve(bhyve) => {
                let boot = match way {
                    Way::Efi => bhyve::Boot::Efi {
                        firmware: bhyve::find_firmware()?,
                        dir: parts.esp,
                    },
                    Way::Load | Way::Pvh => bhyve::Boot::Load {
                        dir: parts.esp,
                        env: load_env(parts.env),
                    },
                };
                let mut spec = bhyve::Spec::new(boot);
                spec.cpus = cpus;
                spec.drives.push(root);
                Ok(Driver::Bhyve(bhyve, spec))
            }
        }
    }

    /// The demo guest's machine.
    pub fn demo(self, kernel: PathBuf, cpus: u32) -> Result<Driver, Failure> {
        let Self::Qemu(qemu, engine) = self else {
            return Err(Failure::usage(
                "boot the demo guest",
                "bhyve cannot: the demo guest starts by its PVH entry",
            )
            .help("install QEMU (`pkg install qemu`), or name a base"));
        };
        let mut spec = qemu::Spec::new(
            engine,
            qemu::Boot::Pvh {
                kernel,
                cmdline: String::new(),
            },
        );
        spec.mem_mib = 128;
        spec.cpus = cpus;
        Ok(Driver::Qemu(qemu, spec))
    }
}

fn way(vmm: Vmm, wish: BootWish, enables: bool) -> Result<Way, Failure> {
    match (vmm, wish) {
        (_, BootWish::Efi) => Ok(Way::Efi),
        (Vmm::Qemu, BootWish::Pvh) => Ok(Way::Pvh),
        (Vmm::Qemu, BootWish::Auto) => Ok(if enables { Way::Pvh } else { Way::Efi }),
        (Vmm::Bhyve, BootWish::Auto) => Ok(Way::Load),
        (Vmm::Bhyve, BootWish::Pvh) => Err(Failure::usage(
            "boot by PVH",
            "bhyve does not know it; its direct way is bhyveload(8)",
        )
        .help("leave --boot out for bhyveload, or say `--boot efi`")),
    }
}

impl Driver {
    /// Starts one.
    pub fn start(&self) -> Result<Box<dyn Machine>, InfraError> {
        Ok(match self {
            Self::Qemu(qemu, spec) => Box::new(QemuMachine::start(qemu, spec)?),
            Self::Bhyve(bhyve, spec) => Box::new(BhyveMachine::start(bhyve, spec)?),
        })
    }

    /// What runs the guest's instructions, for reports.
    pub fn accel(&self) -> &'static str {
        match self {
            Self::Qemu(_, spec) => spec.engine.name(),
            Self::Bhyve(..) => "bhyve",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_core::failure::rendered;

    #[test]
    fn ways_to_boot() {
        use {BootWish as Wish, Vmm::Bhyve, Vmm::Qemu};
        for (vmm, wish, enables, want) in [
            (Qemu, Wish::Auto, false, Way::Efi),
            (Qemu, Wish::Auto, true, Way::Pvh),
            (Qemu, Wish::Pvh, false, Way::Pvh),
            (Qemu, Wish::Efi, true, Way::Efi),
            (Bhyve, Wish::Auto, true, Way::Load),
            (Bhyve, Wish::Efi, true, Way::Efi),
        ] {
            let got = way(vmm, wish, enables).unwrap();
            assert_eq!(got, want, "{vmm} {wish:?} {enables}");
        }
        let failure = way(Bhyve, Wish::Pvh, true).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(rendered(&failure), @r"
        × could not boot by PVH
        ╰─▶ bhyve does not know it; its direct way is bhyveload(8)
        help: leave --boot out for bhyveload, or say `--boot efi`
        ");
    }

    fn bhyve() -> Bhyve {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bhyve", "bhyveload", "bhyvectl"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        Bhyve::at(dir.path(), dir.path()).unwrap()
    }

    #[test]
    fn the_demo_guest_needs_qemu() {
        let failure = Player::Bhyve(bhyve()).demo("/k".into(), 1).unwrap_err();
        insta::assert_snapshot!(rendered(&failure), @r"
        × could not boot the demo guest
        ╰─▶ bhyve cannot: the demo guest starts by its PVH entry
        help: install QEMU (`pkg install qemu`), or name a base
        ");
    }

    #[test]
    fn bhyve_gets_the_kernels_environment() {
        let parts = Parts {
            kernel: "/k".into(),
            cmdline: String::new(),
            env: crate::build::image::environment(crate::build::kernel::Generation::Legacy),
            esp: "/esp".into(),
            root: "/root.ufs".into(),
        };
        let driver = Player::Bhyve(bhyve()).freebsd(Way::Load, parts, 2).unwrap();
        assert_eq!(driver.accel(), "bhyve");
        let Driver::Bhyve(_, spec) = driver else {
            panic!("{driver:?}")
        };
        let args = spec.load_args("vm").unwrap();
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        insta::assert_snapshot!(args.join(" "), @"-m 512M -h /esp -e boot_serial=YES -e hw.uart.console=io:0x3f8,br:115200 -e vfs.root.mountfrom=ufs:/dev/vtbd0 -e vfs.root.mountfrom.options=rw -e init_path=/init -e debug.debugger_on_panic=1 -e hint.uart.0.at=isa -e hint.uart.0.port=0x3F8 -e hint.uart.0.flags=0x10 -e hint.uart.0.irq=4 -e hint.uart.1.at=isa -e hint.uart.1.port=0x2F8 -e hint.uart.1.irq=3 vm");
    }
}

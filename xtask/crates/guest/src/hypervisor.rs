//! Finds the hypervisor that the user wants, and chooses how it boots a
//! kernel.

#[cfg(test)]
mod manual;

use kdk_vm::accel::AccelChoice;
use kdk_vm::bhyve::Bhyve;
use kdk_vm::hypervisor::{BootMethod, Hypervisor};
use kdk_vm::qemu::QemuHypervisor;

use crate::request::{BootChoice, GuestRequest};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_doctor::accel;
use kdk_doctor::hypervisor::Kind;
use kdk_doctor::tools;

/// The memory of a FreeBSD guest, in MiB.
pub const FREEBSD_MIB: u32 = 512;
/// The memory of the demo guest, in MiB.
pub const DEMO_MIB: u32 = 128;

/// Returns the hypervisor that the user wants, or else the best one of this
/// host. The remark says why QEMU does not use the fastest accelerator.
///
/// # Errors
/// Fails when the hypervisor or the accelerator is not available here.
pub fn find(
    cache: &CacheDir,
    request: &GuestRequest,
) -> Result<(Box<dyn Hypervisor>, Option<String>), Failure> {
    match kdk_doctor::hypervisor::choose(request.vmm)? {
        Kind::Qemu => {
            let qemu = tools::qemu()?;
            let accel = accel::resolve(cache, &qemu, request.accel)?;
            let remark = accel.remark();
            let engine = accel.engine;
            Ok((Box::new(QemuHypervisor { qemu, engine }), remark))
        }
        Kind::Bhyve => {
            if request.accel != AccelChoice::Auto {
                return Err(Failure::usage(
                    "use that accelerator",
                    "bhyve supports only the processor's own virtualization",
                )
                .help("leave --accel out, or use `--vmm qemu`"));
            }
            Ok((Box::new(Bhyve::find()?), None))
        }
    }
}

/// Returns how `hypervisor` boots FreeBSD: as the user wants, else by its
/// fastest method. PVH needs a patch that the series `enables`.
///
/// # Errors
/// Fails when the hypervisor does not support the method that the user wants.
pub fn boot_method(
    hypervisor: &dyn Hypervisor,
    choice: BootChoice,
    enables: bool,
) -> Result<BootMethod, Failure> {
    let methods = hypervisor.boot_methods();
    let usable = |method: &&BootMethod| match choice {
        BootChoice::Auto => **method != BootMethod::Pvh || enables,
        BootChoice::Pvh => **method == BootMethod::Pvh,
        BootChoice::Efi => **method == BootMethod::Efi,
    };
    methods.iter().find(usable).copied().ok_or_else(|| {
        let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
        Failure::usage(
            "boot the kernel that way",
            format!(
                "{} does not support PVH; it supports {}",
                hypervisor.vmm(),
                names.join(" and ")
            ),
        )
        .help("leave --boot out, or use `--boot efi` or `--vmm qemu`")
    })
}

/// Checks that `hypervisor` can boot the demo guest.
///
/// # Errors
/// Fails when it has no PVH entry, which is all that the demo guest has.
pub fn check_demo(hypervisor: &dyn Hypervisor) -> Result<(), Failure> {
    if hypervisor.boot_methods().contains(&BootMethod::Pvh) {
        return Ok(());
    }
    Err(Failure::usage(
        "boot the demo guest",
        format!(
            "{} does not support PVH, which the demo guest needs",
            hypervisor.vmm()
        ),
    )
    .help("install QEMU (`pkg install qemu`), or name a base"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_core::failure::rendered;
    use kdk_vm::bhyve;
    use kdk_vm::qemu::{Engine, OLDEST, Qemu};

    fn qemu() -> QemuHypervisor {
        QemuHypervisor {
            qemu: Qemu {
                path: "qemu".into(),
                version: OLDEST,
            },
            engine: Engine::Tcg,
        }
    }

    fn installed_bhyve() -> Bhyve {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bhyve", "bhyveload", "bhyvectl"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        Bhyve::at(dir.path(), dir.path()).unwrap()
    }

    #[test]
    fn boot_methods() {
        let (qemu, bhyve): (&dyn Hypervisor, &dyn Hypervisor) = (&qemu(), &installed_bhyve());
        for (hypervisor, choice, enables, want) in [
            (qemu, BootChoice::Auto, false, BootMethod::Efi),
            (qemu, BootChoice::Auto, true, BootMethod::Pvh),
            (qemu, BootChoice::Pvh, false, BootMethod::Pvh),
            (qemu, BootChoice::Efi, true, BootMethod::Efi),
            (bhyve, BootChoice::Auto, true, BootMethod::Load),
            (bhyve, BootChoice::Efi, true, BootMethod::Efi),
        ] {
            let got = boot_method(hypervisor, choice, enables).unwrap();
            assert_eq!(got, want, "{} {choice:?} {enables}", hypervisor.vmm());
        }
        let failure = boot_method(bhyve, BootChoice::Pvh, true).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(rendered(&failure), @r"
        × could not boot the kernel that way
        ╰─▶ bhyve does not support PVH; it supports load and efi
        help: leave --boot out, or use `--boot efi` or `--vmm qemu`
        ");
    }

    #[test]
    fn the_demo_guest_needs_qemu() {
        assert!(check_demo(&qemu()).is_ok());
        let failure = check_demo(&installed_bhyve()).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(rendered(&failure), @r"
        × could not boot the demo guest
        ╰─▶ bhyve does not support PVH, which the demo guest needs
        help: install QEMU (`pkg install qemu`), or name a base
        ");
    }

    #[test]
    fn bhyve_gets_the_kernels_environment() {
        use crate::build::{image, kernel::Generation};
        let spec = bhyve::Spec::new(bhyve::Boot::Load {
            dir: "/esp".into(),
            env: bhyve::load_env(image::environment(Generation::Legacy)),
        });
        let args = spec.load_args("vm").unwrap();
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        insta::assert_snapshot!(args.join(" "), @"-m 512M -h /esp -e boot_serial=YES -e hw.uart.console=io:0x3f8,br:115200 -e vfs.root.mountfrom=ufs:/dev/vtbd0 -e vfs.root.mountfrom.options=rw -e init_path=/init -e debug.debugger_on_panic=1 -e hint.uart.0.at=isa -e hint.uart.0.port=0x3F8 -e hint.uart.0.flags=0x10 -e hint.uart.0.irq=4 -e hint.uart.1.at=isa -e hint.uart.1.port=0x2F8 -e hint.uart.1.irq=3 vm");
    }
}

//! A machine as data, and QEMU's arguments for it. Pure.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hypervisor::MachineSize;

/// The accelerator, which executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The hypervisor of Linux.
    Kvm,
    /// The hypervisor of macOS.
    Hvf,
    /// The hypervisor of NetBSD.
    Nvmm,
    /// The emulator of QEMU.
    Tcg,
}

impl Engine {
    /// Returns its name in QEMU's arguments and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Nvmm => "nvmm",
            Self::Tcg => "tcg",
        }
    }
}

/// How the machine boots its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// QEMU loads the kernel and enters it at the PVH entry point of its note.
    Pvh {
        /// The kernel, an ELF file.
        kernel: PathBuf,
        /// Its command line, which becomes the kernel's environment.
        cmdline: String,
    },
    /// Firmware and FreeBSD's loader, from a directory shown as a FAT disk.
    Efi {
        /// The firmware's code: a flash image, or a complete ROM (`OVMF.fd`).
        firmware: PathBuf,
        /// The directory with `EFI/BOOT/BOOTX64.EFI`.
        dir: PathBuf,
    },
}

/// The format of a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// The qcow2 format of QEMU.
    Qcow2,
}

/// What the guest may do to a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The guest cannot write.
    ReadOnly,
    /// The guest's writes are discarded.
    Snapshot,
    /// The guest's writes are kept.
    Persistent,
}

/// A virtio disk. The order is the guest's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The path of the image.
    pub path: PathBuf,
    /// The format of the image.
    pub format: Format,
    /// What may become of it.
    pub access: Access,
}

/// The description of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The accelerator to use.
    pub engine: Engine,
    /// Its CPUs and its memory.
    pub size: MachineSize,
    /// How the machine boots.
    pub boot: Boot,
    /// The disks of the machine.
    pub drives: Vec<Drive>,
    /// Whether it is restored from a saved state instead of booting.
    pub loads: bool,
    /// Whether it is stopped until a debugger continues it.
    pub halted: bool,
    /// Additional arguments for QEMU.
    pub extra: Vec<OsString>,
}

/// The descriptors of QEMU's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fds {
    /// The first serial port.
    pub console: RawFd,
    /// The second serial port.
    pub result: RawFd,
    /// The monitor (QMP).
    pub monitor: RawFd,
    /// The saved state, if one is restored.
    pub state: RawFd,
}

/// The PCI slot of the first disk. The loader's directory comes after all
/// disks, so that the guest's disks have the same names with every boot method.
const FIRST_SLOT: usize = 4;

impl Spec {
    /// Returns a machine with one CPU, 512 MiB of memory and no disks.
    pub fn new(engine: Engine, boot: Boot) -> Self {
        Self {
            engine,
            size: MachineSize {
                cpus: 1,
                mem_mib: 512,
            },
            boot,
            drives: Vec::new(),
            loads: false,
            halted: false,
            extra: Vec::new(),
        }
    }

    /// Returns the same machine in another size.
    pub fn sized(&self, size: MachineSize) -> Self {
        Self {
            size,
            ..self.clone()
        }
    }

    /// Returns the arguments of QEMU.
    pub fn args(&self, fds: Fds) -> Vec<OsString> {
        let mut args = Args::default();
        args.flag("-no-user-config").flag("-nodefaults");
        args.pair("-display", "none").pair("-machine", "q35");
        args.pair("-accel", self.engine.name());
        if self.engine != Engine::Tcg {
            args.pair("-cpu", "host");
        }
        args.pair("-smp", &self.size.cpus.to_string());
        args.pair("-m", &self.size.mem_mib.to_string());
        // The machine starts when the monitor is ready, so that no event is
        // missed.
        args.flag("-S");
        // A guest that resets itself ends, instead of rebooting.
        args.flag("-no-reboot");
        args.pair("-device", "isa-debug-exit,iobase=0x501,iosize=1");
        args.pair("-device", "virtio-rng-pci");
        args.socket("console", fds.console);
        args.pair("-serial", "chardev:console");
        args.socket("result", fds.result);
        args.pair("-serial", "chardev:result");
        args.socket("monitor", fds.monitor);
        args.pair("-mon", "chardev=monitor,mode=control");
        for (n, drive) in self.drives.iter().enumerate() {
            args.drive(n, drive);
        }
        match &self.boot {
            Boot::Pvh { kernel, cmdline } => {
                args.flag("-kernel").flag(kernel);
                args.pair("-append", cmdline);
            }
            Boot::Efi { firmware, dir } => args.efi(firmware, dir, self.drives.len()),
        }
        if self.loads {
            args.pair("-incoming", &format!("fd:{}", fds.state));
        }
        args.0.extend(self.extra.iter().cloned());
        args.0
    }
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flag(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.0.push(arg.as_ref().to_owned());
        self
    }

    fn pair(&mut self, name: &str, value: &str) -> &mut Self {
        self.flag(name).flag(value)
    }

    fn socket(&mut self, id: &str, fd: RawFd) {
        self.pair("-chardev", &format!("socket,id={id},fd={fd}"));
    }

    fn drive(&mut self, n: usize, drive: &Drive) {
        let format = match drive.format {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        };
        let access = match drive.access {
            Access::ReadOnly => ",readonly=on",
            Access::Snapshot => ",snapshot=on",
            Access::Persistent => "",
        };
        let mut value = OsString::from(format!("if=none,id=disk{n},format={format}{access},file="));
        value.push(escape(&drive.path));
        self.flag("-drive").flag(value);
        let slot = FIRST_SLOT + n;
        self.pair(
            "-device",
            &format!("virtio-blk-pci,drive=disk{n},addr={slot:#x}"),
        );
    }

    fn efi(&mut self, firmware: &Path, dir: &Path, drives: usize) {
        if is_flash(firmware) {
            let mut value = OsString::from("if=pflash,format=raw,readonly=on,file=");
            value.push(escape(firmware));
            self.flag("-drive").flag(value);
        } else {
            self.flag("-bios").flag(firmware);
        }
        // Read-only: QEMU cannot save the state of a machine with a writable
        // vvfat.
        let mut value = OsString::from("driver=vvfat,node-name=esp,read-only=on,dir=");
        value.push(escape(dir));
        self.flag("-blockdev").flag(value);
        let slot = FIRST_SLOT + drives;
        self.pair(
            "-device",
            &format!("virtio-blk-pci,drive=esp,bootindex=0,addr={slot:#x}"),
        );
    }
}

/// Returns whether a firmware file is the code half of a flash image, by its
/// name. The other kind has code and variables in one file.
fn is_flash(firmware: &Path) -> bool {
    let name = firmware.file_name().unwrap_or_default().to_string_lossy();
    name.to_ascii_lowercase().contains("code")
}

/// Returns `path` for a list of options, in which each comma is doubled.
pub fn escape(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = path.as_os_str().as_bytes();
    let doubled = bytes
        .iter()
        .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(spec: &Spec) -> String {
        let fds = Fds {
            console: 10,
            result: 11,
            monitor: 12,
            state: 13,
        };
        let mut text = String::new();
        for arg in spec.args(fds) {
            let arg = arg.to_string_lossy().into_owned();
            text.push_str(if arg.starts_with('-') { "\n" } else { " " });
            text.push_str(&arg);
        }
        text.trim_start().to_owned()
    }

    fn root(access: Access) -> Drive {
        Drive {
            path: "/cache/root,1.img".into(),
            format: Format::Raw,
            access,
        }
    }

    #[test]
    fn pvh_on_the_emulator() {
        let mut spec = Spec::new(
            Engine::Tcg,
            Boot::Pvh {
                kernel: "/k, v/kernel".into(),
                cmdline: "vfs.root.mountfrom=ufs:/dev/vtbd0".into(),
            },
        );
        spec.drives = vec![root(Access::Snapshot)];
        insta::assert_snapshot!(text(&spec), @r"
        -no-user-config
        -nodefaults
        -display none
        -machine q35
        -accel tcg
        -smp 1
        -m 512
        -S
        -no-reboot
        -device isa-debug-exit,iobase=0x501,iosize=1
        -device virtio-rng-pci
        -chardev socket,id=console,fd=10
        -serial chardev:console
        -chardev socket,id=result,fd=11
        -serial chardev:result
        -chardev socket,id=monitor,fd=12
        -mon chardev=monitor,mode=control
        -drive if=none,id=disk0,format=raw,snapshot=on,file=/cache/root,,1.img
        -device virtio-blk-pci,drive=disk0,addr=0x4
        -kernel /k, v/kernel
        -append vfs.root.mountfrom=ufs:/dev/vtbd0
        ");
    }

    #[test]
    fn efi_on_kvm() {
        let mut spec = Spec::new(
            Engine::Kvm,
            Boot::Efi {
                firmware: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
                dir: "/tmp/a,b:c".into(),
            },
        );
        spec.size.cpus = 2;
        spec.drives = vec![
            root(Access::ReadOnly),
            Drive {
                path: "/cache/data.qcow2".into(),
                format: Format::Qcow2,
                access: Access::Persistent,
            },
        ];
        spec.extra = vec!["-s".into()];
        insta::assert_snapshot!(text(&spec), @r"
        -no-user-config
        -nodefaults
        -display none
        -machine q35
        -accel kvm
        -cpu host
        -smp 2
        -m 512
        -S
        -no-reboot
        -device isa-debug-exit,iobase=0x501,iosize=1
        -device virtio-rng-pci
        -chardev socket,id=console,fd=10
        -serial chardev:console
        -chardev socket,id=result,fd=11
        -serial chardev:result
        -chardev socket,id=monitor,fd=12
        -mon chardev=monitor,mode=control
        -drive if=none,id=disk0,format=raw,readonly=on,file=/cache/root,,1.img
        -device virtio-blk-pci,drive=disk0,addr=0x4
        -drive if=none,id=disk1,format=qcow2,file=/cache/data.qcow2
        -device virtio-blk-pci,drive=disk1,addr=0x5
        -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd
        -blockdev driver=vvfat,node-name=esp,read-only=on,dir=/tmp/a,,b:c
        -device virtio-blk-pci,drive=esp,bootindex=0,addr=0x6
        -s
        ");
    }

    #[test]
    fn a_saved_state_comes_by_a_descriptor() {
        let boot = Boot::Pvh {
            kernel: "/kernel".into(),
            cmdline: String::new(),
        };
        let mut spec = Spec::new(Engine::Tcg, boot);
        assert!(!text(&spec).contains("-incoming"));
        spec.loads = true;
        assert!(text(&spec).contains("\n-incoming fd:13"));
    }

    #[test]
    fn efi_with_a_rom_of_both_halves() {
        let boot = Boot::Efi {
            firmware: "/usr/share/ovmf/OVMF.fd".into(),
            dir: "/esp".into(),
        };
        let text = text(&Spec::new(Engine::Hvf, boot));
        assert!(text.contains("-bios /usr/share/ovmf/OVMF.fd"), "{text}");
        assert!(text.contains("-accel hvf\n-cpu host"), "{text}");
    }
}

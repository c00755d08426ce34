//! A machine as data, and the arguments of bhyve's three programs for it.
//! Pure.
//!
//! Every option is in FreeBSD 15.1's manual pages, which a test of xtask
//! checks, and none is newer than FreeBSD 14.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::hypervisor::MachineSize;
use crate::qemu::Drive;

/// How the machine boots its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// bhyveload(8) loads the kernel, before the machine starts.
    Load {
        /// The directory with `boot/kernel/kernel` and
        /// `boot/lua/loader.lua`, see [`Layout`](crate::efi::Layout).
        dir: PathBuf,
        /// The kernel's environment, see [`load_env`].
        env: Vec<(String, String)>,
    },
    /// Firmware and FreeBSD's loader, from a directory that becomes a FAT
    /// disk.
    Efi {
        /// The firmware file, which contains code and variables.
        firmware: PathBuf,
        /// The directory with `EFI/BOOT/BOOTX64.EFI`.
        dir: PathBuf,
    },
}

/// The description of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its CPUs and its memory.
    pub size: MachineSize,
    /// How the machine boots.
    pub boot: Boot,
    /// The disks of the machine.
    pub drives: Vec<Drive>,
}

/// A disk of one machine. The order is the guest's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The path of the image.
    pub path: PathBuf,
    /// Whether the guest cannot write to it.
    pub read_only: bool,
}

/// What each machine has of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// The name of the virtual machine.
    pub name: String,
    /// The terminal of the first serial port.
    pub console: PathBuf,
    /// The terminal of the second serial port.
    pub result: PathBuf,
    /// The disks, with the boot disk last.
    pub disks: Vec<Disk>,
}

/// The PCI slot of the first disk, the same as in QEMU.
const FIRST_SLOT: usize = 4;

impl Spec {
    /// Returns a machine with one CPU, 512 MiB of memory and no disks.
    pub fn new(boot: Boot) -> Self {
        Self {
            size: MachineSize {
                cpus: 1,
                mem_mib: 512,
            },
            boot,
            drives: Vec::new(),
        }
    }

    /// Returns the arguments of bhyveload, or none if firmware loads the
    /// kernel.
    pub fn load_args(&self, name: &str) -> Option<Vec<OsString>> {
        let Boot::Load { dir, env } = &self.boot else {
            return None;
        };
        let mut args = Args::default();
        args.pair("-m", &self.memory());
        args.flag("-h").flag(dir);
        for (name, value) in env {
            args.pair("-e", &format!("{name}={value}"));
        }
        args.flag(name);
        Some(args.0)
    }

    /// Returns the arguments of bhyve.
    pub fn run_args(&self, wiring: &Wiring) -> Vec<OsString> {
        let mut args = Args::default();
        args.pair("-c", &self.size.cpus.to_string());
        args.pair("-m", &self.memory());
        // -H: idle CPUs yield. -u: the clock is UTC, as in QEMU. -w: ignore an
        // access to an unimplemented register.
        args.flag("-H").flag("-u").flag("-w");
        // The default of FreeBSD 15. A guest cannot power off without ACPI
        // tables.
        args.pair("-o", "acpi_tables=true");
        args.pair("-s", "0,hostbridge").pair("-s", "3,virtio-rnd");
        for (n, disk) in wiring.disks.iter().enumerate() {
            args.disk(FIRST_SLOT + n, disk);
        }
        args.pair("-s", "31,lpc");
        args.lpc("com1", &wiring.console);
        args.lpc("com2", &wiring.result);
        if let Boot::Efi { firmware, .. } = &self.boot {
            args.lpc("bootrom", firmware);
        }
        args.flag(&wiring.name);
        args.0
    }

    /// Returns the size for bhyveload and bhyve, which must get the same one.
    fn memory(&self) -> String {
        format!("{}M", self.size.mem_mib)
    }
}

/// Returns the arguments of bhyvectl that remove the machine `name`.
pub fn destroy_args(name: &str) -> [String; 2] {
    [format!("--vm={name}"), "--destroy".into()]
}

/// Returns the arguments of bhyvectl that send a non-maskable interrupt to the
/// machine `name`.
pub fn nmi_args(name: &str) -> [String; 2] {
    [format!("--vm={name}"), "--inject-nmi".into()]
}

/// Returns the part of a kernel's environment that bhyveload sets. It leaves
/// out values that use variables of the UEFI loader, and `console`, which
/// selects one of that loader's consoles. bhyveload itself uses the serial
/// console.
pub fn load_env(env: Vec<(String, String)>) -> Vec<(String, String)> {
    env.into_iter()
        .filter(|(name, value)| name != "console" && !value.contains("${"))
        .collect()
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

    fn lpc(&mut self, device: &str, path: &Path) {
        let mut value = OsString::from(format!("{device},"));
        value.push(path);
        self.flag("-l").flag(value);
    }

    fn disk(&mut self, slot: usize, disk: &Disk) {
        let mut value = OsString::from(format!("{slot},virtio-blk,"));
        value.push(&disk.path);
        if disk.read_only {
            value.push(",ro");
        }
        self.flag("-s").flag(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(args: &[OsString]) -> String {
        let mut text = String::new();
        for arg in args {
            let arg = arg.to_string_lossy();
            text.push_str(if arg.starts_with('-') { "\n" } else { " " });
            text.push_str(&arg);
        }
        text.trim_start().to_owned()
    }

    fn wiring(disks: &[(&str, bool)]) -> Wiring {
        let disk = |&(path, read_only): &(&str, bool)| Disk {
            path: path.into(),
            read_only,
        };
        Wiring {
            name: "kdk-77-0".into(),
            console: "/dev/pts/3".into(),
            result: "/dev/pts/4".into(),
            disks: disks.iter().map(disk).collect(),
        }
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn bhyveload_loads_the_kernel() {
        let spec = Spec::new(Boot::Load {
            dir: "/store/a, b/esp".into(),
            env: env(&[
                ("boot_serial", "YES"),
                ("hw.uart.console", "io:0x3f8,br:115200"),
                ("motd", "two words"),
            ]),
        });
        insta::assert_snapshot!(text(&spec.load_args("kdk-77-0").unwrap()), @r"
        -m 512M
        -h /store/a, b/esp
        -e boot_serial=YES
        -e hw.uart.console=io:0x3f8,br:115200
        -e motd=two words kdk-77-0
        ");
        insta::assert_snapshot!(text(&spec.run_args(&wiring(&[("/tmp/kdk-77-0/disk0.img", false)]))), @r"
        -c 1
        -m 512M
        -H
        -u
        -w
        -o acpi_tables=true
        -s 0,hostbridge
        -s 3,virtio-rnd
        -s 4,virtio-blk,/tmp/kdk-77-0/disk0.img
        -s 31,lpc
        -l com1,/dev/pts/3
        -l com2,/dev/pts/4 kdk-77-0
        ");
    }

    #[test]
    fn firmware_loads_the_kernel() {
        let mut spec = Spec::new(Boot::Efi {
            firmware: "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd".into(),
            dir: "/store/esp".into(),
        });
        (spec.size.cpus, spec.size.mem_mib) = (2, 1024);
        assert_eq!(spec.load_args("kdk-77-0"), None);
        let disks = [("/store/root.ufs", true), ("/tmp/kdk-77-0/esp.img", true)];
        insta::assert_snapshot!(text(&spec.run_args(&wiring(&disks))), @r"
        -c 2
        -m 1024M
        -H
        -u
        -w
        -o acpi_tables=true
        -s 0,hostbridge
        -s 3,virtio-rnd
        -s 4,virtio-blk,/store/root.ufs,ro
        -s 5,virtio-blk,/tmp/kdk-77-0/esp.img,ro
        -s 31,lpc
        -l com1,/dev/pts/3
        -l com2,/dev/pts/4
        -l bootrom,/usr/local/share/uefi-firmware/BHYVE_UEFI.fd kdk-77-0
        ");
    }

    #[test]
    fn bhyvectl_gets_the_machine_first() {
        assert_eq!(destroy_args("vm"), ["--vm=vm", "--destroy"]);
        assert_eq!(nmi_args("vm"), ["--vm=vm", "--inject-nmi"]);
    }

    #[test]
    fn what_only_firmwares_loader_knows_is_not_set() {
        let all = env(&[
            ("console", "comconsole"),
            ("boot_serial", "YES"),
            ("hint.acpi.0.rsdp", "${acpi.rsdp}"),
        ]);
        assert_eq!(load_env(all), env(&[("boot_serial", "YES")]));
    }
}

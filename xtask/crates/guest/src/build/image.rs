//! The files that the machine boots from: the root file system and the loader's
//! directory.

use std::path::{Path, PathBuf};

use kdk_suites::Suites;
use kdk_vm::efi::{LOADER_LUA, Layout, command_line};
use kdk_vm::image::{Makefs, Tree, write};

use super::kernel::Generation;
use super::userland::suites;
use super::{Builder, Built};
use crate::program::Program;
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::{Entry, Inputs};

/// The name of the root file system in its store entry.
pub const ROOT: &str = "root.ufs";

/// The name of the loader's directory in its store entry.
pub const ESP: &str = "esp";

/// The size of the root file system in bytes, with room for the suites' files,
/// and without the user's programs.
const ROOT_SIZE: u64 = 32 << 20;

/// The parts of an image.
pub struct Parts<'a> {
    /// The base's name.
    pub base: &'a str,
    /// How its kernel was built.
    pub generation: Generation,
    /// The kernel to boot.
    pub kernel: &'a Entry,
    /// The module kdk.ko.
    pub kmod: &'a Entry,
    /// The programs: init and the suites.
    pub userland: &'a Entry,
    /// The EFI loader.
    pub loader: &'a Entry,
    /// The user's programs.
    pub user: &'a [Program],
}

/// Returns the image, built if necessary.
pub fn build(builder: &Builder<'_>, parts: &Parts<'_>) -> Result<Built, Failure> {
    let env = environment(parts.generation);
    let suites = suites()?;
    let mut inputs = Inputs::new("image", parts.base);
    inputs.digest("kernel", &parts.kernel.key);
    inputs.digest("kdk.ko", &parts.kmod.key);
    inputs.digest("userland", &parts.userland.key);
    inputs.digest("loader", &parts.loader.key);
    let mut size = ROOT_SIZE;
    for program in parts.user {
        program.declare(&mut inputs)?;
        size += program.size()?;
    }
    inputs.bytes("kernel environment", format!("{env:?} {size}"));
    inputs.bytes("bhyveload's script", LOADER_LUA);
    builder.obtain(
        Phase::Image,
        "building the image",
        &inputs,
        &|_, _, _| Vec::new(),
        |folder| {
            let makefs = Makefs::find().map_err(failure)?;
            write(&makefs, &tree(parts, &suites), &folder.join(ROOT), size).map_err(failure)?;
            let esp = folder.join(ESP);
            std::fs::create_dir(&esp)
                .map_err(|error| Failure::io("build the image", &esp, error))?;
            let layout = Layout {
                loader: parts.loader.file(super::loader::LOADER),
                kernel: parts.kernel.file("kernel"),
                env,
            };
            layout.write(&esp).map_err(failure)?;
            Ok(())
        },
    )
}

fn tree(parts: &Parts<'_>, suites: &Suites) -> Tree {
    let mut tree = Tree::new()
        .dir("dev", 0o755)
        .dir("tmp", 0o1777)
        .dir("mnt", 0o755)
        .dir("suites", 0o755)
        .file("init", 0o555, parts.userland.file("init"))
        .file("kdk.ko", 0o444, parts.kmod.file("kdk.ko"))
        .file("kdk-wrong.ko", 0o444, parts.kmod.file("kdk-wrong.ko"));
    for name in suites.with_program().map(|suite| &suite.name) {
        tree = tree.file(&format!("suites/{name}"), 0o555, parts.userland.file(name));
    }
    let programs = parts.user.iter();
    programs.fold(tree, |tree, program| program.add_to(tree))
}

/// A panic stays in ddb, because the runner queries a dead kernel. A modern
/// kernel enters ddb on an NMI only with this setting (nmi_call_kdb() in
/// sys/x86/x86/cpu_machdep.c).
const DEBUGGER: (&str, &str) = ("debug.debugger_on_panic", "1");

/// Returns the kernel's environment when a loader boots it.
pub fn environment(generation: Generation) -> Vec<(String, String)> {
    let mut env = vec![
        ("boot_serial", "YES"),
        ("console", "comconsole"),
        ("hw.uart.console", "io:0x3f8,br:115200"),
        ("vfs.root.mountfrom", "ufs:/dev/vtbd0"),
        ("vfs.root.mountfrom.options", "rw"),
        ("init_path", "/init"),
        DEBUGGER,
    ];
    if generation == Generation::Legacy {
        // It knows the table's address only by the name of its time, and
        // numbers serial ports as ACPI lists them unless hints say which is
        // the first.
        env.extend([
            ("hint.acpi.0.rsdp", "${acpi.rsdp}"),
            ("hint.uart.0.at", "isa"),
            ("hint.uart.0.port", "0x3F8"),
            ("hint.uart.0.flags", "0x10"),
            ("hint.uart.0.irq", "4"),
            ("hint.uart.1.at", "isa"),
            ("hint.uart.1.port", "0x2F8"),
            ("hint.uart.1.irq", "3"),
        ]);
    }
    own(&env)
}

/// Returns the command line of a direct boot: no loader, so no device.hints
/// either.
pub fn direct_command_line() -> Result<String, Failure> {
    let env = own(&[
        ("console", "comconsole"),
        ("boot_serial", "YES"),
        ("hw.uart.console", "io:0x3f8"),
        ("hint.uart.0.at", "isa"),
        ("hint.uart.0.port", "0x3F8"),
        ("hint.uart.0.flags", "0x10"),
        ("hint.uart.0.irq", "4"),
        ("vfs.root.mountfrom", "ufs:/dev/vtbd0"),
        ("vfs.root.mountfrom.options", "rw"),
        ("init_path", "/init"),
        DEBUGGER,
    ]);
    command_line(&env)
        .map_err(|error| Failure::infra("write the kernel's command line", error.to_string()))
}

fn own(env: &[(&str, &str)]) -> Vec<(String, String)> {
    env.iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the vm crate's own error, whose exit code is always infrastructure's
/// here.
fn failure(error: kdk_vm::error::InfraError) -> Failure {
    Failure::from(error)
}

/// Returns the root file system of an image.
pub fn root(entry: &Entry) -> PathBuf {
    entry.file(ROOT)
}

/// Returns the loader's directory of an image.
pub fn esp(entry: &Path) -> PathBuf {
    entry.join(ESP)
}

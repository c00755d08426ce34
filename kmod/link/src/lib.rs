//! Turns the archive cargo built from the `kdk-kmod` crate, and the C objects,
//! into `kdk.ko`: a relocatable object that FreeBSD's kernel linker loads.
//!
//! The kernel linker is a small program that panics, or refuses with
//! `ENOEXEC` and little more, when an object has something it does not know.
//! This crate checks for everything that the kernel linker rejects, on the
//! host, where the error can name the cause:
//!
//! - [`elf::rewrite_plt`] turns `R_X86_64_PLT32` into `R_X86_64_PC32`. Between
//!   a module and the kernel both mean the same, and kernels from before 2018
//!   know only the second.
//! - [`elf::check`] refuses relocation types, sections and symbols the kernel
//!   linker does not load.
//! - [`elf::missing`] compares the undefined symbols with the kernel's table.
//!
//! Debug information of a relocatable object has no addresses yet, so beside
//! the module is a debug copy, linked to final addresses from the same inputs:
//! in both a function has the same length, neighbours and offsets.

pub mod elf;
pub mod layout;
pub mod llvm;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The symbol that pulls in the shim, and through it everything else.
/// `kmod/shim/kdk_shim.c` defines it.
pub const ENTRY: &str = "kdk_modevent";

/// The inputs and outputs of one link of the module.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The program `ld.lld` of LLVM.
    pub ld: &'a Path,
    /// `kmod/kdk.ld`; `kdk-loaded.ld` is in the same folder.
    pub script: &'a Path,
    /// Archives and objects, `libkdk.a` and the C files' objects.
    pub inputs: &'a [PathBuf],
    /// Where the module goes. It is written only when every check passes.
    pub out: &'a Path,
    /// The kernel the module is for, when there is one to compare with.
    pub kernel: Option<&'a Path>,
}

/// The result of a [`Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Size of the module, bytes.
    pub bytes: u64,
    /// Relocations that were rewritten from PLT32 to PC32.
    pub rewritten: usize,
}

/// An error of a link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The linker could not be started.
    #[error("cannot run the linker {}: {source}. `cargo xtask doctor` looks for it", ld.display())]
    Start {
        /// The linker that did not start.
        ld: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The linker ended with an error.
    #[error("{} could not link kdk.ko:\n{output}", ld.display())]
    Linker {
        /// The linker that failed.
        ld: PathBuf,
        /// What it wrote.
        output: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// "read" or "write".
        what: &'static str,
        /// The file that was read or written.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not a usable {expected}: {reason}", path.display())]
    Format {
        /// The file that was read.
        path: PathBuf,
        /// "kernel module" or "FreeBSD kernel".
        expected: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel linker would refuse the module, or panic on it.
    #[error(
        "the kernel's linker cannot load this kdk.ko:\n  {}\nBuild the kdk-kmod crate with the flags `cargo xtask vm-test` uses (code model, plt, panic=abort)",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
    )]
    Unloadable(Vec<elf::Flaw>),
    /// The kernel lacks symbols.
    #[error(
        "the kernel {} lacks {} symbol(s) that kdk.ko needs: {}. The kernel configuration leaves them out, or the module was built from another tree",
        kernel.display(), symbols.len(), symbols.join(", ")
    )]
    Missing {
        /// The kernel that lacks the symbols.
        kernel: PathBuf,
        /// The symbols, sorted.
        symbols: Vec<String>,
    },
}

/// Links the module, makes it fit for the kernel linker of every base, and
/// checks it.
///
/// # Errors
/// See [`LinkError`]. If it fails, `out` is unchanged.
pub fn link(link: &Link<'_>) -> Result<Linked, LinkError> {
    let scratch = sibling(link.out);
    let args = arguments(link.script, link.inputs, &scratch);
    let made = run(link.ld, &args).and_then(|()| finish(link, &scratch));
    // Best effort: the name is ours and the next link overwrites it.
    let _ = std::fs::remove_file(&scratch);
    made
}

/// Links the module's debug copy: for reading only, no kernel would load it.
///
/// # Errors
/// [`LinkError::Start`] and [`LinkError::Linker`].
pub fn link_debug(
    ld: &Path,
    script: &Path,
    inputs: &[PathBuf],
    out: &Path,
) -> Result<(), LinkError> {
    run(ld, &debug_arguments(script, inputs, out))
}

/// The linker's arguments for one module.
#[must_use]
pub fn arguments(script: &Path, inputs: &[PathBuf], out: &Path) -> Vec<OsString> {
    let loaded = script.with_file_name("kdk-loaded.ld");
    let mut args = vec!["-r".into(), "-T".into(), script.into()];
    args.extend(["-T".into(), loaded.into()]);
    args.extend(common_arguments(inputs, out));
    args
}

/// The linker's arguments for its debug copy. What the linker drops keeps its
/// lines at address 0, so the code is put elsewhere.
#[must_use]
pub fn debug_arguments(script: &Path, inputs: &[PathBuf], out: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![
        "--unresolved-symbols=ignore-all".into(),
        "--section-start=.text=0x1000000".into(),
    ];
    args.extend(["-T".into(), script.into()]);
    args.extend(common_arguments(inputs, out));
    args
}

/// What both links have to agree in.
fn common_arguments(inputs: &[PathBuf], out: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["--gc-sections", "-e", ENTRY, "-u", ENTRY, "-o"]
        .map(OsString::from)
        .to_vec();
    args.push(out.into());
    // An object is taken as a member of an archive is: when something needs it.
    args.push("--start-lib".into());
    args.extend(inputs.iter().map(OsString::from));
    args.push("--end-lib".into());
    args
}

fn sibling(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".linking");
    PathBuf::from(name)
}

fn run(ld: &Path, args: &[OsString]) -> Result<(), LinkError> {
    let output = Command::new(ld)
        .args(args)
        .output()
        .map_err(|source| LinkError::Start {
            ld: ld.to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(LinkError::Linker {
        ld: ld.to_owned(),
        output: String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned(),
    })
}

fn finish(link: &Link<'_>, made: &Path) -> Result<Linked, LinkError> {
    let mut module = read(made)?;
    let unusable = |reason: elf::NotElf| LinkError::Format {
        path: link.out.to_owned(),
        expected: "kernel module",
        reason: reason.to_string(),
    };
    let rewritten = elf::rewrite_plt(&mut module).map_err(unusable)?;
    let flaws = elf::check(&module).map_err(unusable)?;
    if !flaws.is_empty() {
        return Err(LinkError::Unloadable(flaws));
    }
    if let Some(kernel) = link.kernel {
        let symbols =
            elf::missing(&module, &read(kernel)?).map_err(|reason| LinkError::Format {
                path: kernel.to_owned(),
                expected: "FreeBSD kernel",
                reason: reason.to_string(),
            })?;
        if !symbols.is_empty() {
            return Err(LinkError::Missing {
                kernel: kernel.to_owned(),
                symbols,
            });
        }
    }
    let failed = |source| LinkError::File {
        what: "write",
        path: link.out.to_owned(),
        source,
    };
    std::fs::write(made, &module).map_err(failed)?;
    std::fs::rename(made, link.out).map_err(failed)?;
    Ok(Linked {
        bytes: module.len() as u64,
        rewritten,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, LinkError> {
    std::fs::read(path).map_err(|source| LinkError::File {
        what: "read",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

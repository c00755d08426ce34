//! Checks a kernel, a module or a user's program before a machine is started
//! for it.

use std::fs::File;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use object::elf::{
    ELFOSABI_FREEBSD, EM_X86_64, ET_DYN, ET_EXEC, ET_REL, FileHeader64, PT_INTERP, PT_NOTE,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};

/// Xen's note type for the 32-bit physical entry point, XEN_ELFNOTE_PHYS32_ENTRY.
const PVH_ENTRY: u32 = 18;

/// The role that a file must fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A kernel that QEMU loads. It needs a PVH entry point.
    PvhKernel,
    /// A kernel for FreeBSD's loader.
    Kernel,
    /// A kernel module.
    Module,
    /// A user's program. The guest has no libraries, so it is static.
    Program,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::PvhKernel | Self::Kernel => "kernel",
            Self::Module => "kernel module",
            Self::Program => "program for the guest",
        }
    }
}

/// The reason why a file cannot fill its role.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{} is not a usable {}: {what}", path.display(), role.name())]
#[diagnostic(help("{help}"))]
pub struct ElfError {
    /// The path of the file.
    pub path: PathBuf,
    /// The role that it must fill.
    pub role: Role,
    /// What is wrong with it.
    pub what: String,
    /// How to correct it.
    pub help: &'static str,
}

/// Checks that the file `path` can fill `role`.
///
/// # Errors
/// Fails with [`ElfError`], which says what is wrong.
pub fn check(path: &Path, role: Role) -> Result<(), ElfError> {
    let refuse = |(what, help): Refusal| ElfError {
        path: path.to_owned(),
        role,
        what,
        help: match role {
            Role::Program => STATIC,
            _ => help,
        },
    };
    let file =
        File::open(path).map_err(|e| refuse((format!("it cannot be read ({e})"), UNREADABLE)))?;
    let size = file
        .metadata()
        .map_err(|e| refuse((format!("it cannot be read ({e})"), REBUILD)))?
        .len();
    inspect(&ReadCache::new(file), size, role).map_err(refuse)
}

type Refusal = (String, &'static str);

const UNREADABLE: &str = "check its permissions; if it is gone, `cargo xtask clean --store` and \
                          the same command again build it anew";
const REBUILD: &str = "the build or a copy was cut off, or the disk was full: `cargo xtask clean \
                       --store` and the same command again build it anew";
const OTHER: &str = "it is not what the build for amd64 made: `cargo xtask clean --store` and the \
                     same command again build it anew";
const NO_PVH: &str = "boot it through the loader (`--boot efi`); GENERIC kernels since 13 have \
                      the entry, others need it compiled in";

const STATIC: &str = "build it for FreeBSD on amd64 as a static program, for example with \
                      `cc -static` on FreeBSD of the same release or an older one";

fn inspect<'d, R: ReadRef<'d>>(data: R, size: u64, role: Role) -> Result<(), Refusal> {
    if size == 0 {
        return Err(("it is empty".into(), REBUILD));
    }
    match FileKind::parse(data) {
        Ok(FileKind::Elf64) => {}
        Ok(kind) => return Err((format!("it is {kind:?}, not 64-bit ELF"), OTHER)),
        Err(_) => return Err(("it is not an ELF file".into(), OTHER)),
    }
    let cut = |what: &str| (format!("it is truncated: {what}"), REBUILD);
    let header =
        FileHeader64::<Endianness>::parse(data).map_err(|_| cut("its header is not whole"))?;
    let endian = header
        .endian()
        .map_err(|_| ("its byte order is unknown".to_owned(), OTHER))?;
    let machine = header.e_machine(endian);
    if machine != EM_X86_64 {
        return Err((format!("it is for machine {machine}, not for amd64"), OTHER));
    }
    let (kinds, want): (&[u16], _) = match role {
        Role::Module => (&[ET_REL], "a relocatable object"),
        Role::Kernel | Role::PvhKernel => (&[ET_EXEC], "an executable"),
        Role::Program => (&[ET_EXEC, ET_DYN], "an executable"),
    };
    if !kinds.contains(&header.e_type(endian)) {
        return Err((format!("it is not {want}"), OTHER));
    }
    whole(header, endian, data, size).map_err(|what| cut(&what))?;
    if role == Role::PvhKernel && !has_pvh_note(header, endian, data) {
        return Err(("it has no PVH entry".into(), NO_PVH));
    }
    if role == Role::Program {
        runs_alone(header, endian, data).map_err(|what| (what, STATIC))?;
    }
    Ok(())
}

/// Checks that FreeBSD's kernel can run the program without a library.
fn runs_alone<'d, R: ReadRef<'d>>(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    data: R,
) -> Result<(), String> {
    let segments = header.program_headers(endian, data).unwrap_or_default();
    if segments.iter().any(|s| s.p_type(endian) == PT_INTERP) {
        return Err("it needs shared libraries, and the guest has none".into());
    }
    // The kernel recognizes a program by either (sys/kern/imgact_elf.c,
    // __elfN(get_brandinfo)).
    let branded = header.e_ident.os_abi == ELFOSABI_FREEBSD
        || has_note(header, endian, data, b"FreeBSD", None);
    match branded {
        true => Ok(()),
        false => Err("it is not a FreeBSD program".into()),
    }
}

/// Checks that the file contains everything that its headers describe.
fn whole<'d, R: ReadRef<'d>>(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    data: R,
    size: u64,
) -> Result<(), String> {
    let segments = header
        .program_headers(endian, data)
        .map_err(|_| "its program headers are beyond its end")?;
    let sections = header
        .section_headers(endian, data)
        .map_err(|_| "its section headers are beyond its end")?;
    let segments = segments.iter().map(|s| s.file_range(endian));
    let sections = sections.iter().filter_map(|s| s.file_range(endian));
    for (offset, length) in segments.chain(sections) {
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > size) {
            return Err(format!(
                "it has {size} bytes, and its headers describe more"
            ));
        }
    }
    Ok(())
}

fn has_pvh_note<'d, R: ReadRef<'d>>(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    data: R,
) -> bool {
    has_note(header, endian, data, b"Xen", Some(PVH_ENTRY))
}

/// Whether a segment has a note of this owner, and of this type if it matters.
fn has_note<'d, R: ReadRef<'d>>(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    data: R,
    owner: &[u8],
    kind: Option<u32>,
) -> bool {
    let segments = header.program_headers(endian, data).unwrap_or_default();
    segments
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_NOTE)
        .filter_map(|segment| segment.notes(endian, data).ok().flatten())
        .any(|mut notes| {
            while let Ok(Some(note)) = notes.next() {
                if note.name() == owner && kind.is_none_or(|kind| note.n_type(endian) == kind) {
                    return true;
                }
            }
            false
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::probe_elf;
    use std::fs;

    fn refused(bytes: &[u8], role: Role) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, bytes).unwrap();
        check(&path, role).unwrap_err().what
    }

    /// Returns the probe's guest with one byte changed.
    fn with(at: usize, byte: u8) -> Vec<u8> {
        let mut elf = probe_elf();
        elf[at] = byte;
        elf
    }

    #[test]
    fn a_good_kernel_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        fs::write(&path, probe_elf()).unwrap();
        for role in [Role::Kernel, Role::PvhKernel] {
            check(&path, role).unwrap();
        }
    }

    #[test]
    fn a_program_with_the_systems_brand_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(&path, with(7, ELFOSABI_FREEBSD)).unwrap();
        check(&path, Role::Program).unwrap();
    }

    #[test]
    fn each_defect_has_its_words() {
        let elf = probe_elf();
        let kernel = Role::PvhKernel;
        for (bytes, role, want) in [
            (Vec::new(), kernel, "it is empty"),
            (
                b"not ELF at all, but long enough to look at".to_vec(),
                kernel,
                "not an ELF file",
            ),
            (b"#!/bin/sh\n".to_vec(), kernel, "not an ELF file"),
            (elf[..40].to_vec(), kernel, "its header is not whole"),
            (
                elf[..100].to_vec(),
                kernel,
                "its program headers are beyond its end",
            ),
            (elf[..elf.len() - 1].to_vec(), kernel, "describe more"),
            (with(4, 1), kernel, "not 64-bit ELF"),
            (with(18, 183), kernel, "for machine 183"),
            (with(16, 1), kernel, "it is not an executable"),
            (elf.clone(), Role::Module, "it is not a relocatable object"),
            (with(64 + 112 + 8, 17), kernel, "no PVH entry"),
            (elf.clone(), Role::Program, "it is not a FreeBSD program"),
            (
                with(64, 3),
                Role::Program,
                "it needs shared libraries, and the guest has none",
            ),
        ] {
            let what = refused(&bytes, role);
            assert!(what.contains(want), "{what:?} has no {want:?}");
        }
    }

    #[test]
    fn every_truncation_is_noticed() {
        let elf = probe_elf();
        for end in 0..elf.len() {
            refused(&elf[..end], Role::Kernel);
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = check(Path::new("/nonexistent/kernel"), Role::Kernel).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("/nonexistent/kernel is not a usable kernel: it cannot be read"),
            "{error}"
        );
    }
}

//! The checks, as a table.

use std::path::{Path, PathBuf};

use kdk_vm::accel::Wish;
use kdk_vm::image::Makefs;
use kdk_vm::qemu::Qemu;
use serde::Serialize;

use super::Need;
use super::packages::{self, Packages};
use crate::accel;
use crate::build::tools;
use crate::context::Context;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "kebab-case")]
pub enum State {
    /// It is there: path, version.
    Found(String),
    /// It is not.
    Missing(String),
    /// It is there but of no use.
    TooOld(String),
    /// Something is there that must not be, and the package to remove.
    Trap(String, &'static str),
    /// Worth knowing; nothing is wrong.
    Note(String),
}

impl State {
    /// Whether work cannot begin.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::TooOld(_) | Self::Trap(..))
    }

    /// One word for the report's first column.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Missing(_) => "MISSING",
            Self::TooOld(_) => "TOO OLD",
            Self::Trap(..) => "TRAP",
            Self::Note(_) => "note",
        }
    }

    /// The rest of the line.
    pub fn detail(&self) -> &str {
        match self {
            Self::Found(text) | Self::Missing(text) | Self::TooOld(text) | Self::Note(text) => text,
            Self::Trap(text, _) => text,
        }
    }
}

/// One check.
pub struct Check {
    /// What it looks for.
    pub what: &'static str,
    /// The least work that needs it.
    pub need: Need,
    /// Looks.
    pub probe: fn(&Context) -> State,
    /// What mends it.
    pub packages: Packages,
}

/// Bytes of disk a base takes: tree, objects, artefacts.
const DISK_WANTED: u64 = 12 << 30;

/// KiB of memory that two compilers and a guest take.
const MEMORY_WANTED: u64 = 3 << 20;

/// Every check, in the order of the report.
pub const ALL: [Check; 14] = [
    Check {
        what: "QEMU (7.0 or later)",
        need: Need::Demo,
        probe: qemu,
        packages: packages::QEMU,
    },
    Check {
        what: "LLVM 19 (clang, ld.lld)",
        need: Need::Demo,
        probe: llvm,
        packages: packages::LLVM,
    },
    Check {
        what: "a Rust that can build core",
        need: Need::Demo,
        probe: rust,
        packages: packages::RUST,
    },
    Check {
        what: "accelerator",
        need: Need::Demo,
        probe: accelerator,
        packages: packages::NONE,
    },
    Check {
        what: "setpriv",
        need: Need::Demo,
        probe: setpriv,
        packages: packages::NONE,
    },
    Check {
        what: "git",
        need: Need::Tests,
        probe: |_| program("git"),
        packages: packages::GIT,
    },
    Check {
        what: "libclang 19",
        need: Need::FreeBsd,
        probe: libclang,
        packages: packages::LIBCLANG,
    },
    Check {
        what: "makefs",
        need: Need::Tests,
        probe: makefs,
        packages: packages::MAKEFS,
    },
    Check {
        what: "OVMF (UEFI firmware)",
        need: Need::Tests,
        probe: ovmf,
        packages: packages::OVMF,
    },
    Check {
        what: "bootstrap tools",
        need: Need::FreeBsd,
        probe: bootstrap,
        packages: packages::BOOTSTRAP,
    },
    Check {
        what: "bootstrap headers",
        need: Need::FreeBsd,
        probe: headers,
        packages: packages::HEADERS,
    },
    Check {
        what: "no libelf-dev",
        need: Need::FreeBsd,
        probe: libelf,
        packages: packages::NONE,
    },
    Check {
        what: "disk space",
        need: Need::FreeBsd,
        probe: disk,
        packages: packages::NONE,
    },
    Check {
        what: "memory",
        need: Need::FreeBsd,
        probe: memory,
        packages: packages::NONE,
    },
];

fn qemu(_: &Context) -> State {
    use kdk_vm::error::InfraError;
    match Qemu::find() {
        Ok(qemu) => State::Found(format!("{} {}", qemu.path.display(), qemu.version)),
        Err(error @ InfraError::QemuTooOld { .. }) => State::TooOld(error.to_string()),
        Err(error) => State::Missing(error.to_string()),
    }
}

fn llvm(_: &Context) -> State {
    match tools::llvm() {
        Ok(dir) => State::Found(dir.display().to_string()),
        Err(_) => State::Missing("clang and ld.lld of LLVM 19".into()),
    }
}

fn rust(_: &Context) -> State {
    match tools::rust() {
        Ok(rust) => State::Found(format!("{} ({})", rust.rustc.display(), rust.version)),
        Err(_) => State::Missing("no toolchain has the source of core (rust-src)".into()),
    }
}

fn accelerator(cx: &Context) -> State {
    let Ok(qemu) = Qemu::find() else {
        return State::Note("not known without QEMU".into());
    };
    match accel::resolve(&cx.home, &qemu, Wish::Auto) {
        Ok(choice) => State::Note(
            choice
                .remark()
                .unwrap_or_else(|| format!("using {}", choice.engine.name())),
        ),
        Err(error) => State::Note(error.to_string()),
    }
}

/// Linux: QEMU must not outlive the kit, which util-linux's setpriv sees to.
fn setpriv(_: &Context) -> State {
    if cfg!(target_os = "linux") {
        program("setpriv")
    } else {
        State::Note("not needed on this system".into())
    }
}

fn libclang(_: &Context) -> State {
    let Ok(bin) = tools::llvm() else {
        return State::Missing("it comes with LLVM 19".into());
    };
    let lib = bin.parent().unwrap_or(&bin).join("lib");
    let found = std::fs::read_dir(&lib).ok().and_then(|entries| {
        entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| {
                name_of(path).starts_with("libclang") && name_of(path).contains(".so")
                    || name_of(path) == "libclang.dylib"
            })
    });
    match found {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing(format!("no libclang in {}", lib.display())),
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("")
}

fn makefs(_: &Context) -> State {
    match Makefs::find() {
        Ok(_) => State::Found("it makes the root file system".into()),
        Err(error) => State::Missing(error.to_string()),
    }
}

fn ovmf(_: &Context) -> State {
    match kdk_vm::efi::find_firmware() {
        Ok(path) => State::Found(path.display().to_string()),
        Err(error) => State::Missing(error.to_string()),
    }
}

fn bootstrap(_: &Context) -> State {
    let wanted: &[&str] = if cfg!(target_os = "freebsd") {
        &["python3"]
    } else {
        &["python3", "cc", "c++", "flex", "lex", "yacc"]
    };
    let lacking: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|name| find(name).is_none())
        .collect();
    if lacking.is_empty() {
        State::Found(wanted.join(", "))
    } else {
        State::Missing(format!("{} not in PATH", lacking.join(", ")))
    }
}

fn headers(_: &Context) -> State {
    if !cfg!(target_os = "linux") {
        return State::Note("not checked on this system".into());
    }
    let lacking: Vec<&str> = ["archive.h", "zlib.h", "openssl/ssl.h"]
        .into_iter()
        .filter(|name| !Path::new("/usr/include").join(name).exists())
        .collect();
    if lacking.is_empty() {
        State::Found("archive.h, zlib.h, openssl/ssl.h".into())
    } else {
        State::Missing(format!("{} not in /usr/include", lacking.join(", ")))
    }
}

/// Its gelf.h stands before the tree's own, and the bootstrap ends with
/// "unknown type name 'Elf64_Half'".
fn libelf(_: &Context) -> State {
    if cfg!(target_os = "linux") && Path::new("/usr/include/gelf.h").exists() {
        State::Trap(
            "/usr/include/gelf.h shadows the tree's own and breaks its bootstrap".into(),
            "libelf-dev",
        )
    } else {
        State::Found("nothing shadows the tree's gelf.h".into())
    }
}

fn disk(cx: &Context) -> State {
    let root = cx.home.root();
    match nix::sys::statvfs::statvfs(root) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            let text = format!("{} GiB free for {}", free >> 30, root.display());
            if free >= DISK_WANTED {
                State::Found(text)
            } else {
                State::Note(format!(
                    "{text}; a base takes up to {} GiB",
                    DISK_WANTED >> 30
                ))
            }
        }
        Err(error) => State::Note(format!("not known: {error}")),
    }
}

fn memory(_: &Context) -> State {
    let available = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("MemAvailable:"))?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        });
    match available {
        Some(kib) if kib >= MEMORY_WANTED => State::Found(format!("{} MiB available", kib >> 10)),
        Some(kib) => State::Note(format!("{} MiB available; 3 GiB are advised", kib >> 10)),
        None => State::Note("not known on this system".into()),
    }
}

fn program(name: &str) -> State {
    match find(name) {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing(format!("{name} is not in PATH")),
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

//! The checks, as a table. A probe reads the state of the host. A pure function
//! classifies what it read, where there is anything to decide.

use std::path::{Path, PathBuf};
use std::process::Command;

use kdk_vm::accel::AccelChoice;
use kdk_vm::error::InfraError;
use kdk_vm::image::Makefs;
use serde::Serialize;

use super::Need;
use super::bhyve;
use super::bubblewrap;
use super::packages::{self, Remedy};
use crate::accel;
use crate::disk_space::{self, human};
use crate::hypervisor;
use crate::pipelines;
use crate::tools;
use kdk_core::context::Context;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "kebab-case")]
pub enum State {
    /// It is installed; the text has its path and version.
    Found(String),
    /// It is missing.
    Missing(String),
    /// It is installed, but too old.
    TooOld(String),
    /// Something is installed that breaks builds.
    Conflict(String),
    /// Information; nothing is wrong.
    Note(String),
}

impl State {
    /// Returns whether this result prevents work.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::TooOld(_) | Self::Conflict(_))
    }

    /// Returns the word for the first column of the report.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Missing(_) => "MISSING",
            Self::TooOld(_) => "TOO OLD",
            Self::Conflict(_) => "CONFLICT",
            Self::Note(_) => "note",
        }
    }

    /// Returns the rest of the line in the report.
    pub fn detail(&self) -> &str {
        match self {
            Self::Found(text)
            | Self::Missing(text)
            | Self::TooOld(text)
            | Self::Conflict(text)
            | Self::Note(text) => text,
        }
    }
}

/// A check of the host.
pub struct Check {
    /// The name of the check.
    pub what: &'static str,
    /// The purposes that need it.
    pub needs: &'static [Need],
    /// Reads the state of the host.
    pub probe: fn(&Context) -> State,
    /// The remedy when the check fails.
    pub remedy: Remedy,
}

/// The disk space of a base in bytes: tree, objects, artefacts.
const DISK_ADVISED: u64 = 12 << 30;

/// The memory of two compilers and a guest, in bytes.
const MEMORY_ADVISED: u64 = 3 << 30;

/// The first git with --refetch, which fetches again what it already has.
const GIT_WANTED: (u32, u32) = (2, 36);

/// The first Rust that compiles the workspace.
const RUST_WANTED: (u32, u32) = (1, 95);

/// The programs that builds run, by their plain names in LLVM's program
/// directory.
const LLVM_TOOLS: [&str; 9] = [
    "clang",
    "clang++",
    "ld.lld",
    "llvm-ar",
    "llvm-nm",
    "llvm-objcopy",
    "llvm-ranlib",
    "llvm-size",
    "llvm-strip",
];

/// The name of the check for makefs.
pub const MAKEFS: &str = "makefs";

/// Returns a row of the table.
pub const fn check(
    what: &'static str,
    needs: &'static [Need],
    probe: fn(&Context) -> State,
    remedy: Remedy,
) -> Check {
    Check {
        what,
        needs,
        probe,
        remedy,
    }
}

/// The purposes that start a guest.
pub const GUESTS: &[Need] = &[Need::Demo, Need::Tests, Need::FreeBsd];
const IMAGES: &[Need] = &[Need::Tests, Need::FreeBsd];
const GIT: &[Need] = &[Need::Trees, Need::Tests, Need::FreeBsd];
const TESTS: &[Need] = &[Need::Tests];
const KERNELS: &[Need] = &[Need::FreeBsd];
const LINT: &[Need] = &[Need::Lint, Need::Tests];
const SLURM: &[Need] = &[Need::Slurm, Need::SlurmTest];
const SLURM_TEST: &[Need] = &[Need::SlurmTest];

/// Every check, in the order of the report.
pub static ALL: [Check; 23] = [
    check("QEMU, 7.0 or later", GUESTS, qemu, packages::QEMU),
    check("LLVM 19", GUESTS, llvm, packages::LLVM),
    check("Rust that can build core", GUESTS, rust, Remedy::Rust),
    check("rustfmt and clippy", TESTS, linters, Remedy::Rust),
    check("accelerator", GUESTS, accelerator, Remedy::Nothing),
    check("setpriv", GUESTS, setpriv, packages::SETPRIV),
    check("git, 2.36 or later", GIT, git, packages::GIT),
    check(MAKEFS, IMAGES, makefs, packages::MAKEFS),
    check("OVMF (UEFI firmware)", IMAGES, ovmf, packages::OVMF),
    check("qemu-img", IMAGES, qemu_img, Remedy::Nothing),
    check("libclang 19", KERNELS, libclang, packages::LIBCLANG),
    check("bootstrap tools", KERNELS, bootstrap, packages::BOOTSTRAP),
    check("bootstrap headers", KERNELS, headers, packages::HEADERS),
    check("no libelf-dev", KERNELS, libelf, packages::LIBELF),
    check("ccache", KERNELS, ccache, Remedy::Nothing),
    check("perl", LINT, perl, packages::PERL),
    check("mandoc", LINT, mandoc, packages::MANDOC),
    check(
        "bubblewrap, 0.8 or later",
        &[],
        |_| bubblewrap::state(),
        packages::BUBBLEWRAP,
    ),
    check("pipeline checkers", TESTS, checkers, Remedy::Nothing),
    check("Slurm's programs", SLURM, slurm, packages::SLURM),
    check("Slurm's daemons", SLURM_TEST, slurmd, packages::SLURM_TEST),
    check("disk space", KERNELS, disk, Remedy::Nothing),
    check("memory", KERNELS, memory, Remedy::Nothing),
];

/// Returns the checks for the system of this host, in the order of the report.
pub fn for_host() -> impl Iterator<Item = &'static Check> {
    let more: &[Check] = if cfg!(target_os = "freebsd") {
        &bhyve::ALL
    } else {
        &[]
    };
    ALL.iter().chain(more)
}

/// Fails if QEMU is unusable for a reason that no package removes: the user
/// names another program, or the host cannot run it.
pub fn is_qemu_installable() -> Result<(), InfraError> {
    let named = std::env::var_os(kdk_vm::qemu::OVERRIDE).is_some_and(|name| !name.is_empty());
    match tools::qemu() {
        Err(InfraError::QemuMissing { .. } | InfraError::QemuTooOld { .. }) if !named => Ok(()),
        Err(_) if hypervisor::is_bhyve_by_default() => Ok(()),
        other => other.map(drop),
    }
}

fn qemu(_: &Context) -> State {
    match tools::qemu() {
        Ok(qemu) => State::Found(format!("{} {}", qemu.path.display(), qemu.version)),
        Err(error @ InfraError::QemuTooOld { .. }) => State::TooOld(error.to_string()),
        Err(_) if hypervisor::is_bhyve_by_default() => State::Note(
            "not installed; bhyve runs all guests except the demo guest (`pkg install qemu`)"
                .into(),
        ),
        Err(error) => State::Missing(error.to_string()),
    }
}

fn llvm(_: &Context) -> State {
    match tools::llvm() {
        Ok(dir) => classify_llvm(&dir, |tool| dir.join(tool).exists()),
        Err(_) => State::Missing("clang and ld.lld of LLVM 19".into()),
    }
}

fn classify_llvm(dir: &Path, has: impl Fn(&str) -> bool) -> State {
    let lacking: Vec<&str> = LLVM_TOOLS.into_iter().filter(|tool| !has(tool)).collect();
    if lacking.is_empty() {
        State::Found(dir.display().to_string())
    } else {
        State::Missing(format!("{} not in {}", lacking.join(", "), dir.display()))
    }
}

fn rust(_: &Context) -> State {
    match tools::rust() {
        Ok(rust) => {
            let at = rust.rustc.display().to_string();
            classify_version("rustc", RUST_WANTED, &at, &rust.version)
        }
        Err(_) => State::Missing("no toolchain has the source of core (rust-src)".into()),
    }
}

/// Checks the linters. The toolchain in use lints the host's code; the
/// toolchain that builds the guests lints theirs. They can be the same.
fn linters(_: &Context) -> State {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let works = |command: &str| {
        let output = Command::new(&cargo).args([command, "--version"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let guests = tools::rust()
        .ok()
        .map(|rust| rust.cargo.with_file_name("cargo-clippy"));
    classify_linters(
        works("fmt"),
        works("clippy"),
        guests.as_deref(),
        Path::exists,
    )
}

fn classify_linters(
    fmt: bool,
    clippy: bool,
    guests: Option<&Path>,
    exists: impl Fn(&Path) -> bool,
) -> State {
    let mut lacking = Vec::new();
    if !fmt {
        lacking.push("`cargo fmt` does not run".to_owned());
    }
    if !clippy {
        lacking.push("`cargo clippy` does not run".to_owned());
    }
    match guests {
        None => lacking.push("no Rust for guests".to_owned()),
        Some(path) if !exists(path) => lacking.push(format!("{} does not exist", path.display())),
        Some(_) => {}
    }
    if lacking.is_empty() {
        State::Found("for the host's code and the guests'".into())
    } else {
        State::Missing(lacking.join(", "))
    }
}

fn accelerator(cx: &Context) -> State {
    let Ok(qemu) = tools::qemu() else {
        return State::Note("unknown without QEMU".into());
    };
    match accel::resolve(&cx.cache, &qemu, AccelChoice::Auto) {
        Ok(choice) => State::Note(
            choice
                .remark()
                .unwrap_or_else(|| format!("using {}", choice.engine.name())),
        ),
        Err(error) => State::Note(error.to_string()),
    }
}

/// Checks setpriv(1) of util-linux: on Linux, it makes QEMU exit when this
/// process does.
fn setpriv(_: &Context) -> State {
    if !cfg!(target_os = "linux") {
        return State::Note("not needed on this system".into());
    }
    match find("setpriv") {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing("it is not in PATH".into()),
    }
}

fn git(_: &Context) -> State {
    let Some(path) = find("git") else {
        return State::Missing("it is not in PATH".into());
    };
    let version = output(&path, "--version").unwrap_or_default();
    classify_version("git", GIT_WANTED, &path.display().to_string(), &version)
}

/// Classifies the program at `at`, which reports `version`.
pub fn classify_version(name: &str, wanted: (u32, u32), at: &str, version: &str) -> State {
    let text = format!("{at} ({version})");
    match number(version) {
        Some(found) if found >= wanted => State::Found(text),
        Some(_) => {
            let (major, minor) = wanted;
            State::TooOld(format!("{text}; {name} {major}.{minor} is needed"))
        }
        None => State::Missing(format!("{at} does not report its version")),
    }
}

/// Returns the first number of the form 1.2 in the output of `--version`.
fn number(version: &str) -> Option<(u32, u32)> {
    version.split_whitespace().find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

fn libclang(_: &Context) -> State {
    let Ok(bin) = tools::llvm() else {
        return State::Missing("it is part of LLVM 19".into());
    };
    let lib = bin.parent().unwrap_or(&bin).join("lib");
    let entries = std::fs::read_dir(&lib).into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).find(|path| {
        is_libclang(
            path.file_name()
                .and_then(|name| name.to_str())
                .unwrap_or(""),
        )
    });
    match found {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing(format!("no libclang in {}", lib.display())),
    }
}

/// Returns whether a file of this name is the C library of clang. libclang-cpp,
/// which comes with clang itself, is not.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else {
        return false;
    };
    let version: &[_] = &['-', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
    let rest = rest.trim_start_matches(version);
    rest == "dylib" || rest == "so" || rest.starts_with("so.")
}

fn makefs(_: &Context) -> State {
    match Makefs::find() {
        Ok(_) => State::Found("it builds the root file system".into()),
        Err(error) => State::Missing(error.to_string()),
    }
}

fn ovmf(_: &Context) -> State {
    match kdk_vm::efi::find_firmware() {
        Ok(path) => State::Found(path.display().to_string()),
        Err(_) if hypervisor::is_bhyve_by_default() => {
            State::Note("not installed; bhyve has its own".into())
        }
        Err(error) => State::Missing(error.to_string()),
    }
}

fn qemu_img(_: &Context) -> State {
    match find("qemu-img") {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Note("not installed; optional, to inspect images".into()),
    }
}

fn bootstrap(_: &Context) -> State {
    let wanted: &[&str] = if cfg!(target_os = "freebsd") {
        &["python3"]
    } else {
        &["python3", "cc", "c++", "flex", "lex", "yacc"]
    };
    classify_all(wanted, "PATH", |name| find(name).is_some())
}

fn headers(_: &Context) -> State {
    if !cfg!(target_os = "linux") {
        return State::Note("not checked on this system".into());
    }
    let include = Path::new("/usr/include");
    classify_all(
        &["archive.h", "zlib.h", "openssl/ssl.h"],
        "/usr/include",
        |name| include.join(name).exists(),
    )
}

fn classify_all(wanted: &[&str], place: &str, has: impl Fn(&str) -> bool) -> State {
    let lacking: Vec<&str> = wanted.iter().copied().filter(|name| !has(name)).collect();
    if lacking.is_empty() {
        State::Found(wanted.join(", "))
    } else {
        State::Missing(format!("{} not in {place}", lacking.join(", ")))
    }
}

fn ccache(_: &Context) -> State {
    classify_ccache(tools::ccache())
}

fn classify_ccache(found: Option<PathBuf>) -> State {
    match found {
        Some(path) => State::Found(path.display().to_string()),
        None => {
            State::Note("not installed; optional, to reuse the objects of earlier kernels".into())
        }
    }
}

fn checkers(_: &Context) -> State {
    pipelines::state(|program| find(program).is_some())
}

/// Checks that no other gelf.h precedes that of the tree: the bootstrap would
/// fail with "unknown type name 'Elf64_Half'".
fn libelf(_: &Context) -> State {
    classify_libelf(cfg!(target_os = "linux") && Path::new("/usr/include/gelf.h").exists())
}

fn classify_libelf(shadowed: bool) -> State {
    if shadowed {
        State::Conflict(
            "/usr/include/gelf.h shadows that of the tree and breaks its bootstrap".into(),
        )
    } else {
        State::Found("nothing shadows the tree's gelf.h".into())
    }
}

/// Checks perl, in which the tree's style checker is written.
fn perl(_: &Context) -> State {
    match find("perl") {
        Some(path) if has_perl_modules() => State::Found(path.display().to_string()),
        Some(path) => State::Missing(format!(
            "{} lacks Getopt::Long or Term::ANSIColor; only `patches lint` needs them",
            path.display()
        )),
        None => State::Missing("it is not in PATH; only `patches lint` needs it".into()),
    }
}

/// Returns whether perl has all modules of the tree's style checker.
pub fn has_perl_modules() -> bool {
    let modules = ["-MGetopt::Long", "-MTerm::ANSIColor", "-e", "1"];
    let ran = Command::new("perl").args(modules).output();
    ran.is_ok_and(|ran| ran.status.success())
}

fn mandoc(_: &Context) -> State {
    match find("mandoc") {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing("it is not in PATH; only `patches lint` needs it".into()),
    }
}

/// Checks the programs that submit jobs to a cluster.
fn slurm(_: &Context) -> State {
    let programs = ["sbatch", "squeue", "scancel", "sinfo"];
    classify_slurm(&programs, "slurm", "`--executor slurm` needs", |name| {
        find(name).is_some()
    })
}

/// Checks the daemons of a cluster on this host.
fn slurmd(_: &Context) -> State {
    let programs = ["slurmctld", "slurmd", "munged"];
    classify_slurm(&programs, "slurm-test", "the test of Slurm needs", |name| {
        find(name).is_some() || Path::new("/usr/sbin").join(name).exists()
    })
}

fn classify_slurm(
    programs: &[&str],
    need: &str,
    what_for: &str,
    has: impl Fn(&str) -> bool,
) -> State {
    match classify_all(programs, "PATH", has) {
        State::Missing(what) => State::Missing(format!(
            "{what}; only {what_for} them (`cargo xtask doctor --for {need} --fix`)"
        )),
        found => found,
    }
}

fn disk(cx: &Context) -> State {
    let root = cx.cache.root();
    classify_disk(disk_space::free(root), &root.display().to_string())
}

fn classify_disk(free: Option<u64>, root: &str) -> State {
    let Some(free) = free else {
        return State::Note("unknown".into());
    };
    let text = format!("{} free for {root}", human(free));
    if free < disk_space::TREE_AND_OBJECTS {
        let need = human(disk_space::TREE_AND_OBJECTS);
        State::Missing(format!(
            "{text}; a base needs {need} (set KDK_HOME to a folder on a larger disk)"
        ))
    } else if free < DISK_ADVISED {
        State::Note(format!("{text}; {} are advised", human(DISK_ADVISED)))
    } else {
        State::Found(text)
    }
}

fn memory(_: &Context) -> State {
    classify_memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

/// Classifies the text of /proc/meminfo.
fn classify_memory(meminfo: &str) -> State {
    let available = meminfo.lines().find_map(|line| {
        let line = line.strip_prefix("MemAvailable:")?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    match available.map(|kib| kib << 10) {
        Some(free) if free >= MEMORY_ADVISED => State::Found(format!("{} available", human(free))),
        Some(free) => State::Note(format!(
            "{} available; {} are advised",
            human(free),
            human(MEMORY_ADVISED)
        )),
        None => State::Note("unknown on this system".into()),
    }
}

/// Returns the path of the program `name` in PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    which::which(name).ok()
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, want) in [
            ("git version 2.47.3", "found"),
            ("git version 2.36.0", "found"),
            ("git version 2.9.5", "TOO OLD"),
            ("git version 1.99.0 (Apple Git-1)", "TOO OLD"),
            ("git version 3.0", "found"),
            ("", "MISSING"),
        ] {
            let state = classify_version("git", GIT_WANTED, "/usr/bin/git", version);
            assert_eq!(state.word(), want, "{version}");
        }
        let old = classify_version("git", GIT_WANTED, "/usr/bin/git", "git version 2.9.5");
        assert_eq!(
            old.detail(),
            "/usr/bin/git (git version 2.9.5); git 2.36 is needed"
        );
    }

    #[test]
    fn linters_are_wanted_for_hosts_and_guests() {
        let guests = Path::new("/usr/bin/cargo-clippy");
        assert!(!classify_linters(true, true, Some(guests), |_| true).is_bad());
        let lacking = classify_linters(false, false, Some(guests), |_| false);
        assert_eq!(
            lacking.detail(),
            "`cargo fmt` does not run, `cargo clippy` does not run, /usr/bin/cargo-clippy does not exist"
        );
        assert!(classify_linters(true, true, None, |_| true).is_bad());
    }

    #[test]
    fn libclang_by_its_names() {
        for (name, want) in [
            ("libclang.so", true),
            ("libclang-19.so.1", true),
            ("libclang-19.1.7.so", true),
            ("libclang.so.19", true),
            ("libclang.dylib", true),
            ("libclang-cpp.so.19.1", false),
            ("libclangAST.a", false),
            ("libc.so", false),
        ] {
            assert_eq!(is_libclang(name), want, "{name}");
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        let dir = Path::new("/llvm/bin");
        assert_eq!(
            classify_llvm(dir, |_| true),
            State::Found("/llvm/bin".into())
        );
        assert_eq!(
            classify_llvm(dir, |tool| !tool.starts_with("llvm-n")),
            State::Missing("llvm-nm not in /llvm/bin".into())
        );
        assert_eq!(
            classify_all(&["flex", "yacc"], "PATH", |_| false),
            State::Missing("flex, yacc not in PATH".into())
        );
        assert!(!classify_ccache(None).is_bad());
        assert_eq!(
            classify_ccache(Some("/b/ccache".into())),
            State::Found("/b/ccache".into())
        );
        assert!(classify_libelf(true).is_bad() && !classify_libelf(false).is_bad());
    }

    #[test]
    fn little_space_is_noted_and_too_little_is_refused() {
        for (free, want) in [
            (Some(20 << 30), "found"),
            (Some(5 << 30), "note"),
            (Some(1 << 30), "MISSING"),
            (None, "note"),
        ] {
            assert_eq!(classify_disk(free, "/cache").word(), want, "{free:?}");
        }
        for (text, want) in [
            ("MemTotal: 9 kB\nMemAvailable:    8000000 kB\n", "found"),
            ("MemAvailable: 1000000 kB\n", "note"),
            ("", "note"),
        ] {
            assert_eq!(classify_memory(text).word(), want, "{text}");
        }
    }
}

//! The checks, as a table. A probe looks at the host; what it makes of what it
//! saw is a function of its own where there is anything to decide.

use std::path::{Path, PathBuf};
use std::process::Command;

use kdk_vm::accel::AccelChoice;
use kdk_vm::image::Makefs;
use serde::Serialize;

use super::Need;
use super::bhyve;
use super::packages::{self, Remedy};
use crate::accel;
use crate::disk_space::{self, human};
use crate::hypervisor;
use crate::tools;
use kdk_core::context::Context;

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
    /// Something is there that must not be.
    Trap(String),
    /// Worth knowing; nothing is wrong.
    Note(String),
}

impl State {
    /// Whether work cannot begin.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::TooOld(_) | Self::Trap(_))
    }

    /// One word for the report's first column.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Missing(_) => "MISSING",
            Self::TooOld(_) => "TOO OLD",
            Self::Trap(_) => "TRAP",
            Self::Note(_) => "note",
        }
    }

    /// The rest of the line.
    pub fn detail(&self) -> &str {
        match self {
            Self::Found(text)
            | Self::Missing(text)
            | Self::TooOld(text)
            | Self::Trap(text)
            | Self::Note(text) => text,
        }
    }
}

/// One check.
pub struct Check {
    /// What it looks for.
    pub what: &'static str,
    /// The works that need it.
    pub needs: &'static [Need],
    /// Looks.
    pub probe: fn(&Context) -> State,
    /// What mends it.
    pub remedy: Remedy,
}

/// Disk that a base takes: tree, objects, artefacts. In bytes.
const DISK_ADVISED: u64 = 12 << 30;

/// Memory that two compilers and a guest take, in bytes.
const MEMORY_ADVISED: u64 = 3 << 30;

/// The first git that can be told to fetch again what it has (--refetch).
const GIT_WANTED: (u32, u32) = (2, 36);

/// The first Rust that the workspace compiles with.
const RUST_WANTED: (u32, u32) = (1, 95);

/// What the builds call, by their plain names in LLVM's program directory.
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

/// A row of the table.
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

/// All that starts a guest.
pub const GUESTS: &[Need] = &[Need::Demo, Need::Tests, Need::FreeBsd];
const IMAGES: &[Need] = &[Need::Tests, Need::FreeBsd];
const GIT: &[Need] = &[Need::Trees, Need::Tests, Need::FreeBsd];
const TESTS: &[Need] = &[Need::Tests];
const KERNELS: &[Need] = &[Need::FreeBsd];
const LINT: &[Need] = &[Need::Lint, Need::Tests];

/// Every check, in the order of the report.
pub static ALL: [Check; 19] = [
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
    check("disk space", KERNELS, disk, Remedy::Nothing),
    check("memory", KERNELS, memory, Remedy::Nothing),
];

/// The checks for this host's system, in the order of the report.
pub fn here() -> impl Iterator<Item = &'static Check> {
    let more: &[Check] = if cfg!(target_os = "freebsd") {
        &bhyve::ALL
    } else {
        &[]
    };
    ALL.iter().chain(more)
}

fn qemu(_: &Context) -> State {
    use kdk_vm::error::InfraError;
    match tools::qemu() {
        Ok(qemu) => State::Found(format!("{} {}", qemu.path.display(), qemu.version)),
        Err(error @ InfraError::QemuTooOld { .. }) => State::TooOld(error.to_string()),
        Err(_) if hypervisor::is_bhyve_by_default() => State::Note(
            "not there; bhyve plays the machines, but not the demo guest's (`pkg install qemu`)"
                .into(),
        ),
        Err(error) => State::Missing(error.to_string()),
    }
}

fn llvm(_: &Context) -> State {
    match tools::llvm() {
        Ok(dir) => judge_llvm(&dir, |tool| dir.join(tool).exists()),
        Err(_) => State::Missing("clang and ld.lld of LLVM 19".into()),
    }
}

fn judge_llvm(dir: &Path, has: impl Fn(&str) -> bool) -> State {
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
            judge_version("rustc", RUST_WANTED, &at, &rust.version)
        }
        Err(_) => State::Missing("no toolchain has the source of core (rust-src)".into()),
    }
}

/// The host's code is linted by the toolchain in use, the guests' by the one
/// that builds them; they may be one.
fn linters(_: &Context) -> State {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let works = |command: &str| {
        let output = Command::new(&cargo).args([command, "--version"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let guests = tools::rust()
        .ok()
        .map(|rust| rust.cargo.with_file_name("cargo-clippy"));
    judge_linters(
        works("fmt"),
        works("clippy"),
        guests.as_deref(),
        Path::exists,
    )
}

fn judge_linters(
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
        Some(path) if !exists(path) => lacking.push(format!("{} is not there", path.display())),
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
        return State::Note("not known without QEMU".into());
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

/// Linux: QEMU must not outlive the kit, which util-linux's setpriv sees to.
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
    judge_version("git", GIT_WANTED, &path.display().to_string(), &version)
}

/// What a program at `at` is worth that calls itself `version`.
fn judge_version(name: &str, wanted: (u32, u32), at: &str, version: &str) -> State {
    let text = format!("{at} ({version})");
    match number(version) {
        Some(found) if found >= wanted => State::Found(text),
        Some(_) => {
            let (major, minor) = wanted;
            State::TooOld(format!("{text}; {name} {major}.{minor} is needed"))
        }
        None => State::Missing(format!("{at} does not say its version")),
    }
}

/// The first number of the form 1.2 in a version text.
fn number(version: &str) -> Option<(u32, u32)> {
    version.split_whitespace().find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

fn libclang(_: &Context) -> State {
    let Ok(bin) = tools::llvm() else {
        return State::Missing("it comes with LLVM 19".into());
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

/// Whether a file of this name is the C library of clang; libclang-cpp, which
/// comes with clang itself, is not.
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
        Ok(_) => State::Found("it makes the root file system".into()),
        Err(error) => State::Missing(error.to_string()),
    }
}

fn ovmf(_: &Context) -> State {
    match kdk_vm::efi::find_firmware() {
        Ok(path) => State::Found(path.display().to_string()),
        Err(_) if hypervisor::is_bhyve_by_default() => {
            State::Note("not there; bhyve has its own".into())
        }
        Err(error) => State::Missing(error.to_string()),
    }
}

fn qemu_img(_: &Context) -> State {
    match find("qemu-img") {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Note("not there; only a help to look into images".into()),
    }
}

fn bootstrap(_: &Context) -> State {
    let wanted: &[&str] = if cfg!(target_os = "freebsd") {
        &["python3"]
    } else {
        &["python3", "cc", "c++", "flex", "lex", "yacc"]
    };
    judge_all(wanted, "PATH", |name| find(name).is_some())
}

fn headers(_: &Context) -> State {
    if !cfg!(target_os = "linux") {
        return State::Note("not checked on this system".into());
    }
    let include = Path::new("/usr/include");
    judge_all(
        &["archive.h", "zlib.h", "openssl/ssl.h"],
        "/usr/include",
        |name| include.join(name).exists(),
    )
}

fn judge_all(wanted: &[&str], place: &str, has: impl Fn(&str) -> bool) -> State {
    let lacking: Vec<&str> = wanted.iter().copied().filter(|name| !has(name)).collect();
    if lacking.is_empty() {
        State::Found(wanted.join(", "))
    } else {
        State::Missing(format!("{} not in {place}", lacking.join(", ")))
    }
}

/// Its gelf.h stands before the tree's own, and the bootstrap ends with
/// "unknown type name 'Elf64_Half'".
fn ccache(_: &Context) -> State {
    judge_ccache(tools::ccache())
}

fn judge_ccache(found: Option<PathBuf>) -> State {
    match found {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Note(
            "not there; with it a kernel whose headers are as they once were is not compiled again"
                .into(),
        ),
    }
}

fn libelf(_: &Context) -> State {
    judge_libelf(cfg!(target_os = "linux") && Path::new("/usr/include/gelf.h").exists())
}

fn judge_libelf(shadowed: bool) -> State {
    if shadowed {
        State::Trap("/usr/include/gelf.h shadows the tree's own and breaks its bootstrap".into())
    } else {
        State::Found("nothing shadows the tree's gelf.h".into())
    }
}

/// The tree's style checker is written in it.
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

/// Whether there is a perl with all that the tree's style checker loads.
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

fn disk(cx: &Context) -> State {
    let root = cx.cache.root();
    judge_disk(disk_space::free(root), &root.display().to_string())
}

fn judge_disk(free: Option<u64>, root: &str) -> State {
    let Some(free) = free else {
        return State::Note("not known".into());
    };
    let text = format!("{} free for {root}", human(free));
    if free < disk_space::TREE_AND_OBJECTS {
        let need = human(disk_space::TREE_AND_OBJECTS);
        State::Missing(format!(
            "{text}; a base needs {need} (KDK_HOME names another place)"
        ))
    } else if free < DISK_ADVISED {
        State::Note(format!("{text}; {} are advised", human(DISK_ADVISED)))
    } else {
        State::Found(text)
    }
}

fn memory(_: &Context) -> State {
    judge_memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

/// What the text of /proc/meminfo says.
fn judge_memory(meminfo: &str) -> State {
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
        None => State::Note("not known on this system".into()),
    }
}

/// The program `name` in the PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
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
            let state = judge_version("git", GIT_WANTED, "/usr/bin/git", version);
            assert_eq!(state.word(), want, "{version}");
        }
        let old = judge_version("git", GIT_WANTED, "/usr/bin/git", "git version 2.9.5");
        assert_eq!(
            old.detail(),
            "/usr/bin/git (git version 2.9.5); git 2.36 is needed"
        );
    }

    #[test]
    fn linters_are_wanted_for_hosts_and_guests() {
        let guests = Path::new("/usr/bin/cargo-clippy");
        assert!(!judge_linters(true, true, Some(guests), |_| true).is_bad());
        let lacking = judge_linters(false, false, Some(guests), |_| false);
        assert_eq!(
            lacking.detail(),
            "`cargo fmt` does not run, `cargo clippy` does not run, /usr/bin/cargo-clippy is not there"
        );
        assert!(judge_linters(true, true, None, |_| true).is_bad());
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
        assert_eq!(judge_llvm(dir, |_| true), State::Found("/llvm/bin".into()));
        assert_eq!(
            judge_llvm(dir, |tool| !tool.starts_with("llvm-n")),
            State::Missing("llvm-nm not in /llvm/bin".into())
        );
        assert_eq!(
            judge_all(&["flex", "yacc"], "PATH", |_| false),
            State::Missing("flex, yacc not in PATH".into())
        );
        assert!(!judge_ccache(None).is_bad());
        assert_eq!(
            judge_ccache(Some("/b/ccache".into())),
            State::Found("/b/ccache".into())
        );
        assert!(judge_libelf(true).is_bad() && !judge_libelf(false).is_bad());
    }

    #[test]
    fn little_space_is_noted_and_too_little_is_refused() {
        for (free, want) in [
            (Some(20 << 30), "found"),
            (Some(5 << 30), "note"),
            (Some(1 << 30), "MISSING"),
            (None, "note"),
        ] {
            assert_eq!(judge_disk(free, "/cache").word(), want, "{free:?}");
        }
        for (text, want) in [
            ("MemTotal: 9 kB\nMemAvailable:    8000000 kB\n", "found"),
            ("MemAvailable: 1000000 kB\n", "note"),
            ("", "note"),
        ] {
            assert_eq!(judge_memory(text).word(), want, "{text}");
        }
    }
}

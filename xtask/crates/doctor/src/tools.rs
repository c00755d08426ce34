//! The programs of the host: QEMU, LLVM 19, and a Rust that can build `core`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use kdk_kmod_link::llvm;
use kdk_vm::error::InfraError;
use kdk_vm::qemu::Qemu;

use kdk_core::failure::Failure;

/// A Rust that can build `core` from source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rust {
    /// The `cargo` program.
    pub cargo: PathBuf,
    /// The `rustc` program.
    pub rustc: PathBuf,
    /// The output of `rustc --version`.
    pub version: String,
}

impl Rust {
    /// Returns PATH with the programs of this Rust before all others: `cargo
    /// clippy` searches it for cargo-clippy, and must not find that of another
    /// toolchain.
    pub fn path_first(&self) -> Result<OsString, Failure> {
        let own = self.cargo.parent().map(Path::to_owned);
        let others = std::env::var_os("PATH").unwrap_or_default();
        std::env::join_paths(own.into_iter().chain(std::env::split_paths(&others)))
            .map_err(|error| Failure::infra("run cargo", "PATH cannot be extended").source(error))
    }
}

/// Returns LLVM's program directory, with clang and `ld.lld` by their plain
/// names.
pub fn llvm() -> Result<PathBuf, Failure> {
    llvm::find().ok_or_else(|| {
        let places = llvm::PLACES.join(", ");
        Failure::infra(
            "find LLVM 19",
            format!("clang and ld.lld are in none of {places}"),
        )
        .help(format!(
            "run `cargo xtask doctor --fix`, or set {} to its program directory",
            llvm::VARIABLE
        ))
    })
}

/// Returns the versions of the guests' rustc and of clang. One that is not
/// installed has an empty version.
pub fn compiler_versions() -> [String; 2] {
    let clang = || {
        let program = llvm().ok()?.join("clang");
        let text = duct::cmd(program, ["--version"]).read().ok()?;
        text.lines().next().map(str::to_owned)
    };
    [
        rust().map(|rust| rust.version).unwrap_or_default(),
        clang().unwrap_or_default(),
    ]
}

/// Returns the path of ccache(1), if the host has it.
pub fn ccache() -> Option<PathBuf> {
    crate::checks::find("ccache")
}

/// Returns QEMU. The first call searches for it and queries its version.
pub fn qemu() -> Result<Qemu, InfraError> {
    static FOUND: OnceLock<Qemu> = OnceLock::new();
    if let Some(known) = FOUND.get() {
        return Ok(known.clone());
    }
    let found = Qemu::find()?;
    Ok(FOUND.get_or_init(|| found).clone())
}

/// Returns a Rust with the source of `core`: the one in use, else the system's.
/// The first call searches for it, because rustup's proxies are slow.
pub fn rust() -> Result<Rust, Failure> {
    static FOUND: OnceLock<Rust> = OnceLock::new();
    if let Some(known) = FOUND.get() {
        return Ok(known.clone());
    }
    let found = search_rust()?;
    Ok(FOUND.get_or_init(|| found).clone())
}

fn search_rust() -> Result<Rust, Failure> {
    let in_use = sysroot(Path::new("rustc")).map(|root| root.join("bin"));
    [
        in_use,
        Some(PathBuf::from("/usr/bin")),
        Some(PathBuf::from("/usr/local/bin")),
    ]
    .into_iter()
    .flatten()
    .find_map(|bin| usable(&bin))
    .ok_or_else(|| {
        Failure::infra(
            "find a Rust that can build core",
            "neither the toolchain in use nor that of the system has the source of the library",
        )
        .help("run `cargo xtask doctor --fix`, or `rustup component add rust-src`")
    })
}

fn usable(bin: &Path) -> Option<Rust> {
    let rustc = bin.join("rustc");
    let cargo = bin.join("cargo");
    let library = sysroot(&rustc)?.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if !cargo.exists() || !library.exists() {
        return None;
    }
    let version = duct::cmd(&rustc, ["--version"]).read().ok()?;
    Some(Rust {
        cargo,
        rustc,
        version,
    })
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    duct::cmd(rustc, ["--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .stderr_null()
        .read()
        .ok()
        .map(|root| PathBuf::from(root.trim()))
}

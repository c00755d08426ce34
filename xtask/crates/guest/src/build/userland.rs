//! init and the suites: static programs for the guest's user space.

use std::path::Path;

use crate::build::guest::{Crates, Target};
use crate::build::{Builder, Built, digest};
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;
use kdk_core::workspace::workspace;
use kdk_doctor::tools::Rust;

/// Suites: the program's name and its package.
pub const SUITES: [(&str, &str); 7] = [
    ("smoke", "kdk-smoke"),
    ("sendfile", "kdk-sendfile"),
    ("flowtable", "kdk-flowtable"),
    ("ixgbe", "kdk-ixgbe"),
    ("kmod", "kdk-lifecycle"),
    ("boot", "kdk-boot"),
    ("bench", "kdk-bench"),
];

/// The store's answer, built if need be. One result serves every base.
pub fn build(builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<Built, Failure> {
    builder.obtain(
        Phase::Userland,
        "building init and the suites",
        &inputs("userland", "all", rust)?,
        &|_, _, _| Vec::new(),
        |folder| {
            let built = crates("build init and the suites", rust, llvm).build(builder)?;
            for name in ["init"].into_iter().chain(SUITES.map(|(name, _)| name)) {
                let kept = folder.join(name);
                std::fs::copy(built.join(name), &kept)
                    .map_err(|error| Failure::io(format!("store {name}"), &kept, error))?;
            }
            Ok(())
        },
    )
}

/// Lints them, unless they were clean and are unchanged.
pub fn lint(builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<Built, Failure> {
    let inputs = inputs("lint", "userland", rust)?;
    crates("lint init and the suites", rust, llvm).clippy(builder, inputs)
}

/// Returns all that init and the suites are made from.
fn inputs(kind: &str, base: &str, rust: &Rust) -> Result<Inputs, Failure> {
    let sources = ["userland-tests", "kmod/harness", "Cargo.toml", "Cargo.lock"];
    let mut inputs = Inputs::new(kind, base);
    inputs.digest("userland sources", digest::folders(workspace(), &sources)?);
    inputs.bytes("programs", SUITES.map(|(name, _)| name).join(" "));
    inputs.bytes("rustc", &rust.version);
    Ok(inputs)
}

/// init and the suites.
fn crates<'a>(what: &'a str, rust: &'a Rust, llvm: &'a Path) -> Crates<'a> {
    let mut packages = vec!["kdk-init"];
    packages.extend(SUITES.map(|(_, package)| package));
    Crates {
        what,
        rust,
        llvm,
        target: Target::Userland,
        packages,
        env: Vec::new(),
        slot: "userland".into(),
    }
}

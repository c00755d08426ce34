//! The programs init and the suites: static programs for the guest's user
//! space.

use std::path::Path;

use crate::build::guest::{BuildTarget, Crates};
use crate::build::{Builder, Built, digest};
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;
use kdk_core::workspace::workspace;
use kdk_doctor::tools::Rust;
use kdk_suites::{Suite, Suites};

/// The test suites, found by their declarations.
///
/// # Errors
/// A declaration is missing or not valid.
pub fn suites() -> Result<Suites, Failure> {
    Suites::read(workspace()).map_err(|error| {
        Failure::usage(
            "read the declarations of the test suites",
            error.to_string(),
        )
        .help("correct the file; CONTRIBUTING.md describes its form")
    })
}

/// Returns the names of the programs: init and one for each suite.
pub fn programs(suites: &Suites) -> impl Iterator<Item = &str> {
    let names = suites.with_program().map(|suite| suite.name.as_str());
    ["init"].into_iter().chain(names)
}

/// The store's answer, built if need be. One result serves every base.
pub fn build(builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<Built, Failure> {
    let suites = suites()?;
    let programs: Vec<&str> = programs(&suites).collect();
    builder.obtain(
        Phase::Userland,
        "building init and the suites",
        &inputs("userland", "all", &suites, rust)?,
        &|_, _, _| Vec::new(),
        |folder| {
            let built = crates("build init and the suites", &suites, rust, llvm).build(builder)?;
            for &name in &programs {
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
    let suites = suites()?;
    let inputs = inputs("lint", "userland", &suites, rust)?;
    crates("lint init and the suites", &suites, rust, llvm).clippy(builder, inputs)
}

/// Returns all that init and the suites are made from.
fn inputs(kind: &str, base: &str, suites: &Suites, rust: &Rust) -> Result<Inputs, Failure> {
    let sources = ["userland-tests", "kmod/harness", "Cargo.toml", "Cargo.lock"];
    let mut inputs = Inputs::new(kind, base);
    inputs.digest("userland sources", digest::folders(workspace(), &sources)?);
    inputs.bytes("programs", programs(suites).collect::<Vec<_>>().join(" "));
    BuildTarget::Userland.declare(&mut inputs, rust);
    Ok(inputs)
}

/// Returns the crates of init and the suites.
fn crates<'a>(what: &'a str, suites: &Suites, rust: &'a Rust, llvm: &'a Path) -> Crates<'a> {
    let packages = suites.with_program().map(Suite::package);
    Crates {
        what,
        rust,
        llvm,
        target: BuildTarget::Userland,
        packages: ["kdk-init".into()].into_iter().chain(packages).collect(),
        env: Vec::new(),
        slot: "userland".into(),
    }
}

//! The demo guest: a bare-metal program that consists of one crate.

use std::path::Path;

use crate::build::guest::{BuildTarget, Crates};
use crate::build::{Builder, Built, digest};
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;
use kdk_core::workspace::workspace;
use kdk_doctor::tools::Rust;

/// The name of the guest in its store entry.
pub const GUEST: &str = "kdk-demo-guest";

/// Returns the demo guest, built if necessary.
pub fn build(builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<Built, Failure> {
    builder.obtain(
        Phase::Kernel,
        "building the demo guest",
        &inputs("demo", rust)?,
        &|_, _, _| Vec::new(),
        |folder| {
            let built = crates("build the demo guest", rust, llvm).build(builder)?;
            let kept = folder.join(GUEST);
            std::fs::copy(built.join(GUEST), &kept)
                .map_err(|error| Failure::io("store the demo guest", &kept, error))?;
            Ok(())
        },
    )
}

/// Lints the demo guest, unless it was clean and is unchanged.
pub fn lint(builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<Built, Failure> {
    crates("lint the demo guest", rust, llvm).clippy(builder, inputs("lint", rust)?)
}

/// Returns all that the guest is made from.
fn inputs(kind: &str, rust: &Rust) -> Result<Inputs, Failure> {
    let sources = ["vm/demo-guest", "kmod/harness", "Cargo.toml", "Cargo.lock"];
    let mut inputs = Inputs::new(kind, "demo");
    inputs.digest(
        "demo guest sources",
        digest::folders(workspace(), &sources)?,
    );
    BuildTarget::BareMetal.declare(&mut inputs, rust);
    Ok(inputs)
}

/// Returns the crate of the guest.
fn crates<'a>(what: &'a str, rust: &'a Rust, llvm: &'a Path) -> Crates<'a> {
    Crates {
        what,
        rust,
        llvm,
        target: BuildTarget::BareMetal,
        packages: vec![GUEST.into()],
        env: Vec::new(),
        slot: "demo".into(),
    }
}

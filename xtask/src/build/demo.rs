//! The demo guest: a bare-metal program, so one crate is the whole build.

use std::path::Path;

use super::guest::{Crates, Rust, Target};
use super::{Builder, digest, workspace};
use crate::event::Phase;
use crate::failure::Failure;
use crate::store::{Entry, Inputs, Lookup};

/// The name of the guest in its store entry.
pub const GUEST: &str = "kdk-demo-guest";

/// A demo guest in the store.
#[derive(Debug)]
pub struct Built {
    /// The store's entry.
    pub entry: Entry,
    /// Whether it was there already.
    pub cached: bool,
    /// Why it had to be built, or "unchanged".
    pub why: String,
}

/// The store's answer, built if need be.
pub fn build(builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<Built, Failure> {
    let sources = ["vm/demo-guest", "kmod/harness", "Cargo.toml", "Cargo.lock"];
    let mut inputs = Inputs::new("demo", "demo");
    inputs.digest(
        "demo guest sources",
        digest::folders(workspace(), &sources)?,
    );
    inputs.bytes("rustc", &rust.version);
    let why = match builder.store.lookup(&inputs, &|_, _, _| Vec::new())? {
        Lookup::Hit(entry) => {
            return Ok(Built {
                entry,
                cached: true,
                why: "unchanged".into(),
            });
        }
        Lookup::Miss { why } => why,
    };
    builder.say(Phase::Kernel, format!("building the demo guest: {why}"));
    let built = Crates {
        what: "build the demo guest",
        rust,
        llvm,
        target: Target::BareMetal,
        packages: &[GUEST],
        env: Vec::new(),
        slot: "demo",
    }
    .build(builder)?;
    let pending = builder.store.begin(&inputs)?;
    let kept = pending.path().join(GUEST);
    std::fs::copy(built.join(GUEST), &kept)
        .map_err(|error| Failure::io("store the demo guest", &kept, error))?;
    Ok(Built {
        entry: pending.publish()?,
        cached: false,
        why,
    })
}

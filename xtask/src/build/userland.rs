//! init and the suites: static programs for the guest's user space.

use std::path::Path;

use super::guest::{Crates, Rust, Target};
use super::{Builder, digest, workspace};
use crate::event::Phase;
use crate::failure::Failure;
use crate::store::{Entry, Inputs, Lookup};

/// Suites: the program's name and its package.
pub const SUITES: [(&str, &str); 2] = [("smoke", "kdk-smoke"), ("kmod", "kdk-lifecycle")];

/// Programs in the store.
#[derive(Debug)]
pub struct Built {
    /// The store's entry: `init` and the suites.
    pub entry: Entry,
    /// Whether they were there already.
    pub cached: bool,
    /// Why they had to be built, or "unchanged".
    pub why: String,
}

/// The store's answer, built if need be. One result serves every base.
pub fn build(builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<Built, Failure> {
    let sources = ["userland-tests", "kmod/harness", "Cargo.toml", "Cargo.lock"];
    let mut inputs = Inputs::new("userland", "all");
    inputs.digest("userland sources", digest::folders(workspace(), &sources)?);
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
    builder.say(
        Phase::Userland,
        format!("building init and the suites: {why}"),
    );
    let mut packages = vec!["kdk-init"];
    packages.extend(SUITES.map(|(_, package)| package));
    let built = Crates {
        what: "build init and the suites",
        rust,
        llvm,
        target: Target::Userland,
        packages: &packages,
        env: Vec::new(),
        slot: "userland",
    }
    .build(builder)?;
    let pending = builder.store.begin(&inputs)?;
    for name in ["init"].into_iter().chain(SUITES.map(|(name, _)| name)) {
        let kept = pending.path().join(name);
        std::fs::copy(built.join(name), &kept)
            .map_err(|error| Failure::io(format!("store {name}"), &kept, error))?;
    }
    Ok(Built {
        entry: pending.publish()?,
        cached: false,
        why,
    })
}

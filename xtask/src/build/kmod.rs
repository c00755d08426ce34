//! kdk.ko: cargo builds the archive, the linker crate makes a module of it.

use std::path::{Path, PathBuf};

use kdk_kmod_link::{Link, link};

use super::guest::{Crates, Rust, Target};
use super::kernel::{Generation, Source};
use super::{Builder, digest, legacy, workspace};
use crate::event::Phase;
use crate::failure::Failure;
use crate::store::{Entry, Inputs, Lookup};

/// Sources of the module.
const SOURCES: [&str; 3] = ["kmod", "Cargo.toml", "Cargo.lock"];

/// A module in the store: `kdk.ko`, and `kdk-wrong.ko`, which was told that
/// it is for another kernel.
#[derive(Debug)]
pub struct Built {
    /// The store's entry.
    pub entry: Entry,
    /// Whether it was there already.
    pub cached: bool,
    /// Why it had to be built, or "unchanged".
    pub why: String,
}

/// The store's answer for `kernel`, built if need be.
pub fn build(
    builder: &Builder<'_>,
    source: &Source,
    kernel: &Entry,
    rust: &Rust,
    llvm: &Path,
) -> Result<Built, Failure> {
    let mut inputs = Inputs::new("kmod", &source.base);
    let headers = std::fs::read_to_string(kernel.file(super::kernel::HEADERS));
    inputs.digest(
        "the kernel's headers",
        headers.unwrap_or_else(|_| kernel.key.clone()),
    );
    inputs.digest("kmod sources", digest::folders(workspace(), &SOURCES)?);
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
    builder.say(Phase::Kmod, format!("building kdk.ko: {why}"));
    let pending = builder.store.begin(&inputs)?;
    let wrong = format!("-DKDK_BUILT_FOR={}", source.osreldate + 1);
    for (name, define) in [("kdk-wrong.ko", wrong.as_str()), ("kdk.ko", "")] {
        let archive = archive(builder, source, kernel, rust, llvm, define)?;
        let ld = llvm.join("ld.lld");
        link(&Link {
            ld: &ld,
            script: &workspace().join("kmod/kdk.ld"),
            inputs: &[archive],
            out: &pending.path().join(name),
            kernel: Some(&kernel.file("kernel")),
        })
        .map_err(|error| Failure::build("link kdk.ko", error.to_string()))?;
    }
    Ok(Built {
        entry: pending.publish()?,
        cached: false,
        why,
    })
}

fn archive(
    builder: &Builder<'_>,
    source: &Source,
    kernel: &Entry,
    rust: &Rust,
    llvm: &Path,
    define: &str,
) -> Result<PathBuf, Failure> {
    let mut extra = match source.generation {
        Generation::MakePy => String::new(),
        Generation::Legacy => legacy::CFLAGS.join(" "),
    };
    if !define.is_empty() {
        extra = format!("{extra} {define}").trim().to_owned();
    }
    let built = Crates {
        what: "build kdk.ko",
        rust,
        llvm,
        target: Target::Module,
        packages: &["kdk-kmod"],
        env: vec![
            ("KDK_SYS".into(), source.path.join("sys").into()),
            ("KDK_KERN_OBJ".into(), kernel.file("obj").into()),
            ("KDK_CLANG".into(), llvm.join("clang").into()),
            ("KDK_CFLAGS_EXTRA".into(), extra.into()),
        ],
        slot: &format!("kmod-{}", source.base),
    }
    .build(builder)?;
    Ok(built.join("libkdk.a"))
}

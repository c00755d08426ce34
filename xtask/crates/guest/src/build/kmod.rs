//! kdk.ko: cargo builds the archive, the linker crate makes a module of it.

use std::fs;
use std::path::Path;

use kdk_kmod_link::{Link, LinkError, elf, link, link_debug};

use super::kernel::{Generation, Source};
use crate::build::guest::{Crates, Target};
use crate::build::{Builder, Built, digest, legacy};
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::{Entry, Inputs};
use kdk_core::workspace::workspace;
use kdk_doctor::tools::Rust;

/// In a store entry: kdk.ko with debug information, for reading.
pub const DEBUG: &str = "kdk.ko.debug";

/// A copy of it that says it was built for another kernel, for a test.
const WRONG: &str = "kdk-wrong.ko";

/// The variable in it that says so, `kmod/shim/kdk_shim.h`.
const BUILT_FOR: &str = "kdk_built_for";

/// Sources of the module.
const SOURCES: [&str; 3] = ["kmod", "Cargo.toml", "Cargo.lock"];

/// The store's answer for `kernel`, built if need be.
pub fn build(
    builder: &Builder<'_>,
    source: &Source,
    kernel: &Entry,
    rust: &Rust,
    llvm: &Path,
) -> Result<Built, Failure> {
    let inputs = inputs("kmod", source, kernel, rust)?;
    builder.obtain(
        Phase::Kmod,
        "building kdk.ko",
        &inputs,
        &|_, _, _| Vec::new(),
        |folder| {
            let (ld, script) = (llvm.join("ld.lld"), workspace().join("kmod/kdk.ld"));
            let failed = |error: LinkError| Failure::build("link kdk.ko", error.to_string());
            let built = crates("build kdk.ko", source, kernel, rust, llvm).build(builder)?;
            let inputs = [built.join("libkdk.a")];
            let module = folder.join("kdk.ko");
            link(&Link {
                ld: &ld,
                script: &script,
                inputs: &inputs,
                out: &module,
                kernel: Some(&kernel.file("kernel")),
            })
            .map_err(failed)?;
            link_debug(&ld, &script, &inputs, &folder.join(DEBUG)).map_err(failed)?;
            for_another_kernel(&module, source.osreldate + 1, &folder.join(WRONG))
        },
    )
}

/// A copy of the module that says it was built for another kernel.
fn for_another_kernel(module: &Path, osreldate: u32, copy: &Path) -> Result<(), Failure> {
    let mut bytes = fs::read(module).map_err(|error| Failure::io("read kdk.ko", module, error))?;
    elf::set_u32(&mut bytes, BUILT_FOR, osreldate)
        .map_err(|error| Failure::build("make a kdk.ko of another kernel", error.to_string()))?;
    fs::write(copy, bytes).map_err(|error| Failure::io("write the copy of kdk.ko", copy, error))
}

/// Lints the module against the headers of `kernel`, unless it was clean and
/// nothing is changed.
pub fn lint(
    builder: &Builder<'_>,
    source: &Source,
    kernel: &Entry,
    rust: &Rust,
    llvm: &Path,
) -> Result<Built, Failure> {
    let inputs = inputs("lint-kmod", source, kernel, rust)?;
    crates("lint kdk.ko", source, kernel, rust, llvm).clippy(builder, inputs)
}

/// Returns all that the module is made from.
fn inputs(kind: &str, source: &Source, kernel: &Entry, rust: &Rust) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::new(kind, &source.base);
    let headers = fs::read_to_string(kernel.file(super::kernel::HEADERS));
    inputs.digest(
        "the kernel's headers",
        headers.unwrap_or_else(|_| kernel.key.clone()),
    );
    inputs.digest("kmod sources", digest::folders(workspace(), &SOURCES)?);
    inputs.bytes("rustc", &rust.version);
    Ok(inputs)
}

/// The module's crate, against the headers of `kernel`.
fn crates<'a>(
    what: &'a str,
    source: &Source,
    kernel: &Entry,
    rust: &'a Rust,
    llvm: &'a Path,
) -> Crates<'a> {
    let extra = match source.generation {
        Generation::MakePy => String::new(),
        Generation::Legacy => legacy::CFLAGS.join(" "),
    };
    Crates {
        what,
        rust,
        llvm,
        target: Target::Module,
        packages: vec!["kdk-kmod".into()],
        env: vec![
            ("KDK_SYS".into(), source.path.join("sys").into()),
            ("KDK_KERN_OBJ".into(), kernel.file("obj").into()),
            ("KDK_CLANG".into(), llvm.join("clang").into()),
            ("KDK_CFLAGS_EXTRA".into(), extra.into()),
        ],
        slot: format!("kmod-{}", source.base),
    }
}

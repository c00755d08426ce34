//! kdk.ko: cargo builds the archive, the linker crate makes a module of it.

use std::path::{Path, PathBuf};

use kdk_kmod_link::{Link, LinkError, link, link_debug};

use super::guest::{Crates, Rust, Target};
use super::kernel::{Generation, Source};
use super::{Builder, Built, digest, legacy, workspace};
use crate::event::Phase;
use crate::failure::Failure;
use crate::store::{Entry, Inputs};

/// In a store entry: kdk.ko with debug information, for reading.
pub const DEBUG: &str = "kdk.ko.debug";

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
    let mut inputs = Inputs::new("kmod", &source.base);
    let headers = std::fs::read_to_string(kernel.file(super::kernel::HEADERS));
    inputs.digest(
        "the kernel's headers",
        headers.unwrap_or_else(|_| kernel.key.clone()),
    );
    inputs.digest("kmod sources", digest::folders(workspace(), &SOURCES)?);
    inputs.bytes("rustc", &rust.version);
    builder.obtain(
        Phase::Kmod,
        "building kdk.ko",
        &inputs,
        &|_, _, _| Vec::new(),
        |folder| {
            let wrong = format!("-DKDK_BUILT_FOR={}", source.osreldate + 1);
            let (ld, script) = (llvm.join("ld.lld"), workspace().join("kmod/kdk.ld"));
            let failed = |error: LinkError| Failure::build("link kdk.ko", error.to_string());
            for (name, define) in [("kdk-wrong.ko", wrong.as_str()), ("kdk.ko", "")] {
                let inputs = [archive(builder, source, kernel, rust, llvm, define)?];
                link(&Link {
                    ld: &ld,
                    script: &script,
                    inputs: &inputs,
                    out: &folder.join(name),
                    kernel: Some(&kernel.file("kernel")),
                })
                .map_err(failed)?;
                if name == "kdk.ko" {
                    link_debug(&ld, &script, &inputs, &folder.join(DEBUG)).map_err(failed)?;
                }
            }
            Ok(())
        },
    )
}

fn archive(
    builder: &Builder<'_>,
    source: &Source,
    kernel: &Entry,
    rust: &Rust,
    llvm: &Path,
    define: &str,
) -> Result<PathBuf, Failure> {
    let built = crates("build kdk.ko", source, kernel, rust, llvm, define).build(builder)?;
    Ok(built.join("libkdk.a"))
}

/// The module's crate, against the headers of `kernel`. `define` goes to the
/// shim's compiler.
pub fn crates<'a>(
    what: &'a str,
    source: &Source,
    kernel: &Entry,
    rust: &'a Rust,
    llvm: &'a Path,
    define: &str,
) -> Crates<'a> {
    let mut extra = match source.generation {
        Generation::MakePy => String::new(),
        Generation::Legacy => legacy::CFLAGS.join(" "),
    };
    if !define.is_empty() {
        extra = format!("{extra} {define}").trim().to_owned();
    }
    Crates {
        what,
        rust,
        llvm,
        target: Target::Module,
        packages: vec!["kdk-kmod"],
        env: vec![
            ("KDK_SYS".into(), source.path.join("sys").into()),
            ("KDK_KERN_OBJ".into(), kernel.file("obj").into()),
            ("KDK_CLANG".into(), llvm.join("clang").into()),
            ("KDK_CFLAGS_EXTRA".into(), extra.into()),
        ],
        slot: format!("kmod-{}", source.base),
    }
}

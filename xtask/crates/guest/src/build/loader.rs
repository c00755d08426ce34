//! The tree's EFI loader with the simple interpreter (`loader_simp.efi`):
//! boots every kernel, patched or not, old or new.

use super::kernel::Tools;
use super::sandbox::check_built;
use super::{Builder, make_py};
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::store::{Entry, Inputs, Lookup};

/// The directories of `stand` that it is built from, in order.
const PARTS: [&str; 4] = ["libsa", "ficl", "efi/libefi", "efi/loader_simp"];

/// The name of the loader in its store entry.
pub const LOADER: &str = "loader_simp.efi";

/// Returns the loader, built if necessary. It always comes from a modern tree.
pub fn build(builder: &Builder<'_>, tools: &Tools) -> Result<Entry, Failure> {
    let source = &tools.from;
    let mut inputs = Inputs::new("loader", &source.base);
    let stand = format!("{}:stand", source.commit);
    let stand = Git::new(&source.repo).text("read the tree of stand", &["rev-parse", &stand])?;
    inputs.digest("stand", stand);
    inputs.bytes("build recipe", make_py::RECIPE.to_string());
    let _one_at_a_time = builder
        .cache
        .lock(&format!("obj-{}", source.base), &|text| {
            builder.say(Phase::Kernel, text)
        })?;
    if let Lookup::Hit(entry) = builder.store.lookup(&inputs, &|_, _, _| Vec::new())? {
        return Ok(entry);
    }
    builder.say(Phase::Kernel, "building the loader");
    make_py::toolchain(builder, source, &tools.llvm)?;
    let script = builder.logs.join("loader.sh");
    std::fs::write(&script, commands(builder.jobs))
        .map_err(|error| Failure::io("write the loader's build script", &script, error))?;
    let args = [
        "buildenv".into(),
        format!("BUILDENV_SHELL=sh {}", script.display()).into(),
    ];
    let job = make_py::make(
        builder,
        source,
        &tools.llvm,
        "build the loader",
        "loader",
        &args,
    );
    job.run(builder.interrupt, &mut |_| {})?;
    let made = make_py::objects(builder, source)
        .join("stand/efi/loader_simp")
        .join(LOADER);
    check_built(&made, &source.obj(builder))?;
    let pending = builder.store.begin(&inputs)?;
    let kept = pending.path().join(LOADER);
    std::fs::copy(&made, &kept)
        .map_err(|error| Failure::io(format!("store {}", made.display()), &kept, error))?;
    pending.publish()
}

/// Returns the script that runs in the tree's build environment, at the top of
/// the tree.
fn commands(jobs: usize) -> String {
    let mut script = String::from("set -e\n");
    for part in PARTS {
        let make = format!("make -j{jobs}");
        script.push_str(&format!(
            "(cd stand/{part} && {make} obj && {make} all MK_TESTS=no MK_MAN=no)\n"
        ));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_part_ends_the_script() {
        let script = commands(2);
        assert!(script.starts_with("set -e\n"));
        assert_eq!(script.lines().count(), 1 + PARTS.len());
    }
}

//! Kernels of trees that predate make.py: config(8) and bmake with the host
//! tools that a modern tree bootstrapped and the old tree's `share/mk`.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::diagnose::begins_object;
use super::job::Job;
use super::kernel::{CONFIGS, Made, Tools, TreeSource, objects_in, progress};
use crate::build::sandbox::Confinement;
use crate::build::{Builder, make_py};
use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;

/// The version of the build recipe. A change of it invalidates earlier results.
pub const RECIPE: u32 = 1;

/// The flags with which a modern clang compiles C of 2014 as intended: the
/// kernel adds to null base pointers, lets signed counters wrap, and uses
/// common symbols. Modern warnings do not apply to it.
pub const CFLAGS: [&str; 4] = [
    "-fcommon",
    "-fwrapv",
    "-fno-delete-null-pointer-checks",
    "-w",
];

/// Without the page size, lld places the kernel below 2 MiB, where it cannot
/// start.
const LD: &str = "ld.lld -z max-page-size=0x200000 -z norelro --no-rosegment";

/// Builds the kernel.
pub fn kernel(builder: &Builder<'_>, source: &TreeSource, tools: &Tools) -> Result<Made, Failure> {
    make_py::toolchain(builder, &tools.from, &tools.llvm)?;
    let objects = source.obj(builder).join(&source.config);
    builder.cache.create(&objects)?;
    let host = make_py::objects(builder, &tools.from).join("tmp/legacy");
    configure(builder, source, tools, &objects, &host)?;
    let total =
        fs::read_to_string(objects.join("Makefile")).map_or(0, |makefile| objects_in(&makefile));
    let bmake = tools.from.obj(builder).join("bmake-install/bin/bmake");
    let job = Job {
        what: "build the kernel".into(),
        argv: make_arguments(&bmake, &source.path, builder.jobs),
        dir: objects.clone(),
        env: environment(&host, source, &tools.llvm),
        without: vec![
            "MAKEFLAGS",
            "MFLAGS",
            "MAKELEVEL",
            "CC",
            "CFLAGS",
            "MAKEOBJDIRPREFIX",
        ],
        confinement: confinement(builder, source, tools),
        log: builder.log("kernel"),
    };
    let done = Cell::new(0);
    job.run(builder.interrupt, &mut |line| {
        if begins_object(line) {
            done.set(done.get() + 1);
            progress(builder, done.get(), total.max(done.get()));
        }
    })?;
    Ok(Made {
        kernel: objects.join("kernel"),
        debug: objects.join("kernel.debug"),
        sys: source.path.join("sys"),
        objects,
    })
}

/// config(8) rewrites only the files that change, so this costs an unchanged
/// kernel nothing.
fn configure(
    builder: &Builder<'_>,
    source: &TreeSource,
    tools: &Tools,
    objects: &Path,
    host: &Path,
) -> Result<(), Failure> {
    let conf = workspace().join(CONFIGS);
    let own = source.path.join("sys/amd64/conf");
    let job = Job {
        what: format!("configure the kernel ({})", source.config),
        argv: vec![
            host.join("usr/sbin/config").into(),
            "-d".into(),
            objects.into(),
            "-I".into(),
            conf.clone().into(),
            "-I".into(),
            own.clone().into(),
            conf.join(&source.config).into(),
        ],
        dir: own,
        env: Vec::new(),
        without: Vec::new(),
        confinement: confinement(builder, source, tools),
        log: builder.log("kernel"),
    };
    job.run(builder.interrupt, &mut |_| {})
}

/// Returns what the old tree's makefiles see of the host: not even the modern
/// tree's objects are writable.
fn confinement(builder: &Builder<'_>, source: &TreeSource, tools: &Tools) -> Option<Confinement> {
    let mut readable = make_py::llvm_folders(&tools.llvm);
    readable.push(source.path.clone());
    readable.push(workspace().join(CONFIGS));
    readable.push(tools.from.obj(builder));
    // The folder of its host tools has links to its tree.
    readable.push(tools.from.path.clone());
    builder.confine(readable, vec![source.obj(builder)])
}

fn environment(host: &Path, source: &TreeSource, llvm: &Path) -> Vec<(String, OsString)> {
    let mut path = OsString::new();
    for dir in ["usr/sbin", "usr/bin", "bin"] {
        path.push(host.join(dir));
        path.push(":");
    }
    path.push(llvm);
    path.push(":/usr/bin:/bin");
    vec![
        ("PATH".into(), path),
        ("MAKESYSPATH".into(), source.path.join("share/mk").into()),
    ]
}

fn make_arguments(bmake: &Path, tree: &Path, jobs: usize) -> Vec<OsString> {
    let cc = format!(
        "CC=clang --target=x86_64-unknown-freebsd11.0 {}",
        CFLAGS.join(" ")
    );
    let mut argv: Vec<OsString> = vec![bmake.into(), "-m".into(), tree.join("share/mk").into()];
    argv.push(format!("-j{jobs}").into());
    argv.extend(
        [
            "MACHINE=amd64",
            "MACHINE_ARCH=amd64",
            "MACHINE_CPUARCH=amd64",
            "COMPILER_TYPE=clang",
            "MK_CTF=no",
            "NO_MODULES=yes",
            // gcc's and old clang's flags, and warnings as errors.
            "WERROR=",
            "CWARNFLAGS=",
            "CWARNEXTRA=",
            "FORMAT_EXTENSIONS=",
            "NM=llvm-nm",
            "OBJCOPY=llvm-objcopy",
            "SIZE=llvm-size",
            "AWK=awk",
        ]
        .map(OsString::from),
    );
    argv.push(cc.into());
    argv.push(format!("LD={LD}").into());
    argv.push("kernel".into());
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_make() {
        let argv = make_arguments(Path::new("/obj/bmake"), Path::new("/tree"), 2);
        insta::assert_debug_snapshot!(argv);
    }
}

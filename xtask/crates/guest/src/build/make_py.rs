//! FreeBSD's own cross-build (tools/build/make.py), for trees that have it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::diagnose::begins_object;
use super::job::Job;
use super::kernel::{CONFIGS, Made, TreeSource, objects_in, progress};
use crate::build::known_inputs::KnownInputs;
use crate::build::{Builder, compiled, digest};
use kdk_core::cache_dir::write_atomically;
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::workspace::workspace;
use kdk_doctor::tools;

/// The version of the build recipe. A change of it invalidates earlier results.
pub const RECIPE: u32 = 1;

/// The unit tests of bmake that are skipped: they fail if SIGINT is ignored or
/// the machine is busy, and would stop its bootstrap.
const SKIPPED_BMAKE_TESTS: &str = "cmd-interrupt deptgt-interrupt";

/// The file in a kernel's object directory that is linked last of all objects.
pub const KERNEL: &str = "kernel.full";

/// Builds the kernel. Builds its toolchain first, if that is stale.
pub fn kernel(builder: &Builder<'_>, source: &TreeSource, llvm: &Path) -> Result<Made, Failure> {
    let tools = toolchain(builder, source, llvm)?;
    let objects = kernel_objects(builder, source);
    let configured = configured_key(source, &tools)?;
    let stamp = source
        .obj(builder)
        .join(format!("configured-{}.key", source.config));
    let fast = objects.join(KERNEL).exists() && matches_key(&stamp, &configured);
    // An interrupted build must not leave a valid stamp.
    remove(&stamp)?;
    let vars = kernel_arguments(source, builder.jobs, fast);
    let mut job = make(builder, source, llvm, "build the kernel", "kernel", &vars);
    if let Some(ccache) = tools::ccache() {
        let folder = builder.ccache();
        builder.cache.create(&folder)?;
        if let Some(confinement) = &mut job.confinement {
            confinement.allow_writes(folder.clone());
        }
        job.env.extend(with_ccache(ccache, folder));
    }
    let done = Cell::new(0);
    let total = Cell::new(0);
    job.run(builder.interrupt, &mut |line| {
        if begins_object(line) {
            if total.get() == 0 && !fast {
                total.set(
                    fs::read_to_string(objects.join("Makefile")).map_or(0, |m| objects_in(&m)),
                );
            }
            done.set(done.get() + 1);
            progress(
                builder,
                done.get(),
                total.get().max(done.get()) * u64::from(!fast),
            );
        }
    })?;
    write_atomically(&stamp, configured.as_bytes()).map_err(|error| {
        Failure::io(
            "write the stamp of the kernel's configuration",
            &stamp,
            error,
        )
    })?;
    Ok(Made {
        kernel: objects.join("kernel"),
        debug: objects.join("kernel.debug"),
        sys: source.path.join("sys"),
        objects,
    })
}

/// Returns the variables that make the tree's make(1) use ccache(1) with
/// `folder`. Patches of headers that are applied and removed again, as proofs
/// do, then do not recompile the kernel each time (src.conf(5),
/// WITH_CCACHE_BUILD).
fn with_ccache(ccache: PathBuf, folder: PathBuf) -> [(String, OsString); 4] {
    [
        ("WITH_CCACHE_BUILD".into(), "yes".into()),
        ("CCACHE_BIN".into(), ccache.into()),
        ("CCACHE_DIR".into(), folder.into()),
        ("CCACHE_MAXSIZE".into(), "4G".into()),
    ]
}

/// Returns make's arguments for a kernel. `fast` skips config(8), cleaning and
/// the dependencies, which is valid if only known sources changed.
pub fn kernel_arguments(source: &TreeSource, jobs: usize, fast: bool) -> Vec<OsString> {
    let conf = workspace().join(CONFIGS);
    let mut args: Vec<OsString> = vec![
        format!("-j{jobs}").into(),
        "buildkernel".into(),
        format!("KERNCONF={}", source.config).into(),
        format!("KERNCONFDIR={}", conf.display()).into(),
        "MODULES_OVERRIDE=".into(),
    ];
    if fast {
        args.push("-DKERNFAST".into());
    }
    args
}

/// Updates the cross toolchain and the host's bootstrap tools. Returns their
/// key.
///
/// The first build is keyed by all files that can be a part of it. Each build
/// then lists the files that it read, and a change of another one is none of
/// the toolchain: the commits of a range differ in thousands of those.
pub fn toolchain(
    builder: &Builder<'_>,
    source: &TreeSource,
    llvm: &Path,
) -> Result<String, Failure> {
    let obj = source.obj(builder);
    builder.cache.create(&obj)?;
    let (stamp, list) = (obj.join("toolchain.key"), obj.join("toolchain.files"));
    let key = |known: &KnownInputs| toolchain_key(source, llvm, known);
    let known = KnownInputs::new(read_list(&list));
    let now = key(&known)?;
    if matches_key(&stamp, &now) && !known.is_empty() {
        return Ok(now);
    }
    if !matches_key(&stamp, &now) {
        remove(&stamp)?;
        build_toolchain(builder, source, llvm)?;
    }
    let failed = |error| Failure::io("write the stamp of the toolchain", &stamp, error);
    let read = compiled::files(builder.cache, &source.base)?;
    let read: BTreeSet<String> = read
        .into_iter()
        .filter(|path| is_of_toolchain(path))
        .collect();
    let lines: String = read.iter().map(|path| format!("{path}\n")).collect();
    let now = key(&KnownInputs::new(read))?;
    // The list first: without a stamp the toolchain is built again.
    remove(&stamp)?;
    write_atomically(&list, lines.as_bytes()).map_err(failed)?;
    write_atomically(&stamp, now.as_bytes()).map_err(failed)?;
    Ok(now)
}

/// Returns the lines of a list; none if there is no list.
fn read_list(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn build_toolchain(builder: &Builder<'_>, source: &TreeSource, llvm: &Path) -> Result<(), Failure> {
    builder.say(
        Phase::Kernel,
        "building the tree's toolchain; this happens once per tree and takes some minutes",
    );
    let job = make(
        builder,
        source,
        llvm,
        "build the tree's toolchain (kernel-toolchain)",
        "toolchain",
        &[
            format!("-j{}", builder.jobs).into(),
            "kernel-toolchain".into(),
        ],
    );
    let done = Cell::new(0);
    job.run(builder.interrupt, &mut |line| {
        if begins_object(line) {
            done.set(done.get() + 1);
            progress(builder, done.get(), 0);
        }
    })
}

/// Returns the key of the toolchain: the files that it is built of, of all
/// except those of the kernel, the loader, tests and manual pages.
fn toolchain_key(source: &TreeSource, llvm: &Path, known: &KnownInputs) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    let is_read = |path: &str| known.is_empty() || known.reads(path, true);
    for (path, id) in digest::entries(&source.repo, &source.commit)? {
        if is_of_toolchain(&path) && is_read(&path) {
            hasher.update(path.as_bytes()).update(id.as_bytes());
        }
    }
    hasher.update(llvm.as_os_str().as_encoded_bytes());
    hasher.update(&RECIPE.to_le_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

fn is_of_toolchain(path: &str) -> bool {
    let is_within = |dir: &str| {
        path.strip_prefix(dir)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let is_manual = || {
        let (_, section) = path.rsplit_once('.').unwrap_or_default();
        matches!(section.as_bytes(), [b'1'..=b'9'])
    };
    !["sys", "stand", "tests"].into_iter().any(is_within) && !is_manual()
}

/// Returns the key of the inputs of config(8) and of the object directory. If
/// it is unchanged, an incremental build can skip both (`KERNFAST`).
fn configured_key(source: &TreeSource, toolchain: &str) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(toolchain.as_bytes());
    for dir in [
        "sys/conf",
        "sys/amd64/conf",
        "sys/arch/amd64/conf",
        "sys/x86/conf",
    ] {
        // Not every tree has each of them.
        let name = format!("{}:{dir}", source.commit);
        let id = Git::new(&source.repo).text(
            "read a folder of the tree",
            &["rev-parse", "--verify", "-q", &name],
        );
        hasher.update(id.unwrap_or_default().as_bytes());
    }
    hasher.update(digest::folders(workspace(), &["vm/conf"])?.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

/// Returns a make.py command in the tree. Confined, it can also read the logs
/// of this run, because the loader's script is there.
pub fn make(
    builder: &Builder<'_>,
    source: &TreeSource,
    llvm: &Path,
    what: &str,
    log: &str,
    args: &[OsString],
) -> Job {
    let mut cross = OsString::from("--cross-bindir=");
    cross.push(llvm);
    let mut argv: Vec<OsString> = vec![
        "python3".into(),
        "tools/build/make.py".into(),
        cross,
        "TARGET=amd64".into(),
        "TARGET_ARCH=amd64".into(),
    ];
    argv.extend_from_slice(args);
    Job {
        what: what.into(),
        argv,
        dir: source.path.clone(),
        env: vec![
            ("MAKEOBJDIRPREFIX".into(), source.obj(builder).into()),
            ("BROKEN_TESTS".into(), SKIPPED_BMAKE_TESTS.into()),
        ],
        without: vec![
            "MAKEFLAGS",
            "MFLAGS",
            "MAKELEVEL",
            "CC",
            "CXX",
            "CFLAGS",
            "DESTDIR",
        ],
        confinement: builder.confine(
            [
                vec![source.path.clone(), workspace().join(CONFIGS)],
                llvm_folders(llvm),
                vec![builder.logs.to_owned()],
            ]
            .concat(),
            vec![source.obj(builder)],
        ),
        log: builder.log(log),
    }
}

/// Returns LLVM's programs and its libraries, which are beside them.
pub fn llvm_folders(llvm: &Path) -> Vec<PathBuf> {
    let beside = llvm.parent().unwrap_or(llvm).join("lib");
    [llvm.to_owned(), beside]
        .into_iter()
        .filter(|folder| folder.is_dir())
        .collect()
}

/// Returns `$MAKEOBJDIRPREFIX/<absolute source>/amd64.amd64`.
pub fn objects(builder: &Builder<'_>, source: &TreeSource) -> PathBuf {
    tree_objects(builder, source).join("amd64.amd64")
}

/// Returns the folder that debug information calls /usr/obj/usr/src.
pub fn tree_objects(builder: &Builder<'_>, source: &TreeSource) -> PathBuf {
    let inside = source.path.strip_prefix("/").unwrap_or(&source.path);
    source.obj(builder).join(inside)
}

fn kernel_objects(builder: &Builder<'_>, source: &TreeSource) -> PathBuf {
    objects(builder, source).join("sys").join(&source.config)
}

fn matches_key(stamp: &Path, key: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == key)
}

fn remove(stamp: &Path) -> Result<(), Failure> {
    match fs::remove_file(stamp) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::io(
            "remove the stamp of an older build",
            stamp,
            error,
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_toolchain_is_made_of() {
        for (path, want) in [
            ("Makefile.inc1", true),
            ("contrib/llvm-project/x.cpp", true),
            ("share/mk/bsd.prog.mk", true),
            ("system/x.c", true),
            ("sys/kern/kern_sendfile.c", false),
            ("stand/efi/loader/main.c", false),
            ("tests/sys/kern/sendfile_test.c", false),
            ("lib/libsys/sendfile.2", false),
            ("contrib/bmake/make.1", false),
        ] {
            assert_eq!(is_of_toolchain(path), want, "{path}");
        }
    }
}

//! Prepares the guest of a base: the phases up to the boot, for every command
//! that needs a guest.

use std::path::PathBuf;

use kdk_vm::elf::{Role, check};
use kdk_vm::hypervisor::{BootFiles, BootMethod, Hypervisor, MachineConfig, MachineSize, Pool};
use kdk_vm::interrupt::Interrupt;
use kdk_vm::symbolize::Sources;

use crate::build::image::{self, Parts};
use crate::build::kernel::{self, Generation, Tools, TreeSource};
use crate::build::{Builder, demo, kmod, loader, make_py, userland};
use crate::hypervisor;
use crate::program::Program;
use crate::request::{BootChoice, CommitChoice, GuestRequest, KernelChoice};
use crate::symbolize::{self, DebugInfo};
use kdk_core::DEMO;
use kdk_core::cache_dir::CacheDir;
use kdk_core::context::Context;
use kdk_core::event;
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};
use kdk_core::store::Entry;
use kdk_doctor::tools;
use kdk_doctor::tools::Rust;
use kdk_report::json::GuestInfo;
use kdk_report::recorder::Recorder;
use kdk_series::base;
use kdk_series::base::apply::Change;
use kdk_series::base::definition::{self, Definition};
use kdk_series::base::record::{self, Record};
use kdk_series::base::{repo, worktree};
use kdk_series::journal;
use kdk_series::load::{self, Loaded};

/// A guest that is ready to start.
pub struct Guest {
    /// The pool that starts its machines.
    pub pool: Box<dyn Pool>,
    /// The properties of the guest in reports.
    pub info: GuestInfo,
    /// The symbols for debuggers.
    pub symbols: Symbols,
    /// The keys of the files that the machine boots from, by name. A saved
    /// machine is only valid for the same keys.
    pub boot_keys: Vec<(String, String)>,
    /// The debug information of the kernel and its modules.
    pub debug_info: DebugInfo,
    /// The artefacts, which stay in the store while this value exists.
    _entries: Vec<Entry>,
}

/// The symbols of a guest for debuggers.
#[derive(Debug)]
pub struct Symbols {
    /// The kernel with its symbols.
    pub kernel: PathBuf,
    /// The tree that its debug information calls `/usr/src`.
    pub tree: Option<PathBuf>,
    /// The first function of the kernel that is not assembly.
    pub entry: &'static str,
    /// The module as it is loaded, if this guest has one.
    pub module: Option<PathBuf>,
}

/// Returns `base`, or the default base: the last one added, else the demo
/// guest.
///
/// # Errors
/// Fails when the records of the bases cannot be read.
pub fn base_name(cx: &Context, base: Option<&str>) -> Result<String, Failure> {
    match base {
        Some(name) => Ok(name.to_owned()),
        None => Ok(record::all(&cx.cache)?
            .first()
            .map_or_else(|| DEMO.to_owned(), |record| record.name.clone())),
    }
}

/// Fails if `request` has options that mean nothing for the base `name`.
///
/// # Errors
/// The demo guest has no patches, and it is the default where no base is set
/// up.
pub fn check_request(request: &GuestRequest, name: &str) -> Result<(), Failure> {
    let option = match request {
        _ if name != DEMO => return Ok(()),
        GuestRequest { patch, .. } if !patch.is_empty() => "--patch",
        GuestRequest { exclude, .. } if !exclude.is_empty() => "--exclude-patch",
        GuestRequest { programs, .. } if !programs.is_empty() => "--program",
        GuestRequest {
            no_patches: true, ..
        } => "--no-patches",
        _ => return Ok(()),
    };
    let (why, help) = match request.base {
        Some(_) => (
            "the demo guest is not built from a tree",
            "name a base (`cargo xtask base list`)",
        ),
        None => (
            "no base is set up, and the demo guest is not built from a tree",
            "add a base first: `cargo xtask base add releng-15.1 --src DIR`",
        ),
    };
    Err(Failure::usage(format!("use {option}"), why).help(help))
}

/// Prepares the guest of the base `name`.
pub fn prepare(
    cx: &Context,
    recorder: &Recorder<'_>,
    request: &GuestRequest,
    name: &str,
    logs: &std::path::Path,
) -> Result<Guest, Failure> {
    check_request(request, name)?;
    // A diff that cannot be used is reported before anything is built.
    extra_changes(&request.patch)?;
    request.programs.iter().try_for_each(Program::check)?;
    let builder = Builder::new(cx, recorder, logs).confined(request.sandbox)?;
    let host = recorder.phase(Phase::Resolve, || resolve(cx, &builder, request, name))?;
    stop_if(&cx.interrupt)?;
    if name == DEMO {
        prepare_demo(recorder, &builder, request, host)
    } else {
        prepare_freebsd(cx, recorder, &builder, request, host, name)
    }
}

/// Returns the size of a machine whose tests need no other.
fn size(request: &GuestRequest, mem_mib: u32) -> MachineSize {
    MachineSize {
        cpus: request.cpus.unwrap_or(1),
        mem_mib,
    }
}

/// The programs of the host.
struct Host {
    hypervisor: Box<dyn Hypervisor>,
    rust: Rust,
    llvm: PathBuf,
}

fn resolve(
    cx: &Context,
    builder: &Builder<'_>,
    request: &GuestRequest,
    name: &str,
) -> Result<(Host, bool, String), Failure> {
    let (hypervisor, remark) = hypervisor::find(&cx.cache, request)?;
    if let Some(remark) = remark {
        builder.say(Phase::Resolve, remark);
    }
    let host = Host {
        hypervisor,
        rust: tools::rust()?,
        llvm: tools::llvm()?,
    };
    Ok((host, false, format!("base {name}")))
}

fn prepare_demo(
    recorder: &Recorder<'_>,
    builder: &Builder<'_>,
    request: &GuestRequest,
    host: Host,
) -> Result<Guest, Failure> {
    if request.boot == BootChoice::Efi {
        return Err(Failure::usage(
            "boot the demo guest through the loader",
            "it is not a FreeBSD kernel, and QEMU boots it directly",
        )
        .help("leave --boot out, or name a base"));
    }
    let entry = recorder.phase(Phase::Kernel, || {
        let built = demo::build(builder, &host.rust, &host.llvm)?;
        Ok((built.entry, built.cached, built.why))
    })?;
    let kernel = entry.file(demo::GUEST);
    check(&kernel, Role::PvhKernel)?;
    let debug_info = DebugInfo {
        kernel: kernel.clone(),
        modules: Vec::new(),
        sources: Sources::new(),
    };
    hypervisor::check_demo(&*host.hypervisor)?;
    let pool = host.hypervisor.pool(MachineConfig {
        method: BootMethod::Pvh,
        files: BootFiles {
            kernel: kernel.clone(),
            cmdline: String::new(),
            env: Vec::new(),
            esp: PathBuf::new(),
        },
        root: None,
        size: size(request, hypervisor::DEMO_MIB),
    })?;
    Ok(Guest {
        info: GuestInfo {
            guest: "demo".into(),
            osreldate: None,
            patches: Vec::new(),
            kernel_config: None,
            accel: host.hypervisor.accel().into(),
            boot: BootMethod::Pvh.name().into(),
        },
        symbols: Symbols {
            kernel,
            tree: None,
            entry: "kdk_start",
            module: None,
        },
        pool,
        debug_info,
        boot_keys: vec![("demo guest".into(), entry.key.clone())],
        _entries: vec![entry],
    })
}

fn prepare_freebsd(
    cx: &Context,
    recorder: &Recorder<'_>,
    builder: &Builder<'_>,
    request: &GuestRequest,
    host: Host,
    name: &str,
) -> Result<Guest, Failure> {
    let series = match request.no_patches || request.commit.is_some() {
        true => None,
        false => {
            journal::recover(&cx.cache, name, &|text| builder.say(Phase::Tree, text))?;
            series_of(name, &request.exclude)?
        }
    };
    let mut patches = series
        .as_ref()
        .map(|series| series.ids())
        .unwrap_or_default();
    patches.extend(request.patch.iter().map(|path| path.display().to_string()));
    let mut enables = series.as_ref().is_some_and(|s| s.enables_direct_boot());
    if let Some(choice) = &request.commit {
        patches.clone_from(&choice.patches);
        enables = choice.direct_boot;
    }
    let method = hypervisor::boot_method(&*host.hypervisor, request.boot, enables)?;
    let record = record::find(&cx.cache, name)?;
    let place = place(name, request);
    let lock = cx.cache.lock(&base::lock_name(&place), &|text| {
        builder.say(Phase::Tree, text)
    })?;
    let (source, tools) = recorder.phase(Phase::Tree, || {
        let mut changes = match &series {
            Some(series) => series.changes()?,
            None => Vec::new(),
        };
        changes.extend(extra_changes(&request.patch)?);
        let (mut source, changed) = match &request.commit {
            Some(choice) => commit_tree(cx, builder, &record, choice, &place)?,
            None => tree(cx, builder, &record, &changes)?,
        };
        source.config = kernel_config(&record, request.kernel)?;
        if let Some(series) = &series {
            series.check_base(source.osreldate)?;
        }
        let tools = host_tools(cx, builder, &source, &host)?;
        let why = commit_and_patches(&source.commit, patches.len());
        Ok(((source, tools), !changed, why))
    })?;
    stop_if(&cx.interrupt)?;
    let (kernel, loader) = recorder.phase(Phase::Kernel, || {
        let built = kernel::build(builder, &source, &tools)?;
        let loader = loader::build(builder, &tools)?;
        Ok(((built.entry, loader), built.cached, built.why))
    })?;
    let role = match method {
        BootMethod::Pvh => Role::PvhKernel,
        BootMethod::Efi | BootMethod::Load => Role::Kernel,
    };
    check(&kernel.file("kernel"), role)?;
    stop_if(&cx.interrupt)?;
    let module = recorder.phase(Phase::Kmod, || {
        let built = kmod::build(builder, &source, &kernel, &host.rust, &host.llvm)?;
        Ok((built.entry, built.cached, built.why))
    })?;
    check(&module.file("kdk.ko"), Role::Module)?;
    drop(lock);
    stop_if(&cx.interrupt)?;
    let programs = recorder.phase(Phase::Userland, || {
        let built = userland::build(builder, &host.rust, &host.llvm)?;
        Ok((built.entry, built.cached, built.why))
    })?;
    stop_if(&cx.interrupt)?;
    let image = recorder.phase(Phase::Image, || {
        let parts = Parts {
            base: name,
            generation: source.generation,
            kernel: &kernel,
            kmod: &module,
            userland: &programs,
            loader: &loader,
            user: &request.programs,
        };
        let built = image::build(builder, &parts)?;
        Ok((built.entry, built.cached, built.why))
    })?;
    let files = BootFiles {
        kernel: kernel.file("kernel"),
        cmdline: image::direct_command_line()?,
        env: image::environment(source.generation),
        esp: image::esp(&image.path),
    };
    let objects = make_py::tree_objects(builder, &source);
    let pool = host.hypervisor.pool(MachineConfig {
        method,
        files,
        root: Some(image::root(&image)),
        size: size(request, hypervisor::FREEBSD_MIB),
    })?;
    Ok(Guest {
        info: GuestInfo {
            guest: "freebsd".into(),
            osreldate: Some(source.osreldate),
            patches,
            kernel_config: Some(source.config),
            accel: host.hypervisor.accel().into(),
            boot: method.name().into(),
        },
        debug_info: DebugInfo {
            kernel: kernel.file("kernel.debug"),
            modules: vec![module.file(kmod::DEBUG)],
            sources: symbolize::sources(&record, &source.path, &objects),
        },
        symbols: Symbols {
            kernel: kernel.file("kernel.debug"),
            tree: Some(source.path),
            entry: match method {
                BootMethod::Pvh => "hammer_time_xen",
                BootMethod::Efi | BootMethod::Load => "hammer_time",
            },
            module: Some(module.file("kdk.ko")),
        },
        pool,
        boot_keys: vec![
            ("kernel".into(), kernel.key.clone()),
            ("image".into(), image.key.clone()),
            ("boot".into(), method.name().into()),
        ],
        _entries: vec![kernel, loader, module, programs, image],
    })
}

/// Returns the series of the base `name`, if it has one, without some patches.
fn series_of(name: &str, without: &[String]) -> Result<Option<Loaded>, Failure> {
    if without.is_empty() {
        return load::find(name);
    }
    load::must(name)?.without(without).map(Some)
}

/// Describes a tree: its commit and the number of patches.
fn commit_and_patches(commit: &str, patches: usize) -> String {
    match patches {
        0 => format!("commit {commit:.12}"),
        1 => format!("commit {commit:.12} with 1 patch"),
        many => format!("commit {commit:.12} with {many} patches"),
    }
}

/// Reads the user's own diffs, each named by its file.
fn extra_changes(paths: &[PathBuf]) -> Result<Vec<Change>, Failure> {
    paths
        .iter()
        .map(|path| {
            let diff = input::read("read the patch", path, load::LARGEST, Links::Follow)?;
            Change::new(path.display().to_string(), diff)
        })
        .collect()
}

/// Checks out the tree of `record`. Returns it and whether files changed.
fn tree(
    cx: &Context,
    builder: &Builder<'_>,
    record: &Record,
    changes: &[Change],
) -> Result<(TreeSource, bool), Failure> {
    let definition = record.definition()?;
    let tree = worktree::prepare(&cx.cache, record, &definition, changes, &mut |text| {
        builder.say(Phase::Tree, text);
    })?;
    let source = source_of(&cx.cache, &definition, &tree);
    Ok((source, tree.changed))
}

/// Returns the name of the checkout and object directory of a guest of the base
/// `name`, which is that of the base itself for all but one use.
fn place(name: &str, request: &GuestRequest) -> String {
    match &request.commit {
        Some(CommitChoice {
            place: place @ 1.., ..
        }) => worktree::side_place(name, *place),
        _ => name.to_owned(),
    }
}

/// Checks out a commit at `place`. Returns it and whether files changed.
fn commit_tree(
    cx: &Context,
    builder: &Builder<'_>,
    record: &Record,
    choice: &CommitChoice,
    place: &str,
) -> Result<(TreeSource, bool), Failure> {
    let definition = record.definition()?;
    let tree = worktree::prepare_commit(
        &cx.cache,
        record,
        &definition,
        (&choice.commit, place),
        &mut |text| builder.say(Phase::Tree, text),
    )?;
    let mut source = source_of(&cx.cache, &definition, &tree);
    place.clone_into(&mut source.base);
    Ok((source, tree.changed))
}

fn source_of(cache: &CacheDir, definition: &Definition, tree: &worktree::Tree) -> TreeSource {
    source_at(cache, definition, &tree.path, &tree.commit, tree.osreldate)
}

/// Returns the tree of `definition` that is checked out at `path`, as a source.
pub fn source_at(
    cache: &CacheDir,
    definition: &Definition,
    path: &std::path::Path,
    commit: &str,
    osreldate: u32,
) -> TreeSource {
    TreeSource {
        base: definition.name.clone(),
        path: path.to_owned(),
        repo: repo::path(cache, &definition.name),
        commit: commit.to_owned(),
        osreldate,
        generation: match definition.builder {
            definition::Builder::MakePy => Generation::MakePy,
            definition::Builder::Legacy => Generation::Legacy,
        },
        config: definition.kernel.config.clone(),
    }
}

/// Returns the configuration of the kernel `choice` on `record`'s base.
fn kernel_config(record: &Record, choice: KernelChoice) -> Result<String, Failure> {
    let definition = record.definition()?;
    let config = definition.kernel.named(choice.name());
    config.map(str::to_owned).ok_or_else(|| {
        Failure::usage(
            format!("build the {} kernel of {}", choice.name(), record.name),
            "this base has no such kernel configuration",
        )
        .help("name a modern base, such as `--base releng-15.1`")
    })
}

/// Returns the host tools for `source`. A modern tree builds with its own
/// tools; an older one uses those of a modern base.
fn host_tools(
    cx: &Context,
    builder: &Builder<'_>,
    source: &TreeSource,
    host: &Host,
) -> Result<Tools, Failure> {
    if source.generation == Generation::MakePy {
        return Ok(Tools {
            from: source.clone(),
            llvm: host.llvm.clone(),
        });
    }
    if let Some(record) = base::modern(&cx.cache)? {
        let _lock = cx.cache.lock(&base::lock_name(&record.name), &|text| {
            builder.say(Phase::Tree, text);
        })?;
        // With its own series, so that the next run of that base finds its tree
        // unchanged.
        let changes = match load::find(&record.name)? {
            Some(series) => series.changes()?,
            None => Vec::new(),
        };
        let (from, _) = tree(cx, builder, &record, &changes)?;
        return Ok(Tools {
            from,
            llvm: host.llvm.clone(),
        });
    }
    Err(Failure::usage(
        format!("build {}", source.base),
        "its tree predates FreeBSD's cross-build, so config(8), make and the loader come from a modern \
         base, and none was added",
    )
    .help("run `cargo xtask base add releng-15.1` first, or with `--src DIR`"))
}

fn stop_if(interrupt: &Interrupt) -> Result<(), Failure> {
    if interrupt.is_set() {
        return Err(Failure::infra("continue", "interrupted"));
    }
    Ok(())
}

/// Emits a message of the phase `phase`.
pub fn say(recorder: &Recorder<'_>, phase: Phase, text: String) {
    use event::Sink;
    recorder.emit(event::Event::Line { phase, text });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_of_a_tree() {
        for (patches, words) in [
            (0, "commit 0123456789ab"),
            (1, "commit 0123456789ab with 1 patch"),
            (2, "commit 0123456789ab with 2 patches"),
        ] {
            assert_eq!(commit_and_patches("0123456789abcdef", patches), words);
        }
    }
}

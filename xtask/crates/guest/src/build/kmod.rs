//! The module kdk.ko. Its parts are results of the store of their own. Each is
//! rebuilt only if a file that it was built from changed:
//!
//! ```text
//! headers ─> bindings ─┐
//! Rust sources ────────┴─> libkdk.a ─┐
//! C files, headers ──────> objects ──┴─> kdk.ko and its debug copy
//! ```

pub mod c;
mod files;

use std::fs;
use std::path::{Path, PathBuf};

use kdk_kmod_link::{Link, LinkError, elf, link, link_debug};

use c::{Compiler, DEPFILE, Unit, Units};
use files::Files;
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::{Entry, Inputs};
use kdk_core::workspace::workspace;
use kdk_doctor::tools::Rust;

use super::digest::Sources;
use super::guest::{BuildTarget, Crates, HostProgram};
use super::kernel::TreeSource;
use super::make_py::llvm_folders;
use super::{Builder, Built};

/// The name of kdk.ko with debug information in its store entry.
pub const DEBUG: &str = "kdk.ko.debug";

/// A copy of kdk.ko that claims to be built for another kernel, for a test.
const WRONG: &str = "kdk-wrong.ko";

/// The variable of the module with that claim, from `kmod/shim/kdk_shim.h`.
const BUILT_FOR: &str = "kdk_built_for";

/// The kind of the module in the store; those of its parts begin with it.
const KIND: &str = "kmod";

/// The sources of the module, below the workspace.
const SOURCES: [&str; 3] = ["kmod", "Cargo.toml", "Cargo.lock"];

/// The sources that the Rust code of the module is not built from.
const NOT_RUST: [&str; 5] = [
    "kmod/bindgen",
    "kmod/kdk-loaded.ld",
    "kmod/kdk.ld",
    "kmod/link",
    "kmod/shim",
];

/// The inputs of the bindings besides headers.
const GENERATOR: [&str; 2] = ["kmod/bindgen", "Cargo.lock"];

/// The header that the bindings are generated from, relative to [`c::folder`].
const HEADER: &str = "shim/kpi.h";

const BINDINGS: &str = "bindings.rs";
const ARCHIVE: &str = "libkdk.a";

/// Returns the module for `kernel`, built if necessary.
pub fn build(
    builder: &Builder<'_>,
    source: &TreeSource,
    kernel: &Entry,
    rust: &Rust,
    llvm: &Path,
) -> Result<Built, Failure> {
    Module::new(builder, source, kernel, rust, llvm)?.build()
}

/// Lints the module against the headers of `kernel`, unless it was clean and is
/// unchanged.
pub fn lint(
    builder: &Builder<'_>,
    source: &TreeSource,
    kernel: &Entry,
    rust: &Rust,
    llvm: &Path,
) -> Result<Built, Failure> {
    let module = Module::new(builder, source, kernel, rust, llvm)?;
    let bindings = module.bindings()?;
    let mut inputs = module.rust_inputs(&bindings)?;
    inputs.kind = "lint-kmod".into();
    module
        .crates("lint kdk.ko", &bindings)
        .clippy(builder, inputs)
}

/// The build of kdk.ko for one kernel.
struct Module<'a> {
    builder: &'a Builder<'a>,
    source: &'a TreeSource,
    kernel: &'a Entry,
    rust: &'a Rust,
    llvm: &'a Path,
    /// The folder of the kernel's generated headers.
    objects: PathBuf,
    files: Files,
    own: Sources,
}

impl<'a> Module<'a> {
    fn new(
        builder: &'a Builder<'a>,
        source: &'a TreeSource,
        kernel: &'a Entry,
        rust: &'a Rust,
        llvm: &'a Path,
    ) -> Result<Self, Failure> {
        let objects = kernel.file("obj");
        Ok(Self {
            files: Files::new(&source.path.join("sys"), &objects, workspace()),
            own: Sources::read(workspace(), &SOURCES)?,
            builder,
            source,
            kernel,
            rust,
            llvm,
            objects,
        })
    }

    fn build(&self) -> Result<Built, Failure> {
        let units = c::units(&self.source.path.join("sys"))?;
        let mut inputs = self.inputs("");
        c::declare(&mut inputs, self.source, self.llvm);
        BuildTarget::Module.declare(&mut inputs, self.rust);
        self.own.declare(&mut inputs, |_| true);
        let begin = |why: &str| {
            self.builder
                .say(Phase::Kmod, format!("building kdk.ko: {why}"))
        };
        self.builder
            .obtain_tracked(&inputs, &|name| self.files.digest(name), &begin, |folder| {
                self.make(&units, folder)
            })
    }

    /// Returns empty inputs of the part `name`.
    fn inputs(&self, name: &str) -> Inputs {
        Inputs::new(format!("{KIND}{name}"), &self.source.base)
    }

    /// Builds kdk.ko. Returns the files that its parts were built from.
    fn make(&self, units: &Units, folder: &Path) -> Result<Vec<String>, Failure> {
        let bindings = self.bindings()?;
        let objects = self.c_objects(&units.all)?;
        let archive = self.archive(&bindings)?;
        let mut inputs = vec![archive.file(ARCHIVE)];
        let pairs = units.all.iter().zip(&objects);
        inputs.extend(pairs.map(|(unit, built)| c::object(&built.entry.path, unit)));
        self.link(&inputs, folder)?;
        let makefile = units.makefile.iter();
        let mut read: Vec<String> = makefile.map(|path| self.files.name(path)).collect();
        for part in objects.iter().map(|built| &built.entry).chain([&bindings]) {
            let names = part.inputs()?.digests.into_keys();
            read.extend(names.filter(|name| name != c::OWN_FLAGS));
        }
        Ok(read)
    }

    fn bindings(&self) -> Result<Entry, Failure> {
        let mut inputs = self.inputs(".bindings");
        c::declare(&mut inputs, self.source, self.llvm);
        self.own.declare(&mut inputs, |file| {
            GENERATOR.iter().any(|one| file.starts_with(one))
        });
        let digest = |name: &str| self.files.digest(name);
        let built = self
            .builder
            .obtain_tracked(&inputs, &digest, &|_| {}, |folder| {
                let depfile = folder.join(DEPFILE);
                let mut args = vec![HEADER.into(), folder.join(BINDINGS).into()];
                args.push(depfile.clone().into());
                args.extend(
                    c::flags(self.source, &self.objects)
                        .into_iter()
                        .map(Into::into),
                );
                let mut readable = self.readable();
                readable.push(c::folder());
                HostProgram {
                    package: "kdk-kmod-bindgen",
                    arguments: args,
                    dir: &c::folder(),
                    readable,
                    writable: vec![folder.to_owned()],
                }
                .run(self.builder, self.rust, self.llvm)?;
                let mut read = c::read_files(&depfile, HEADER.as_ref(), &self.files)?;
                // clang's -include reads it, which bindgen does not report.
                read.push(self.files.name(&self.objects.join(c::OPTIONS)));
                Ok(read)
            })?;
        Ok(built.entry)
    }

    /// Returns the folders that a confined compiler reads.
    fn readable(&self) -> Vec<PathBuf> {
        let mut folders = llvm_folders(self.llvm);
        folders.push(self.source.path.clone());
        folders.push(self.objects.clone());
        folders
    }

    fn c_objects(&self, units: &[Unit]) -> Result<Vec<Built>, Failure> {
        let mut declared = self.inputs("");
        c::declare(&mut declared, self.source, self.llvm);
        Compiler {
            builder: self.builder,
            files: &self.files,
            declared: &declared,
            clang: self.llvm.join("clang"),
            flags: c::flags(self.source, &self.objects),
            readable: self.readable(),
        }
        .objects(units)
    }

    /// Returns the archive of the Rust half.
    fn archive(&self, bindings: &Entry) -> Result<Entry, Failure> {
        let inputs = self.rust_inputs(bindings)?;
        let built = self
            .builder
            .obtain_tracked(&inputs, &|_| None, &|_| {}, |folder| {
                let built = self.crates("build kdk.ko", bindings).build(self.builder)?;
                let kept = folder.join(ARCHIVE);
                fs::copy(built.join(ARCHIVE), &kept)
                    .map_err(|error| Failure::io("store the module's archive", &kept, error))?;
                Ok(Vec::new())
            })?;
        Ok(built.entry)
    }

    /// Returns the inputs of the Rust half. Unchanged bindings do not rebuild
    /// it.
    fn rust_inputs(&self, bindings: &Entry) -> Result<Inputs, Failure> {
        let mut inputs = self.inputs(".rust");
        BuildTarget::Module.declare(&mut inputs, self.rust);
        inputs.file("bindings", &bindings.file(BINDINGS))?;
        self.own.declare(&mut inputs, |file| {
            !NOT_RUST.iter().any(|one| file.starts_with(one))
        });
        Ok(inputs)
    }

    /// Returns the crate of the module.
    fn crates<'b>(&'b self, what: &'b str, bindings: &Entry) -> Crates<'b> {
        Crates {
            what,
            rust: self.rust,
            llvm: self.llvm,
            target: BuildTarget::Module,
            packages: vec!["kdk-kmod".into()],
            env: vec![("KDK_BINDINGS".into(), bindings.file(BINDINGS).into())],
            slot: format!("kmod-{}", self.source.base),
        }
    }

    fn link(&self, inputs: &[PathBuf], folder: &Path) -> Result<(), Failure> {
        let failed = |error: LinkError| Failure::build("link kdk.ko", error.to_string());
        let ld = self.llvm.join("ld.lld");
        let script = workspace().join("kmod/kdk.ld");
        let module = folder.join("kdk.ko");
        link(&Link {
            ld: &ld,
            script: &script,
            inputs,
            out: &module,
            kernel: Some(&self.kernel.file("kernel")),
        })
        .map_err(failed)?;
        link_debug(&ld, &script, inputs, &folder.join(DEBUG)).map_err(failed)?;
        for_another_kernel(&module, self.source.osreldate + 1, &folder.join(WRONG))
    }
}

/// Writes a copy of the module that claims to be built for another kernel.
fn for_another_kernel(module: &Path, osreldate: u32, copy: &Path) -> Result<(), Failure> {
    let mut bytes = fs::read(module).map_err(|error| Failure::io("read kdk.ko", module, error))?;
    elf::set_u32(&mut bytes, BUILT_FOR, osreldate)
        .map_err(|error| Failure::build("make a kdk.ko of another kernel", error.to_string()))?;
    fs::write(copy, bytes).map_err(|error| Failure::io("write the copy of kdk.ko", copy, error))
}

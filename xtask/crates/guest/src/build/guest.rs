//! Crates that run in a guest: cargo with a core library built from source.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::job::Job;
use crate::build::{Builder, Built, digest};
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;
use kdk_core::workspace::workspace;
use kdk_doctor::tools::Rust;

/// Where guest code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildTarget {
    /// In a FreeBSD kernel, as a relocatable module.
    Module,
    /// On the bare machine.
    BareMetal,
    /// In FreeBSD's user space, without a C library.
    Userland,
}

impl BuildTarget {
    fn triple(self) -> &'static str {
        match self {
            Self::Module | Self::BareMetal => "x86_64-unknown-none",
            Self::Userland => "x86_64-unknown-freebsd",
        }
    }

    /// Returns the phase of a build for this target.
    fn phase(self) -> Phase {
        match self {
            Self::Module => Phase::Kmod,
            Self::BareMetal => Phase::Kernel,
            Self::Userland => Phase::Userland,
        }
    }

    /// Returns the options that decide about the code. FreeBSD's kernel linker
    /// knows neither GOT-relative relocations nor unwind tables, hence those of
    /// the module.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Module => &[
                "-Crelocation-model=static",
                "-Ccode-model=kernel",
                "-Zplt=yes",
                "-Zdirect-access-external-data=yes",
                "-Cforce-frame-pointers=yes",
            ],
            Self::BareMetal => &[
                "-Clinker-flavor=ld.lld",
                "-Crelocation-model=static",
                "-Cforce-frame-pointers=yes",
            ],
            Self::Userland => &[
                "-Clinker-flavor=ld.lld",
                "-Crelocation-model=static",
                "-Ctarget-feature=+crt-static",
            ],
        }
    }

    /// Declares what decides about the code besides the sources: the compiler,
    /// its options, and how core is built.
    pub fn declare(self, inputs: &mut Inputs, rust: &Rust) {
        inputs.bytes("rustc", &rust.version);
        inputs.bytes(
            "Rust flags",
            [self.options(), self.core_arguments()].concat().join(" "),
        );
    }

    /// Returns cargo's arguments that build core from source.
    fn core_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Module | Self::BareMetal => &["-Zbuild-std=core,alloc"],
            // No C library brings memcpy and its like.
            Self::Userland => &[
                "-Zbuild-std=core,alloc",
                "-Zbuild-std-features=compiler-builtins-mem",
            ],
        }
    }

    /// Returns all options; the linker is always LLVM's.
    fn flags(self, lld: &Path) -> Vec<String> {
        let linker = format!("linker={}", lld.display());
        let remap = format!("--remap-path-prefix={}=", workspace().display());
        let options = self.options().iter();
        let mut all: Vec<String> = options.map(|&option| option.to_owned()).collect();
        all.extend(["-C".to_owned(), linker, remap]);
        all
    }
}

/// The arguments of `cargo clippy` after those of a build.
const CLIPPY_ARGUMENTS: [&str; 3] = ["--", "-D", "warnings"];

/// A build of some packages for one target.
pub struct Crates<'a> {
    /// Completes "could not ...".
    pub what: &'a str,
    /// The Rust that compiles.
    pub rust: &'a Rust,
    /// LLVM's program directory.
    pub llvm: &'a Path,
    /// The target of the build.
    pub target: BuildTarget,
    /// The packages of the workspace to build.
    pub packages: Vec<String>,
    /// The variables for build scripts.
    pub env: Vec<(String, OsString)>,
    /// The name of the target directory and of the log.
    pub slot: String,
}

impl Crates<'_> {
    /// Builds the packages. Returns the folder of the results.
    pub fn build(self, builder: &Builder<'_>) -> Result<PathBuf, Failure> {
        let triple = self.target.triple();
        let target_dir = self.cargo(builder, "build", &[])?;
        Ok(target_dir.join(triple).join("guest"))
    }

    /// Lints the packages, with warnings denied. Does nothing if the store has
    /// an entry for the same `inputs`: then they were clean. `inputs` has all
    /// that the crates are built from; this adds the other inputs of clippy.
    pub fn clippy(mut self, builder: &Builder<'_>, mut inputs: Inputs) -> Result<Built, Failure> {
        let program = self.rust.cargo.with_file_name("cargo-clippy");
        let version = duct::cmd(&program, ["--version"])
            .read()
            .map_err(|error| Failure::io("run clippy", &program, error))?;
        inputs.bytes("clippy", version);
        inputs.bytes("clippy's arguments", CLIPPY_ARGUMENTS.join(" "));
        inputs.digest(
            "clippy's settings",
            digest::folders(workspace(), &["Cargo.toml", "clippy.toml"])?,
        );
        inputs.bytes("packages", self.packages.join(" "));
        // All lints share one target directory, so that clippy checks core
        // once.
        self.slot = "lint".into();
        let (phase, what) = (self.target.phase(), self.what.to_owned());
        builder.obtain(phase, &what, &inputs, &|_, _, _| Vec::new(), |_| {
            self.cargo(builder, "clippy", &CLIPPY_ARGUMENTS).map(drop)
        })
    }

    /// Runs a command of cargo on the packages. Returns the target directory.
    fn cargo(
        self,
        builder: &Builder<'_>,
        command: &str,
        more: &[&str],
    ) -> Result<PathBuf, Failure> {
        let triple = self.target.triple();
        let mut args: Vec<OsString> = [command, "--profile", "guest", "--target", triple]
            .map(OsString::from)
            .into();
        args.extend(self.target.core_arguments().iter().map(OsString::from));
        for package in &self.packages {
            args.extend(["--package".into(), OsString::from(package)]);
        }
        args.extend(more.iter().map(OsString::from));
        // Clippy generates no code.
        let flags = match command {
            "clippy" => Vec::new(),
            _ => self.target.flags(&self.llvm.join("ld.lld")),
        };
        let mut env = self.env;
        // The source of core needs nightly features.
        env.push(("RUSTC_BOOTSTRAP".into(), "1".into()));
        env.push(("CARGO_ENCODED_RUSTFLAGS".into(), flags.join("\x1f").into()));
        Cargo {
            what: self.what,
            rust: self.rust,
            slot: &self.slot,
            phase: self.target.phase(),
            args,
            dir: workspace(),
            env,
        }
        .run(builder)
    }
}

/// A program of the workspace that runs on this host and reads the tree.
pub struct HostProgram<'a> {
    /// The package, which has one program of the same name.
    pub package: &'a str,
    /// The arguments of the program.
    pub arguments: Vec<OsString>,
    /// The folder in which it runs.
    pub dir: &'a Path,
    /// What it can read if it is confined.
    pub readable: Vec<PathBuf>,
    /// What it can write if it is confined.
    pub writable: Vec<PathBuf>,
}

impl HostProgram<'_> {
    /// Builds the program and runs it. It may load libclang.
    pub fn run(self, builder: &Builder<'_>, rust: &Rust, llvm: &Path) -> Result<(), Failure> {
        const SLOT: &str = "host";
        let what = format!("run {}", self.package);
        let target_dir = Cargo {
            what: &format!("build {}", self.package),
            rust,
            slot: SLOT,
            phase: Phase::Kmod,
            args: ["build", "--quiet", "--package", self.package]
                .map(OsString::from)
                .into(),
            dir: workspace(),
            env: Vec::new(),
        }
        .run(builder)?;
        let program = target_dir.join("debug").join(self.package);
        let mut readable = self.readable;
        readable.push(program.clone());
        let mut argv: Vec<OsString> = vec![program.into()];
        argv.extend(self.arguments);
        Job {
            what,
            argv,
            dir: self.dir.to_owned(),
            env: vec![("LIBCLANG_PATH".into(), libclang(llvm).into())],
            without: Vec::new(),
            confinement: builder.confine(readable, self.writable),
            log: builder.log(SLOT),
        }
        .run(builder.interrupt, &mut |_| {})
    }
}

/// One run of cargo.
struct Cargo<'a> {
    /// Completes "could not ...".
    what: &'a str,
    rust: &'a Rust,
    /// Name of the target directory and of the log.
    slot: &'a str,
    phase: Phase,
    args: Vec<OsString>,
    dir: &'a Path,
    env: Vec<(String, OsString)>,
}

impl Cargo<'_> {
    /// Runs cargo. Returns the target directory.
    fn run(self, builder: &Builder<'_>) -> Result<PathBuf, Failure> {
        let slot = slot(self.slot, workspace());
        let target_dir = builder.cache.target().join(&slot);
        builder.cache.create(&target_dir)?;
        let _one_at_a_time = builder.cache.lock(&format!("target-{slot}"), &|text| {
            builder.say(self.phase, text);
        })?;
        let mut argv: Vec<OsString> = vec![self.rust.cargo.clone().into()];
        argv.extend(self.args);
        let mut env: Vec<(String, OsString)> = vec![
            ("RUSTC".into(), self.rust.rustc.clone().into()),
            ("CARGO_TARGET_DIR".into(), target_dir.clone().into()),
            ("PATH".into(), self.rust.path_first()?),
        ];
        env.extend(self.env);
        let job = Job {
            what: self.what.into(),
            argv,
            dir: self.dir.to_owned(),
            env,
            without: vec!["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO"],
            // It compiles this repository, which is trusted.
            confinement: None,
            log: builder.log(self.slot),
        };
        job.run(builder.interrupt, &mut |_| {})?;
        Ok(target_dir)
    }
}

/// Returns the name of the target directory. Each checkout of kdk has its own:
/// cargo considers the results of a workspace in another path stale, and two
/// checkouts would rebuild core in turns.
fn slot(name: &str, workspace: &Path) -> String {
    let checkout = blake3::hash(workspace.as_os_str().as_encoded_bytes()).to_hex();
    format!("{name}-{checkout:.8}")
}

/// Returns LLVM's folder of libraries, which is beside its programs.
fn libclang(llvm: &Path) -> PathBuf {
    llvm.parent().unwrap_or(llvm).join("lib")
}

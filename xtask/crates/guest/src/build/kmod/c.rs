//! The C half of kdk.ko: the shim, and the ixgbe driver of the tree under test.
//! Each file is compiled on its own with the kernel's flags, and only if a file
//! that it reads has changed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::files::{Files, prerequisites};
use crate::build::job::Job;
use crate::build::kernel::{Generation, TreeSource};
use crate::build::{Builder, Built, legacy};
use kdk_core::event::{Event, Phase};
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;
use kdk_core::workspace::workspace;

/// The folder of the shim, below the workspace.
const SHIM: &str = "kmod/shim";
/// The folder of the ixgbe driver, below `sys`.
const IXGBE: &str = "dev/ixgbe";
/// The header that turns the driver's register accesses into calls.
const REGISTERS: &str = "kmod/shim/kdk_ixgbe_io.h";

/// The generated header that every file of a kernel begins with.
pub const OPTIONS: &str = "opt_global.h";
/// The target of the module, as of the Rust half; cc derives no flags from it.
const TARGET: &str = "x86_64-unknown-none";

/// The ixgbe driver of a tree.
struct Driver {
    /// Its main file.
    main: &'static str,
    /// Its own makefile, which lists its files.
    makefile: &'static str,
    /// The driver of virtual functions, unless that list has it.
    of_virtual: Option<&'static str>,
}
const DRIVERS: [Driver; 2] = [
    Driver {
        main: "if_ix.c",
        makefile: "modules/ix/Makefile",
        of_virtual: Some("if_ixv.c"),
    },
    Driver {
        main: "ixgbe.c",
        makefile: "modules/ixgbe/Makefile",
        of_virtual: None,
    },
];

/// The files of a tree that the shim queries with `__has_include`. A depfile
/// does not list a file that is missing.
const QUERIED_FILES: [&str; 3] = ["net/flowtable.c", "dev/ixgbe/if_ix.c", "dev/ixgbe/ixgbe.c"];

/// The flags that affect the code, and not the paths of files.
pub const CODE_FLAGS: &str = "-D_KERNEL -DKLD_MODULE -DHAVE_KERNEL_OPTION_HEADERS \
    -std=gnu99 -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone -mno-mmx -mno-sse -msoft-float \
    -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -gline-tables-only";

/// A C file of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The unique name of the file, such as `kdk_pci.c`.
    pub name: String,
    /// The path of the file, relative to [`folder`].
    pub file: PathBuf,
    /// The flags for this file only.
    pub flags: Vec<String>,
}

/// Returns the folder in which the compiler runs. Assertions of the shim name
/// its files relative to it.
pub fn folder() -> PathBuf {
    workspace().join("kmod")
}

/// The C files of the module of a tree.
#[derive(Debug)]
pub struct Units {
    /// All C files of the module.
    pub all: Vec<Unit>,
    /// The makefile that lists the files of the driver, if the tree has one.
    pub makefile: Option<PathBuf>,
}

/// Finds the C files of the module for the tree with the folder `sys`.
pub fn units(sys: &Path) -> Result<Units, Failure> {
    let mut all = shim()?;
    let ixgbe = sys.join(IXGBE);
    let mut makefile = None;
    if let Some(driver) = DRIVERS.iter().find(|one| ixgbe.join(one.main).exists()) {
        let path = sys.join(driver.makefile);
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::io("read the ixgbe driver's makefile", &path, error))?;
        all.extend(driver_units(driver, &text, &ixgbe));
        makefile = Some(path);
    }
    Ok(Units { all, makefile })
}

fn shim() -> Result<Vec<Unit>, Failure> {
    let shim = workspace().join(SHIM);
    let failed = |error| Failure::io("read the shim's folder", &shim, error);
    let mut units = Vec::new();
    for entry in fs::read_dir(&shim).map_err(failed)? {
        let name = entry
            .map_err(failed)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".c") {
            units.push(Unit {
                file: Path::new("shim").join(&name),
                name,
                flags: ["-Wall", "-Wno-pointer-sign", "-Wno-unused-function"]
                    .map(str::to_owned)
                    .into(),
            });
        }
    }
    units.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(units)
}

/// Returns the files of the tree's own driver. Their warnings are disabled.
fn driver_units(driver: &Driver, makefile: &str, folder: &Path) -> Vec<Unit> {
    let mut flags = vec![
        format!("-I{}", folder.display()),
        "-w".to_owned(),
        "-include".to_owned(),
        workspace().join(REGISTERS).display().to_string(),
    ];
    let defines = words(makefile, "CFLAGS").filter(|word| word.starts_with("-D"));
    flags.extend(defines.map(str::to_owned));
    words(makefile, "SRCS")
        .filter(|word| word.ends_with(".c"))
        .chain(driver.of_virtual)
        .map(|name| Unit {
            name: name.to_owned(),
            file: folder.join(name),
            flags: flags.clone(),
        })
        .collect()
}

/// Returns the words that the makefile of a kernel module assigns to a
/// variable.
fn words<'a>(makefile: &'a str, variable: &str) -> impl Iterator<Item = &'a str> {
    makefile
        .lines()
        .filter(move |line| line.starts_with(variable))
        .flat_map(str::split_whitespace)
}

/// Returns the flags that the kernel's own makefiles (`sys/conf/kern.mk`,
/// `kmod.mk`) give amd64 modules. `objects` has the generated headers.
pub fn flags(source: &TreeSource, objects: &Path) -> Vec<String> {
    let sys = source.path.join("sys");
    let version = source.osreldate;
    let mut flags = vec![
        format!(
            "--target=x86_64-unknown-freebsd{}.{}",
            version / 100_000,
            version / 1000 % 100
        ),
        "-nostdinc".to_owned(),
    ];
    // A tree has one of these.
    let contributed = ["contrib/ck/include", "contrib/altq"].map(|dir| sys.join(dir));
    let contributed = contributed.iter().map(PathBuf::as_path);
    flags.extend(
        [objects, &sys]
            .into_iter()
            .chain(contributed.filter(|dir| dir.is_dir()))
            .map(|path| format!("-I{}", path.display())),
    );
    flags.extend(CODE_FLAGS.split_whitespace().map(str::to_owned));
    let options = objects.join(OPTIONS).display().to_string();
    flags.extend(["-include".to_owned(), options]);
    flags.push(format!("-DKDK_VERSION=\"{}\"", env!("CARGO_PKG_VERSION")));
    // Paths relative to the workspace, as in the Rust half.
    flags.push(format!("-fdebug-prefix-map={}/=", workspace().display()));
    // Each kernel's generated headers are in its own entry of the store, with
    // links to those of the tree.
    let of_tree = ["amd64", "x86", "i386"].map(|arch| sys.join(arch).join("include"));
    let links = ["machine", "x86", "i386"].map(|link| objects.join(link));
    flags.push(format!("-ffile-prefix-map={}=obj", objects.display()));
    for (link, target) in links.iter().zip(&of_tree) {
        let (link, target) = (link.display(), target.display());
        flags.push(format!("-ffile-prefix-map={link}={target}"));
    }
    if source.generation == Generation::Legacy {
        flags.extend(legacy::CFLAGS.map(str::to_owned));
    }
    flags
}

/// Declares the inputs of each C file and of the bindings besides files.
pub fn declare(inputs: &mut Inputs, source: &TreeSource, llvm: &Path) {
    let sys = source.path.join("sys");
    let present = QUERIED_FILES.map(|file| format!("{file} {}", sys.join(file).exists()));
    // The output does not depend on where the generated headers are.
    inputs.bytes("C flags", flags(source, Path::new("obj")).join("\n"));
    inputs.bytes("which files the tree has", present.join("\n"));
    inputs.bytes("LLVM", llvm.as_os_str().as_encoded_bytes());
}

/// Compiles C files in parallel.
pub struct Compiler<'a> {
    /// The builder, whose store has the objects.
    pub builder: &'a Builder<'a>,
    /// The names of the files that are read.
    pub files: &'a Files,
    /// The inputs of each object besides files, for its base.
    pub declared: &'a Inputs,
    /// The path of clang.
    pub clang: PathBuf,
    /// The flags for all files.
    pub flags: Vec<String>,
    /// What a confined compiler can read, besides this repository's `kmod`.
    pub readable: Vec<PathBuf>,
}

impl Compiler<'_> {
    /// Returns the objects of `units`, in their order.
    pub fn objects(&self, units: &[Unit]) -> Result<Vec<Built>, Failure> {
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some((at, unit)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                units.get(at).map(|unit| (at, unit))
            } {
                let built = self.object(unit);
                if built.is_err() {
                    // Start no more.
                    next.store(units.len(), Ordering::Relaxed);
                }
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.push((at, built));
                self.builder.sink.emit(Event::Progress {
                    phase: Phase::Kmod,
                    done: done.len() as u64,
                    total: units.len() as u64,
                    unit: "objects",
                });
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.builder.jobs.min(units.len()) {
                // Where no more threads may start, the others do the work.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, built)| built).collect()
    }

    fn object(&self, unit: &Unit) -> Result<Built, Failure> {
        let mut inputs = self.declared.clone();
        inputs.kind = format!("{}.{}", super::KIND, unit.name);
        inputs.bytes(OWN_FLAGS, unit.flags.join("\n"));
        let digest = |name: &str| self.files.digest(name);
        self.builder
            .obtain_tracked(&inputs, &digest, &|_| {}, |folder| {
                let depfile = folder.join(DEPFILE);
                self.compile(unit, folder, &depfile)?;
                read_files(&depfile, &unit.file, self.files)
            })
    }

    fn compile(&self, unit: &Unit, into: &Path, depfile: &Path) -> Result<(), Failure> {
        let what = format!("compile {} for kdk.ko", unit.name);
        let tool = cc::Build::new()
            .compiler(&self.clang)
            .cargo_metadata(false)
            .no_default_flags(true)
            .warnings(false)
            .target(TARGET)
            .host(TARGET)
            .opt_level(2)
            .flags(&self.flags)
            .flag("-O2")
            .flags(&unit.flags)
            .try_get_compiler()
            .map_err(|error| Failure::infra(&what, error.to_string()))?;
        let mut argv: Vec<OsString> = vec![tool.path().into()];
        argv.extend(tool.args().iter().cloned());
        argv.extend(["-MD".into(), "-MF".into(), depfile.into()]);
        argv.extend(["-MT".into(), "object".into()]);
        argv.extend(["-c".into(), unit.file.clone().into()]);
        argv.extend(["-o".into(), object(into, unit).into()]);
        let readable = [self.readable.clone(), vec![folder()]].concat();
        Job {
            what,
            argv,
            dir: folder(),
            env: Vec::new(),
            without: Vec::new(),
            confinement: self.builder.confine(readable, vec![into.to_owned()]),
            log: self.builder.log("kmod"),
        }
        .run(self.builder.interrupt, &mut |_| {})
    }
}

/// Returns the path of the object of `unit` in its store entry.
pub fn object(entry: &Path, unit: &Unit) -> PathBuf {
    entry.join(&unit.name).with_extension("o")
}

/// In an object's inputs: the name of the flags of its unit.
pub const OWN_FLAGS: &str = "its own flags";

/// In a store entry: what was read to make it.
pub const DEPFILE: &str = "depfile";

/// Returns the names of the files in the depfile of what was built from `own`.
///
/// # Errors
/// The depfile cannot be read, or does not list `own`: what was read to build
/// the result is then unknown.
pub fn read_files(depfile: &Path, own: &Path, files: &Files) -> Result<Vec<String>, Failure> {
    let rule = fs::read_to_string(depfile)
        .map_err(|error| Failure::io("read a depfile", depfile, error))?;
    let name = |path: &Path| files.name(&folder().join(path));
    let read = prerequisites(&rule);
    let read: Vec<String> = read.iter().map(|path| name(path.as_ref())).collect();
    if !read.contains(&name(own)) {
        let why = format!("{} does not list {}", depfile.display(), own.display());
        return Err(Failure::infra("determine the files that clang read", why));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use kdk_core::cache_dir::CacheDir;
    use kdk_core::store::Store;

    struct Silent;

    impl kdk_core::event::Sink for Silent {
        fn emit(&self, _: Event) {}
    }

    #[test]
    fn only_what_reads_a_changed_file_is_compiled_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let interrupt = Interrupt::new();
        let cache = CacheDir::at(at("home"), &interrupt).unwrap();
        let (store, sys) = (Store::new(&cache), at("sys"));
        let builder = Builder {
            cache: &cache,
            store: &store,
            sink: &Silent,
            interrupt: &interrupt,
            logs: dir.path(),
            jobs: 2,
            sandbox: None,
        };
        let declared = Inputs::new("", "main");
        let units = ["a.c", "b.c"].map(|name| Unit {
            name: name.into(),
            file: sys.join(name),
            flags: Vec::new(),
        });
        fs::create_dir(&sys).unwrap();
        let compile = |changes: &[(&str, &str)]| -> Result<Vec<String>, Failure> {
            for (name, text) in changes {
                fs::write(sys.join(name), text).unwrap();
            }
            let compiler = Compiler {
                builder: &builder,
                files: &Files::new(&sys, &at("obj"), workspace()),
                declared: &declared,
                clang: kdk_doctor::tools::llvm()?.join("clang"),
                flags: vec!["--target=x86_64-unknown-freebsd15.1".into()],
                readable: Vec::new(),
            };
            let built = compiler.objects(&units)?;
            let pairs = units.iter().zip(&built);
            assert!(
                pairs
                    .clone()
                    .all(|(unit, built)| object(&built.entry.path, unit).exists())
            );
            Ok(built.into_iter().map(|one| one.why).collect())
        };
        type Step<'a> = (&'a [(&'a str, &'a str)], [&'a str; 2]);
        let steps: [Step; 6] = [
            (
                &[
                    ("a.c", "#include \"both.h\"\nint a = BOTH;"),
                    ("b.c", "#include \"both.h\"\n#include \"b.h\"\nint b = B;"),
                    ("both.h", "#define BOTH 1"),
                    ("b.h", "#define B 1"),
                ],
                ["never built", "never built"],
            ),
            (&[], ["unchanged", "unchanged"]),
            (&[("b.h", "#define B 2")], ["unchanged", "sys/b.h changed"]),
            (
                &[("both.h", "#define BOTH 2")],
                ["sys/both.h changed", "sys/both.h changed"],
            ),
            (&[("a.c", "int a;")], ["sys/a.c changed", "unchanged"]),
            // Back to what is in the store.
            (
                &[
                    ("a.c", "#include \"both.h\"\nint a = BOTH;"),
                    ("b.h", "#define B 2"),
                ],
                ["unchanged", "unchanged"],
            ),
        ];
        for (changes, want) in steps {
            assert_eq!(compile(changes).unwrap(), want, "{changes:?}");
        }
        let failure = compile(&[("b.c", "int b = nowhere;")]).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("b.c:1:9: error: use of undeclared"), "{text}");
        assert_eq!(failure.exit_code(), 3);
    }

    #[test]
    fn a_depfile_lists_the_units_own_file() {
        let dir = tempfile::tempdir().unwrap();
        let (unit, depfile) = (dir.path().join("a.c"), dir.path().join("depfile"));
        let files = Files::new(
            &dir.path().join("sys"),
            &dir.path().join("obj"),
            workspace(),
        );
        let own = unit.display();
        for (rule, count) in [
            (format!("object: {own}\n"), Some(1)),
            (format!("object: {own} \\\n  /b.h\n"), Some(2)),
            ("object: /b.h\n".into(), None),
            ("object:\n".into(), None),
            (String::new(), None),
        ] {
            fs::write(&depfile, &rule).unwrap();
            let read = read_files(&depfile, &unit, &files);
            assert_eq!(read.ok().map(|read| read.len()), count, "{rule}");
        }
    }

    #[test]
    fn the_driver_is_what_its_makefile_lists() {
        let makefile = "KMOD= if_ix\nSRCS= device_if.h bus_if.h\nSRCS+= if_ix.c ix_txrx.c\n\
                        CFLAGS+= -I${SRCTOP}/sys/dev/ixgbe -DRSS\n";
        for (driver, names) in [
            (&DRIVERS[0], &["if_ix.c", "ix_txrx.c", "if_ixv.c"][..]),
            (&DRIVERS[1], &["if_ix.c", "ix_txrx.c"]),
        ] {
            let units = driver_units(driver, makefile, Path::new("/sys/dev/ixgbe"));
            let found: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
            assert_eq!(found, names);
            for unit in &units {
                assert_eq!(unit.file, Path::new("/sys/dev/ixgbe").join(&unit.name));
                assert_eq!(unit.flags.first().unwrap(), "-I/sys/dev/ixgbe");
                assert_eq!(unit.flags.last().unwrap(), "-DRSS");
            }
        }
    }

    #[test]
    fn the_shim_is_every_c_file_of_its_folder() {
        let units = shim().unwrap();
        let files: Vec<&Path> = units.iter().map(|unit| unit.file.as_path()).collect();
        assert!(files.contains(&Path::new("shim/kdk_shim.c")), "{files:?}");
        assert!(files.iter().all(|file| file.extension().unwrap() == "c"));
    }
}

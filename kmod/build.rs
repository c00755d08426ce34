//! Generates the bindings from the headers of the tree under test and compiles
//! the C shim with the kernel's own flags. Nothing of FreeBSD's is committed,
//! so this needs a tree and the object directory of a kernel built from it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

const HEADER: &str = "shim/kpi.h";
const SHIM: [&str; 10] = [
    "shim/kdk_shim.c",
    "shim/kdk_entropy.c",
    "shim/kdk_sendfile.c",
    "shim/kdk_flowtable.c",
    "shim/kdk_pci.c",
    "shim/kdk_vector.c",
    "shim/kdk_tunable.c",
    "shim/kdk_interface.c",
    "shim/kdk_filter.c",
    "shim/kdk_iflib.c",
];
const SHIM_HEADERS: [&str; 12] = [
    HEADER,
    "shim/kdk_shim.h",
    "shim/kdk_entropy.h",
    "shim/kdk_sendfile.h",
    "shim/kdk_flowtable.h",
    "shim/kdk_pci.h",
    "shim/kdk_vector.h",
    "shim/kdk_interface.h",
    "shim/kdk_compat.h",
    "shim/kdk_filter.h",
    "shim/kdk_iflib.h",
    REGISTERS,
];
/// What the shim includes of a tree besides headers, where a tree has it.
const FLOWTABLE: &str = "net/flowtable.c";
/// Where a tree has the ixgbe driver.
const IXGBE: &str = "dev/ixgbe";
/// The driver as a tree has it.
struct Driver {
    /// Its main file.
    main: &'static str,
    /// Its own makefile, which lists its files.
    makefile: &'static str,
    /// Of them, another driver's: of virtual functions.
    without: Option<&'static str>,
}
const DRIVERS: [Driver; 2] = [
    Driver {
        main: "if_ix.c",
        makefile: "modules/ix/Makefile",
        without: None,
    },
    Driver {
        main: "ixgbe.c",
        makefile: "modules/ixgbe/Makefile",
        without: Some("ixv.c"),
    },
];
/// What turns the driver's accesses to registers into calls.
const REGISTERS: &str = "shim/kdk_ixgbe_io.h";

/// What the Rust half uses. Everything else stays out of the bindings.
const FUNCTIONS: &str = "kdk_.*|callout_init|taskqueue_(enqueue|drain|free)|wakeup|kthread_exit|m_freem|m_append|\
                         m_length|m_copydata|kernel_sysctlbyname|uiomove|printf|panic|getenv_string";
const VARIABLES: &str = "M_KDK|kdk_module_mtx|M_WAITOK|M_NOWAIT|M_ZERO|MTX_RECURSE|EWOULDBLOCK|EINVAL|EBUSY|ENXIO|ENOMEM|EAGAIN|EIO|EBADMSG|ENAMETOOLONG|ENOENT|EBADF|ENOBUFS|ENOTCONN|EPIPE|\
                         MCLBYTES|PAGE_SIZE|EVFILT_SENDFILE|EV_ADD|SF_SYNC|IFF_UP|IFF_DRV_RUNNING|LINK_STATE_(UP|DOWN)|CSUM_L[34]_VALID|KDK_(FILTER|HOLD|STEP|FLOWTABLE|ROUTE|PCI)_.*";
/// Known by size and alignment only: their fields are the shim's business.
const OPAQUE: &str =
    "callout|mtx|task|taskqueue|mbuf|thread|uio|malloc_type|kdk_pci|kdk_tap|kdk_filter";
const TYPES: &str = "kdk_(malloc_stats|sendfile|event|flow|flow_walk|flowtable_counts|pci_use|interface|counted|tapped|filter_rule|filtered)|(__)?u?_?int(8|16|32|64)?_t|u_int|caddr_t|c_caddr_t";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Cargo shows what a failing build script wrote here.
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Problem> {
    let tree = Tree::from_env()?;
    let flags = tree.flags()?;
    for input in SHIM.into_iter().chain(SHIM_HEADERS) {
        println!("cargo:rerun-if-changed={input}");
    }
    let flowtable = tree.sys.join(FLOWTABLE);
    if flowtable.exists() {
        println!("cargo:rerun-if-changed={}", flowtable.display());
    }
    println!(
        "cargo:rerun-if-changed={}",
        tree.objects.join("opt_global.h").display()
    );
    bind(&flags)?;
    compile(&tree, &flags)?;
    let folder = tree.sys.join(IXGBE);
    if let Some(driver) = DRIVERS.iter().find(|one| folder.join(one.main).exists()) {
        compile_ixgbe(&tree, &flags, driver)?;
    }
    Ok(())
}

/// Why the module cannot be built.
enum Problem {
    Unset(&'static str),
    Unreadable(PathBuf, std::io::Error),
    NotATree(PathBuf),
    NotObjects(PathBuf, &'static str),
    Bindings(bindgen::BindgenError),
    Write(PathBuf, std::io::Error),
    Shim(cc::Error),
    Driver(cc::Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset(name) => write!(
                f,
                "{name} is not set. kdk.ko is built against a FreeBSD tree and the object directory of a kernel \
                 built from it: `cargo xtask vm-test --base NAME` does that and sets KDK_SYS (the tree's sys \
                 directory), KDK_KERN_OBJ (the object directory) and KDK_CLANG (clang of LLVM 19)"
            ),
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::NotATree(path) => write!(
                f,
                "{} does not define __FreeBSD_version: KDK_SYS has to be the sys directory of a FreeBSD tree",
                path.display()
            ),
            Self::NotObjects(path, what) => write!(
                f,
                "{} is missing: KDK_KERN_OBJ has to be the object directory of a configured kernel ({what})",
                path.display()
            ),
            Self::Bindings(error) => write!(
                f,
                "bindgen could not read {HEADER}: {error}. It needs libclang of LLVM 19 (LIBCLANG_PATH names its \
                 directory; `cargo xtask doctor` looks for it)"
            ),
            Self::Write(path, error) => write!(f, "cannot write {}: {error}", path.display()),
            Self::Shim(error) => write!(
                f,
                "clang could not compile the shim with the kernel's flags: {error}"
            ),
            Self::Driver(error) => write!(
                f,
                "clang could not compile the tree's ixgbe driver with the kernel's flags: {error}"
            ),
        }
    }
}

/// The tree under test.
struct Tree {
    sys: PathBuf,
    objects: PathBuf,
    clang: PathBuf,
    extra: Vec<String>,
}

impl Tree {
    fn from_env() -> Result<Self, Problem> {
        let tree = Self {
            sys: variable("KDK_SYS")?.into(),
            objects: variable("KDK_KERN_OBJ")?.into(),
            clang: variable("KDK_CLANG")?.into(),
            extra: variable("KDK_CFLAGS_EXTRA")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        };
        for (needed, what) in [
            ("opt_global.h", "config(8) writes it"),
            ("machine", "a link to the amd64 headers"),
        ] {
            let path = tree.objects.join(needed);
            if !path.exists() {
                return Err(Problem::NotObjects(path, what));
            }
        }
        Ok(tree)
    }

    /// The flags the kernel's own makefiles (`sys/conf/kern.mk`, `kmod.mk`)
    /// give amd64 modules.
    fn flags(&self) -> Result<Vec<String>, Problem> {
        let mut flags = vec![
            format!("--target=x86_64-unknown-freebsd{}", self.release()?),
            "-nostdinc".to_owned(),
        ];
        // A tree has one of these.
        let contributed = ["contrib/ck/include", "contrib/altq"].map(|dir| self.sys.join(dir));
        let includes = [&self.objects, &self.sys].into_iter();
        flags.extend(
            includes
                .chain(contributed.iter().filter(|dir| dir.is_dir()))
                .map(|path| format!("-I{}", path.display())),
        );
        flags.extend(
            [
                "-D_KERNEL",
                "-DKLD_MODULE",
                "-DHAVE_KERNEL_OPTION_HEADERS",
                "-include",
            ]
            .map(str::to_owned),
        );
        flags.push(self.objects.join("opt_global.h").display().to_string());
        flags.push(format!("-DKDK_VERSION=\"{}\"", env!("CARGO_PKG_VERSION")));
        let code = "-std=gnu99 -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone -mno-mmx -mno-sse -msoft-float \
                    -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -gline-tables-only";
        flags.extend(code.split_whitespace().map(str::to_owned));
        // As the Rust half has them: from the workspace on.
        if let Some(workspace) = Path::new(&variable("CARGO_MANIFEST_DIR")?).parent() {
            flags.push(format!("-fdebug-prefix-map={}/=", workspace.display()));
        }
        flags.extend(self.extra.iter().cloned());
        Ok(flags)
    }

    /// `15.1` for `__FreeBSD_version` 1501000.
    fn release(&self) -> Result<String, Problem> {
        let path = self.sys.join("sys/param.h");
        println!("cargo:rerun-if-changed={}", path.display());
        let text =
            fs::read_to_string(&path).map_err(|error| Problem::Unreadable(path.clone(), error))?;
        let version = text
            .lines()
            .find_map(osreldate)
            .ok_or(Problem::NotATree(path))?;
        Ok(format!("{}.{}", version / 100_000, version / 1000 % 100))
    }
}

fn osreldate(line: &str) -> Option<u32> {
    let mut words = line.split_whitespace();
    (words.next() == Some("#define") && words.next() == Some("__FreeBSD_version"))
        .then(|| words.next()?.parse().ok())
        .flatten()
}

fn variable(name: &'static str) -> Result<String, Problem> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).map_err(|_| Problem::Unset(name))
}

fn bind(flags: &[String]) -> Result<(), Problem> {
    let out = Path::new(&variable("OUT_DIR")?).join("bindings.rs");
    let bindings = bindgen::Builder::default()
        .header(HEADER)
        .clang_args(flags)
        .use_core()
        .rust_edition(bindgen::RustEdition::Edition2024)
        .allowlist_function(FUNCTIONS)
        .allowlist_var(VARIABLES)
        .allowlist_type(OPAQUE)
        .allowlist_type(TYPES)
        .allowlist_recursively(false)
        .opaque_type(OPAQUE)
        // bindgen lists the types inside an opaque one all the same.
        .blocklist_type(".*__bindgen_ty_.*")
        .layout_tests(false)
        .generate_comments(false)
        .derive_copy(false)
        .derive_debug(false)
        // Headers of the tree are inputs as much as ours.
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate()
        .map_err(Problem::Bindings)?;
    // What a tree has or lacks shows in its bindings.
    let bound = bindings.to_string();
    for (cfg, function) in [
        ("sendfile_kqueue", "fn kdk_sendfile"),
        ("flowtable", "fn kdk_flowtable_open"),
        ("ixgbe", "fn kdk_pci_attach"),
        ("iflib", "const KDK_PCI_IFLIB"),
    ] {
        println!("cargo:rustc-check-cfg=cfg({cfg})");
        if bound.contains(function) {
            println!("cargo:rustc-cfg={cfg}");
        }
    }
    bindings
        .write_to_file(&out)
        .map_err(|error| Problem::Write(out, error))
}

/// Clang with the kernel's flags.
fn compiler(tree: &Tree, flags: &[String]) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .compiler(&tree.clang)
        .no_default_flags(true)
        // How clang's own words come through cargo.
        .cargo_warnings(true)
        .opt_level(2)
        .warnings(false);
    // Archives of LLVM bitcode or of another system's objects need LLVM's own.
    let ar = tree.clang.with_file_name("llvm-ar");
    if ar.exists() {
        build.archiver(ar);
    }
    for flag in flags.iter().map(String::as_str).chain(["-O2"]) {
        build.flag(flag);
    }
    build
}

fn compile(tree: &Tree, flags: &[String]) -> Result<(), Problem> {
    let mut build = compiler(tree, flags);
    for flag in ["-Wall", "-Wno-pointer-sign", "-Wno-unused-function"] {
        build.flag(flag);
    }
    build
        .files(SHIM)
        .try_compile("kdk_shim")
        .map_err(Problem::Shim)
}

/// The tree's own ixgbe driver, as it is: its warnings are not ours.
fn compile_ixgbe(tree: &Tree, flags: &[String], driver: &Driver) -> Result<(), Problem> {
    let (folder, makefile) = (tree.sys.join(IXGBE), tree.sys.join(driver.makefile));
    let text = fs::read_to_string(&makefile)
        .map_err(|error| Problem::Unreadable(makefile.clone(), error))?;
    println!("cargo:rerun-if-changed={}", makefile.display());
    println!("cargo:rerun-if-changed={}", folder.display());
    let registers = Path::new(&variable("CARGO_MANIFEST_DIR")?).join(REGISTERS);
    let mut build = compiler(tree, flags);
    build
        .include(&folder)
        .flag("-w")
        .flag("-include")
        .flag(registers);
    for define in driver_words(&text, "CFLAGS").filter(|word| word.starts_with("-D")) {
        build.flag(define);
    }
    for file in driver_words(&text, "SRCS").filter(|word| word.ends_with(".c")) {
        if Some(file) != driver.without {
            build.file(folder.join(file));
        }
    }
    build.try_compile("kdk_ixgbe").map_err(Problem::Driver)
}

/// What a kernel module's makefile adds to a variable.
fn driver_words<'a>(makefile: &'a str, variable: &str) -> impl Iterator<Item = &'a str> {
    makefile
        .lines()
        .filter(move |line| line.starts_with(variable))
        .flat_map(str::split_whitespace)
}

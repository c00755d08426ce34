//! Generates the Rust bindings of kdk.ko from the headers of the tree under
//! test, so that nothing of FreeBSD's is committed.
//!
//! It is a program and not a build script: cargo compiles a crate again
//! whenever its build script runs, even when the bindings come out the same.
//!
//! Usage: `kdk-kmod-bindgen HEADER BINDINGS DEPFILE CLANG-ARGUMENT...`. The
//! depfile lists the headers that were read, as a rule of make(1).

use std::env;
use std::process::ExitCode;

/// What the Rust half uses. Everything else stays out of the bindings.
const FUNCTIONS: &str = "kdk_.*|callout_init|taskqueue_(enqueue|drain|free)|wakeup|kthread_exit|m_freem|m_append|\
                         m_length|m_copydata|kernel_sysctlbyname|uiomove|printf|panic|getenv_string";
const VARIABLES: &str = "M_KDK|kdk_module_mtx|M_WAITOK|M_NOWAIT|M_ZERO|MTX_RECURSE|EWOULDBLOCK|EINVAL|EBUSY|ENXIO|ENOMEM|EAGAIN|EIO|EBADMSG|ENAMETOOLONG|ENOENT|EBADF|ENOBUFS|ENOTCONN|EPIPE|EACCES|ECONNRESET|\
                         AF_INET6?|MCLBYTES|PAGE_SIZE|EVFILT_SENDFILE|EV_(ADD|DELETE|CLEAR|ONESHOT)|SF_SYNC|IFF_UP|IFF_DRV_RUNNING|LINK_STATE_(UP|DOWN)|CSUM_L[34]_VALID|KDK_(FILTER|HOLD|SHUT|STEP|STOP|FLOWTABLE|ROUTE|PCI)_.*";
/// Known by size and alignment only: their fields are the shim's business.
const OPAQUE: &str = "callout|mtx|task|taskqueue|mbuf|thread|uio|malloc_type|kdk_pci|kdk_tap|kdk_filter|kdk_reads|kdk_blocked";
const TYPES: &str = "kdk_(malloc_stats|sendfile|event|flow|flow_key|flow_walk|flowtable_counts|pci_use|interface|counted|tapped|filter_rule|filtered)|(__)?u?_?int(8|16|32|64)?_t|u_int|caddr_t|c_caddr_t";
/// The oldest Rust that compiles the module.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [header, bindings, depfile, flags @ ..] = arguments.as_slice() else {
        eprintln!(
            "error: usage: kdk-kmod-bindgen HEADER BINDINGS DEPFILE CLANG-ARGUMENT... \
             (`cargo xtask vm-test --base NAME` runs it)"
        );
        return ExitCode::FAILURE;
    };
    match generate(header, bindings, depfile, flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn generate(header: &str, out: &str, depfile: &str, flags: &[String]) -> Result<(), String> {
    let target = RUST
        .parse()
        .map_err(|error| format!("bindgen does not know Rust {RUST}: {error}"))?;
    bindgen::Builder::default()
        .header(header)
        .clang_args(flags)
        .depfile(out, depfile)
        .use_core()
        .rust_target(target)
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
        .generate()
        .map_err(|error| {
            format!(
                "bindgen could not read {header}: {error}. It needs libclang of LLVM 19 (LIBCLANG_PATH names its \
                 directory; `cargo xtask doctor` looks for it)"
            )
        })?
        .write_to_file(out)
        .map_err(|error| format!("cannot write {out}: {error}"))
}

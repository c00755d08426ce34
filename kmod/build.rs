//! Makes a `cfg` of each part of the kernel that the tree under test has: what
//! a tree lacks is missing in its bindings. `cargo xtask` generates them with
//! kdk-kmod-bindgen, and links the C objects outside cargo.

use std::process::ExitCode;
use std::{env, fs};

/// Names the bindings' file.
const BINDINGS: &str = "KDK_BINDINGS";

/// Each `cfg`, and what the bindings have where it is set.
const PARTS: [(&str, &str); 5] = [
    ("kqueue_copy", "fn kdk_kqueue_fork"),
    ("sendfile_kqueue", "fn kdk_sendfile"),
    ("flowtable", "fn kdk_flowtable_open"),
    ("ixgbe", "fn kdk_pci_attach"),
    ("iflib", "const KDK_PCI_IFLIB"),
];

fn main() -> ExitCode {
    match set_cfgs() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Cargo shows what a failing build script wrote here.
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn set_cfgs() -> Result<(), String> {
    println!("cargo:rerun-if-env-changed={BINDINGS}");
    let path = env::var(BINDINGS).map_err(|_| {
        format!(
            "{BINDINGS} is not set. kdk.ko is built against the headers of a FreeBSD tree: \
             `cargo xtask vm-test --base NAME` generates their bindings and sets it"
        )
    })?;
    println!("cargo:rerun-if-changed={path}");
    let bindings =
        fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    for (cfg, item) in PARTS {
        println!("cargo:rustc-check-cfg=cfg({cfg})");
        if bindings.contains(item) {
            println!("cargo:rustc-cfg={cfg}");
        }
    }
    Ok(())
}

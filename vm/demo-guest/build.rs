//! Hands the guest's memory layout to the linker.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=demo-guest.ld");
    // On the host only the unit tests are built, which need no layout.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{here}/demo-guest.ld");
        println!("cargo::rustc-link-arg-bins=--no-dynamic-linker");
        println!("cargo::rustc-link-arg-bins=-znorelro");
        println!("cargo::rustc-link-arg-bins=--build-id=none");
    }
}

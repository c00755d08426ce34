//! The demo guest: not FreeBSD, but with the same protocol, the same harness
//! and every fault of a guest on demand. It tests the runner, and runs without
//! a FreeBSD tree.
//!
//! It starts as a PVH guest (`qemu-system-x86_64 -kernel`), logs on the first
//! serial port, answers on the second and ends through isa-debug-exit (port
//! 0x501).
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(any(test, target_os = "none"))]
mod cmdline;
#[cfg(any(test, target_os = "none"))]
mod inject;

#[cfg(target_os = "none")]
mod clock;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod debugger;
#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod hw;
#[cfg(target_os = "none")]
mod objects;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod platform;
#[cfg(target_os = "none")]
mod results;
#[cfg(target_os = "none")]
mod tests;

/// Does nothing on a host: the guest is built for a bare machine.
#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    eprintln!("kdk-demo-guest runs on a bare machine: build it for x86_64-unknown-none");
    std::process::ExitCode::FAILURE
}

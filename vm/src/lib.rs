//! Virtual machines for kernel tests: what a guest says and what it means
//! (protocol, KTAP, console, verdicts), the machines it runs on, and the
//! images it boots from.
//!
//! Decisions are pure functions; effects stay in [`qemu`],
//! [`bhyve`], [`image`], [`efi`], [`accel`], [`console::log`] and
//! [`symbolize::Program`].

pub mod accel;
pub mod bhyve;
pub mod clock;
pub mod console;
pub mod ddb;
pub mod efi;
pub mod elf;
pub mod error;
pub mod exit;
pub mod guard;
pub mod hypervisor;
pub mod image;
pub mod interrupt;
pub mod ktap;
pub mod machine;
pub mod panic;
pub mod phase;
pub mod plan;
mod ports;
pub mod process;
pub mod progress;
pub mod protocol;
pub mod qemu;
pub mod qmp;
pub mod run;
pub mod select;
pub mod session;
pub mod snapshot;
pub mod symbolize;
pub mod verdict;

/// The most virtual CPUs of a machine.
pub use kdk_harness::MAX_CPUS;

//! QEMU: which binary, with which arguments, as a [`Machine`](crate::machine::Machine).

pub(crate) mod exit;
mod find;
mod hypervisor;
mod process;
mod spec;

pub use find::{OLDEST, OVERRIDE, Qemu, Version, parse_version};
pub use hypervisor::{QemuHypervisor, QemuPool, VMM};
pub use process::QemuMachine;
pub use spec::{Access, Boot, Drive, Engine, Fds, Format, Spec, escape};

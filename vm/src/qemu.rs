//! QEMU: which binary, with which arguments, as a [`Machine`](crate::machine::Machine).

mod find;
mod process;
mod spec;

pub use find::{OLDEST, Qemu, Version, parse_version};
pub use process::QemuMachine;
pub use spec::{Access, Boot, Drive, Engine, Fds, Format, Spec, escape};

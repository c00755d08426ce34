//! bhyve(8): FreeBSD's own hypervisor, as a [`Machine`](crate::machine::Machine).
//!
//! A machine is three programs: bhyveload(8) puts the kernel into a new
//! virtual machine (UEFI firmware needs no such step), bhyve(8) runs it until
//! its first reboot or power-off, and bhyvectl(8) removes it.

mod exit;
mod find;
mod hypervisor;
mod machine;
mod name;
mod pty;
mod scratch;
mod spec;

pub use find::{Bhyve, find_firmware};
pub use hypervisor::{BhyvePool, VMM};
pub use machine::BhyveMachine;
pub use spec::{Boot, Disk, Spec, Wiring, destroy_args, load_env, nmi_args};

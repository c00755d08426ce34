//! Safe wrappers over the kernel's programming interface.
//!
//! All of the module's unsafe code is here. Every wrapper is safe for the same
//! reason: the kernel object is in a heap block of its own, which never moves,
//! and dropping the wrapper first removes the object from the kernel. A test
//! that dies does not run destructors. [`resource`] and [`held_locks`] record
//! what it has, and release it.
#![allow(unsafe_code)]

mod alloc;
mod bindings;
pub mod callout;
pub mod cdev;
pub mod console;
pub mod counters;
#[cfg(any(flowtable, ixgbe))]
pub mod cpus;
#[cfg(kqueue_copy)]
pub mod descriptor;
pub mod errno;
pub mod exclusive;
pub mod fault;
#[cfg(iflib)]
pub mod filter;
#[cfg(flowtable)]
pub mod flowtable;
#[cfg(any(kqueue_copy, ixgbe))]
mod handle;
mod held_locks;
#[cfg(iflib)]
pub mod held_reset;
#[cfg(iflib)]
pub mod iflib;
#[cfg(ixgbe)]
pub mod interface;
#[cfg(ixgbe)]
pub mod kenv;
#[cfg(kqueue_copy)]
pub mod kqueue;
pub mod kthread;
pub mod leaked;
#[cfg(ixgbe)]
pub mod link_task;
pub mod linker_set;
mod locked;
pub mod malloc;
pub mod mbuf;
mod module;
pub mod mutex;
#[cfg(ixgbe)]
pub mod nic;
pub mod notes;
mod panic;
#[cfg(sendfile_kqueue)]
pub mod reads;
mod resource;
pub mod seed;
#[cfg(sendfile_kqueue)]
pub mod sendfile;
#[cfg(ixgbe)]
mod spin;
pub mod sysctl;
pub mod taskqueue;
pub mod time;
#[cfg(ixgbe)]
mod wire;

pub use cdev::{Device, Uio};
pub use exclusive::Exclusive;
pub use locked::Locked;

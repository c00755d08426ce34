#![no_std]
//! Raw FreeBSD system calls for the guest's static programs: an owned
//! descriptor here, a typed error there, and no C library.
//!
//! One binary runs on every base, FreeBSD 15.1 and 11-CURRENT of 2014 alike:
//! each call number used here means the same thing on both, the older layout
//! where there are two (`kevent` 363, `getdirentries` 196), which today's
//! kernels keep under `COMPAT_FREEBSD11` and `COMPAT_FREEBSD12`. Numbers and
//! layouts are from `sys/kern/syscalls.master` and the headers under `sys/` of
//! both trees.
//!
//! Programs say [`main!`]; suites say [`suite::run`] inside it.

extern crate alloc;

pub mod bpf;
pub mod compat32;
pub mod counters;
pub mod errno;
pub mod fd;
pub mod file;
pub mod follow;
pub mod jail;
pub mod kenv;
pub mod kqueue;
pub mod ktls;
pub mod machine;
pub mod md;
pub mod memory;
pub mod module;
pub mod mount;
pub mod net;
pub mod poll;
pub mod print;
pub mod process;
mod raw;
pub mod route;
pub mod sendfile;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod start;
pub mod suite;
pub mod sysctl;
pub mod time;
pub mod tty;
pub mod usage;

pub use errno::{Errno, Result};
pub use fd::{Descriptor, Fd, STDERR, STDIN, STDOUT};

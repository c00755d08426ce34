#![no_std]
//! `kdk.ko`: tests that run inside a FreeBSD kernel, and `/dev/kdk`, through
//! which user space lists and runs them.

extern crate alloc;

pub mod dev_kdk;
pub mod kpi;
pub mod platform;
pub mod registry;
pub mod tests;

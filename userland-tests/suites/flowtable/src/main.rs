#![no_std]
#![no_main]
//! Suite `flowtable`: the kernel's own flowtable, from outside. Its tests in
//! kdk.ko have the same name before the slash.

extern crate alloc;

mod count;
mod ddb;
mod expiry;
mod traffic;

kdk_sys::suite_main!();

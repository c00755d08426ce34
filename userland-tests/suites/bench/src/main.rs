#![no_std]
#![no_main]
//! Suite `bench`: what sending from a program's own memory costs, by
//! sendfile(2) with SF_KQUEUE, with SF_SYNC, and by write(2). Its tests fail
//! only where nothing could be measured; they report the
//! measurements as notes, which `cargo xtask bench sendfile` evaluates.

extern crate alloc;

mod calls;
mod cases;
mod measure;
mod method;
mod reader;
mod setup;
mod shared_counters;
mod worker;

kdk_sys::suite_main!();

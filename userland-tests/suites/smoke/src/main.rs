#![no_std]
#![no_main]
//! Suite `smoke`: what the topics of the series stand on. sendfile(2) from
//! files and shared memory with every byte checked, kqueue(2), and traffic
//! over lo0 and epair(4).

extern crate alloc;

mod fault;
mod kqueue;
mod net;
mod polling;
mod sendfile;
mod world;

kdk_sys::suite_main!();

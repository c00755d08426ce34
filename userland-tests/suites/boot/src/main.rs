#![no_std]
#![no_main]
//! Suite `boot`: how the kernel was started, and that what it learnt then
//! is right.

extern crate alloc;

mod clock;
mod pvh;

kdk_sys::suite_main!();

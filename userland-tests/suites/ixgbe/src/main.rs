#![no_std]
#![no_main]
//! Suite `ixgbe`: the tree's ixgbe driver on cards of software, from outside.
//! Its tests in kdk.ko have the same name before the slash.

extern crate alloc;

mod cards;
mod commands;
mod frames;
mod tcp;

kdk_sys::suite_main!();

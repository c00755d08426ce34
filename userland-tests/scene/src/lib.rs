#![no_std]
//! What several suites set up: connections, second processes, things to send,
//! and bytes that tell where they are from. A step that fails ends the test.

extern crate alloc;

pub mod bytes;
pub mod child;
pub mod epair;
pub mod frame;
pub mod link;
pub mod source;

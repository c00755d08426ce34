#![no_std]
#![no_main]
//! x
extern crate alloc;
kdk_sys::suite_main!();
kdk_harness::kdk_test!("smoke/x", || { assert_eq!(1, 1); Ok(()) });

#![no_std]
#![no_main]
//! Suite `kmod`: the life of kdk.ko as user space sees it. Loading it twice,
//! unloading it at the wrong moment, files that are no module for this kernel:
//! each refused with its error, and the module that is loaded stays usable.

extern crate alloc;

mod device;
mod files;
mod life;

kdk_sys::suite_main!();

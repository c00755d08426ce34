#![no_std]
#![no_main]
//! PID 1 of the guest: makes the machine usable, loads `/kdk.ko`, says hello
//! on the result channel and does what the host asks there, until `end`.
//!
//! It must never exit, or the kernel panics: init reports a failure on the
//! console and on the result channel, and then ends the machine.

extern crate alloc;

mod channel;
mod end;
mod hello;
mod kdk;
mod program;
mod resume;
mod serve;
mod setup;
mod suites;
mod users;

use alloc::string::String;
use kdk_sys::{complain, process};

kdk_sys::main!(init);

fn init(_arguments: &[String]) -> i32 {
    if process::me() != process::Pid(1) {
        complain!("init: this is for PID 1 only, which the kernel starts");
        return 1;
    }
    setup::prepare();
    match channel::Channel::open() {
        Ok(channel) => serve::serve(channel),
        Err(why) => {
            complain!("init: {why}");
            end::end(end::Why::Trouble)
        }
    }
}

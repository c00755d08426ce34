//! Rust panics: they end one test, or the kernel.

use super::{bindings, kthread};
use core::panic::PanicInfo;
use kdk_harness::describe_panic;

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    let message = describe_panic(&info.message(), info.location());
    kthread::die(&message);
    // Not in a thread of ours, or where a thread cannot end.
    let text = message.as_str();
    let len = core::ffi::c_int::try_from(text.len()).unwrap_or(0);
    // SAFETY: "%.*s" reads `len` bytes at the pointer, which are there.
    unsafe { bindings::panic(c"kdk: Rust panic: %.*s".as_ptr(), len, text.as_ptr()) }
}

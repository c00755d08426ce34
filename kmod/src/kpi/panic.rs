//! Rust panics. A panic ends one test, or panics the kernel.

use super::{bindings, kthread};
use core::panic::PanicInfo;
use kdk_harness::describe_panic;

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    let message = describe_panic(&info.message(), info.location());
    kthread::die(&message);
    // The thread is not the module's, or cannot exit in this context.
    let text = message.as_str();
    let len = core::ffi::c_int::try_from(text.len()).unwrap_or(0);
    // SAFETY: "%.*s" reads `len` bytes at the pointer, which are there.
    unsafe { bindings::panic(c"kdk: Rust panic: %.*s".as_ptr(), len, text.as_ptr()) }
}

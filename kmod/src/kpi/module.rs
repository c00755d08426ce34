//! Loading and unloading.

use super::console::say;
use super::errno::Errno;
use super::locked::Locked;
use super::{kthread, resource};
use core::ffi::c_int;

/// The users of the module.
struct Users {
    open: u32,
    unloading: bool,
}

static USERS: Locked<Users> = Locked::new(Users {
    open: 0,
    unloading: false,
});

/// Counts a descriptor that is being opened.
pub(super) fn enter() -> Result<(), Errno> {
    USERS.with(|users| {
        if users.unloading {
            return Err(Errno::ENXIO);
        }
        users.open += 1;
        Ok(())
    })
}

/// Counts a descriptor that was closed.
pub(super) fn leave() {
    USERS.with(|users| users.open -= 1);
}

#[unsafe(no_mangle)]
extern "C" fn kdk_load() -> c_int {
    say(format_args!("version {} loaded", env!("CARGO_PKG_VERSION")));
    0
}

#[unsafe(no_mangle)]
extern "C" fn kdk_unload(ask_only: c_int) -> c_int {
    Errno::of(unload(ask_only != 0))
}

/// Unloads the module, if it is idle. A run of tests has an open descriptor.
fn unload(ask_only: bool) -> Result<(), Errno> {
    let threads = kthread::count();
    let callbacks = resource::count();
    let open = USERS.with(|users| {
        let idle = users.open == 0 && threads == 0 && callbacks == 0;
        users.unloading = idle && !ask_only;
        (!idle).then_some(users.open)
    });
    let Some(open) = open else {
        return Ok(());
    };
    say(format_args!(
        "not unloaded: in use by {open} open descriptor(s) of /dev/kdk, {threads} test thread(s), and {callbacks} \
         callback(s) or other resources"
    ));
    Err(Errno::EBUSY)
}

//! kdk.ko and its tests.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use kdk_harness::Where;
use kdk_relay::{Lines, Listed, Listing, RunRelay};
use kdk_sys::file::{O_CLOEXEC, O_RDWR, open};
use kdk_sys::{Descriptor, Errno, Fd, Result, complain, module, sysctl};

/// Where the image has the module.
const MODULE: &str = "/kdk.ko";
const DEVICE: &str = "/dev/kdk";

/// Loads the module, which may be loaded already.
///
/// # Errors
/// Those of kldload(2).
pub fn load() -> Result<()> {
    match module::load(MODULE) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => {
            complain!("init: kldload {MODULE}: {errno}");
            Err(errno)
        }
    }
}

/// The loaded module's version.
///
/// # Errors
/// Those of sysctl(3).
pub fn version() -> Result<String> {
    sysctl::text("debug.kdk.version")
}

/// The device, for one command. A suite may have unloaded the module since.
fn device() -> core::result::Result<Fd, String> {
    let opened = || open(DEVICE, O_RDWR | O_CLOEXEC);
    let device = match opened() {
        Err(Errno::ENOENT) => {
            load().map_err(|errno| format!("kldload {MODULE}: {errno}"))?;
            opened()
        }
        device => device,
    };
    device.map_err(|errno| format!("open {DEVICE}: {errno}"))
}

/// Gives the device a command and hands each line of the answer to `each`,
/// as it comes.
fn ask(command: &str, each: &mut dyn FnMut(&str)) -> core::result::Result<(), String> {
    let device = device()?;
    device
        .write_all(format!("{command}\n").as_bytes())
        .map_err(|errno| format!("write {command:?} to {DEVICE}: {errno}"))?;
    let mut lines = Lines::new();
    let mut bytes = [0; 4096];
    loop {
        match device.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => lines.take(bytes.get(..count).unwrap_or_default(), &mut *each),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(format!("read {DEVICE}: {errno}")),
        }
    }
    if let Some(rest) = lines.rest() {
        each(&rest);
    }
    Ok(())
}

/// The module's tests.
///
/// # Errors
/// Why they are not known.
pub fn list() -> core::result::Result<Vec<Listed>, String> {
    let mut listing = Listing::new(Where::Kernel);
    ask("list", &mut |line| listing.line(line))?;
    listing.finish()
}

/// Runs one of them.
///
/// # Errors
/// The host does not take the answer.
pub fn run(name: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut relay = RunRelay::new(name);
    let mut taken = Ok(());
    let asked = ask(&format!("run {name}"), &mut |line| {
        taken = taken.and_then(|()| relay.line(line, out));
    });
    taken?;
    let trouble = asked.as_ref().err();
    relay.finish(trouble.map(|why| why as &dyn fmt::Display), out)
}

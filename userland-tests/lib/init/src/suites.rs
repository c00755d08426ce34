//! The suites, programs under `/suites`.

use crate::program;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use kdk_harness::Where;
use kdk_relay::{Listed, Listing, RunRelay};
use kdk_sys::file;
use kdk_sys::process::Ending;
use kdk_sys::spawn::Output;

const DIRECTORY: &str = "/suites";

/// The names of the suites.
///
/// # Errors
/// Those of reading the directory.
pub fn names() -> core::result::Result<Vec<String>, String> {
    file::directory(DIRECTORY).map_err(|errno| format!("read {DIRECTORY}: {errno}"))
}

/// The tests of a suite.
///
/// # Errors
/// Why they are not known.
pub fn list(suite: &str) -> core::result::Result<Vec<Listed>, String> {
    let mut listing = Listing::new(Where::Userland);
    call(suite, &["-l"], &mut |line| listing.line(line))?;
    listing.finish()
}

/// Runs one of them. The host sees to its limit.
///
/// # Errors
/// The host does not take the answer.
pub fn run(suite: &str, name: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut relay = RunRelay::new(name);
    let mut taken = Ok(());
    let called = call(suite, &["-r", name], &mut |line| {
        taken = taken.and_then(|()| relay.line(line, out));
    });
    taken?;
    let trouble = called.as_ref().err();
    relay.finish(trouble.map(|why| why as &dyn fmt::Display), out)
}

/// Runs a suite's program, which must exit with 0, and hands each line of its
/// output to `each`.
fn call(
    suite: &str,
    arguments: &[&str],
    each: &mut dyn FnMut(&str),
) -> core::result::Result<(), String> {
    let path = format!("{DIRECTORY}/{suite}");
    match program::run(&path, arguments, Output::Stdout, each)? {
        Ending::Exited(0) => Ok(()),
        ending => Err(format!("{path} {ending}")),
    }
}

//! The user's own programs. Each has a folder under `/programs` with the
//! program itself, its arguments, and its line of the list of tests.

use crate::program;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use kdk_harness::Where;
use kdk_relay::{Listed, Listing, ProgramRelay};
use kdk_sys::file;
use kdk_sys::process::Ending;
use kdk_sys::spawn::Output;

const DIRECTORY: &str = "/programs";

/// The names of the programs; none if the image has none.
pub fn names() -> Vec<String> {
    file::directory(DIRECTORY).unwrap_or_default()
}

/// The test that a program is.
///
/// # Errors
/// Why it is not known.
pub fn list(program: &str) -> Result<Vec<Listed>, String> {
    let mut listing = Listing::new(Where::Userland);
    for line in text(program, "test")?.lines() {
        listing.line(line);
    }
    listing.line("# end list 1");
    listing.finish()
}

/// Runs the program. The host sees to its limit.
///
/// # Errors
/// The host does not take the answer.
pub fn run(program: &str, name: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut relay = ProgramRelay::start(name, out)?;
    let mut taken = Ok(());
    let ending = call(program, &mut |line| {
        taken = taken.and_then(|()| relay.line(line, out));
    });
    taken?;
    match ending {
        Ok(Ending::Exited(status)) => relay.finish(Ok(status), out),
        Ok(killed) => relay.finish(Err(&killed), out),
        Err(why) => relay.finish(Err(&why), out),
    }
}

fn call(program: &str, each: &mut dyn FnMut(&str)) -> Result<Ending, String> {
    let arguments = text(program, "arguments")?;
    // Each one ends with a NUL.
    let arguments: Vec<&str> = arguments.split_terminator('\0').collect();
    let path = format!("{DIRECTORY}/{program}/program");
    program::run(&path, &arguments, Output::Both, each)
}

#[allow(
    clippy::to_string_in_format_args,
    reason = "the short form makes every stored proof stale: it comes with the next change of init"
)]
fn text(program: &str, file: &str) -> Result<String, String> {
    let path = format!("{DIRECTORY}/{program}/{file}");
    let bytes = file::read_file(&path).map_err(|errno| format!("read {path}: {errno}"))?;
    String::from_utf8(bytes).map_err(|error| format!("read {path}: {}", error.to_string()))
}

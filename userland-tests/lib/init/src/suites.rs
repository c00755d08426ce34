//! The suites, programs under `/suites`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use kdk_harness::Where;
use kdk_relay::{Lines, Listed, Listing, RunRelay};
use kdk_sys::process::{Ending, Pid, kill_everyone, reap};
use kdk_sys::signal::Signal;
use kdk_sys::time::sleep_ms;
use kdk_sys::{Errno, Result, file, spawn};

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

/// Runs a suite's program, hands each line of its output to `each` as it
/// comes, and leaves no process of it.
fn call(
    suite: &str,
    arguments: &[&str],
    each: &mut dyn FnMut(&str),
) -> core::result::Result<(), String> {
    let path = format!("{DIRECTORY}/{suite}");
    let mut vector = Vec::from([path.as_str()]);
    vector.extend_from_slice(arguments);
    let mut program =
        spawn::spawn(&path, &vector).map_err(|errno| format!("start {path}: {errno}"))?;
    let mut lines = Lines::new();
    let child = program.pid;
    let followed = program
        .output
        .follow(&mut || reap_until(child), &mut |bytes| {
            lines.take(bytes, &mut *each);
        });
    if let Some(rest) = lines.rest() {
        each(&rest);
    }
    let left = sweep();
    match followed {
        Ok(Ending::Exited(0)) => left,
        Ok(ending) => Err(format!("{path} {ending}")),
        Err(errno) => Err(format!("follow {path}: {errno}")),
    }
}

/// Waits for whatever has ended, as PID 1 has to; how `child` ended, if it
/// has.
fn reap_until(child: Pid) -> Result<Option<Ending>> {
    while let Some((pid, ending)) = reap()? {
        if pid == child {
            return Ok(Some(ending));
        }
    }
    Ok(None)
}

/// Ends every process that is left: nothing runs between two commands. One that
/// does not die is the host's to find.
fn sweep() -> core::result::Result<(), String> {
    let mut left = 0;
    loop {
        match reap() {
            Ok(Some((_, Ending::Killed(Signal::SIGKILL)))) => left += 1,
            Ok(Some(_)) | Err(Errno::EINTR) => {}
            Err(_) => break,
            Ok(None) => {
                // ESRCH: they are dying.
                let _ = kill_everyone(Signal::SIGKILL);
                sleep_ms(1);
            }
        }
    }
    match left {
        0 => Ok(()),
        left => Err(format!("it left {left} processes behind")),
    }
}

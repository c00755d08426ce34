//! Runs a program of the image.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use kdk_relay::Lines;
use kdk_sys::process::{Ending, Pid, kill_everyone, reap};
use kdk_sys::signal::Signal;
use kdk_sys::spawn::Output;
use kdk_sys::time::sleep_ms;
use kdk_sys::{Errno, Result, spawn};

/// Runs the program `path`, hands each line of its output to `each` as it
/// comes, and leaves no process of it.
///
/// # Errors
/// It cannot be started or followed, or it left processes behind.
pub fn run(
    path: &str,
    arguments: &[&str],
    output: Output,
    each: &mut dyn FnMut(&str),
) -> core::result::Result<Ending, String> {
    let mut vector = Vec::from([path]);
    vector.extend_from_slice(arguments);
    let mut program =
        spawn::spawn(path, &vector, output).map_err(|errno| format!("start {path}: {errno}"))?;
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
        Ok(Ending::Exited(0)) => left.map(|()| Ending::Exited(0)),
        Ok(ending) => Ok(ending),
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

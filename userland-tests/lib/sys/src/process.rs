//! Processes. Every program here has one thread, so that a fork leaves the
//! child with all that it needs.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{as_id, c_string, call, number, plain};
use crate::signal::Signal;
use alloc::vec::Vec;
use core::fmt;

const WNOHANG: usize = 1;

/// A process, or with [`kill_group`] the group it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(pub i32);

/// Which of the two a program is after [`fork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The one that forked.
    Parent(Pid),
    /// The new one.
    Child,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this value.
    Exited(i32),
    /// A signal ended it.
    Killed(Signal),
}

impl fmt::Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(value) => write!(out, "exited with {value}"),
            Self::Killed(signal) => write!(out, "killed by {signal}"),
        }
    }
}

/// Calls fork(2).
///
/// # Errors
/// Those of fork(2).
pub fn fork() -> Result<Fork> {
    // SAFETY: no addresses; one thread.
    unsafe { plain(number::FORK, []) }.map(forked)
}

/// rfork(2) with one table of descriptors for both: what one opens or closes,
/// the other has or has not.
///
/// # Errors
/// Those of rfork(2).
pub fn fork_with_one_table() -> Result<Fork> {
    const RFPROC: i64 = 1 << 4;
    // SAFETY: no addresses; one thread.
    unsafe { plain(number::RFORK, [RFPROC]) }.map(forked)
}

fn forked(child: usize) -> Fork {
    match as_id(child) {
        0 => Fork::Child,
        child => Fork::Parent(Pid(child)),
    }
}

/// Lets others run first, if they can.
pub fn give_way() {
    // SAFETY: no addresses; it cannot fail.
    let _ = unsafe { plain(number::SCHED_YIELD, []) };
}

/// Ends this process.
pub fn exit(value: i32) -> ! {
    loop {
        // SAFETY: no addresses; it does not come back.
        let _ = unsafe { plain(number::EXIT, [value.into()]) };
    }
}

/// Becomes the program at `path`, with an empty environment. Only comes back
/// when that failed.
///
/// # Errors
/// Those of execve(2).
pub fn execute(path: &str, arguments: &[&str]) -> Result<core::convert::Infallible> {
    let path = c_string(path)?;
    let strings = arguments
        .iter()
        .map(|argument| c_string(argument))
        .collect::<Result<Vec<_>>>()?;
    let vector: Vec<usize> = strings
        .iter()
        .map(|string| string.as_ptr() as usize)
        .chain([0])
        .collect();
    let environment = [0usize];
    let arguments = [
        path.as_ptr() as usize,
        vector.as_ptr() as usize,
        environment.as_ptr() as usize,
    ];
    // SAFETY: NUL-terminated strings in a vector that ends with a null, all
    // alive during the call.
    unsafe { call(number::EXECVE, &arguments) }?;
    Err(crate::Errno::ENOEXEC)
}

/// Returns this process's id.
#[must_use]
pub fn me() -> Pid {
    // SAFETY: no addresses; it cannot fail.
    Pid(unsafe { plain(number::GETPID, []) }.map_or(0, as_id))
}

/// Makes `process` lead a group of its own.
///
/// # Errors
/// Those of setpgid(2).
pub fn lead_group(process: Pid) -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::SETPGID, [process.0.into(), process.0.into()]) }.map(drop)
}

/// Sends a signal to a process.
///
/// # Errors
/// Those of kill(2).
pub fn kill(process: Pid, signal: Signal) -> Result<()> {
    send(process.0.into(), signal.0.into())
}

/// Sends a signal to all of a group.
///
/// # Errors
/// Those of kill(2).
pub fn kill_group(leader: Pid, signal: Signal) -> Result<()> {
    send(-i64::from(leader.0), signal.0.into())
}

/// Sends a signal to every process but init, the system's own, and this one.
///
/// # Errors
/// Those of kill(2); `ESRCH` when there is none.
pub fn kill_everyone(signal: Signal) -> Result<()> {
    send(-1, signal.0.into())
}

/// Whether a process of the group is left, even one that no process has
/// waited for yet.
#[must_use]
pub fn group_exists(leader: Pid) -> bool {
    send(-i64::from(leader.0), 0) != Err(crate::Errno::ESRCH)
}

fn send(whom: i64, signal: i64) -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::KILL, [whom, signal]) }.map(drop)
}

/// Waits for `process` to end.
///
/// # Errors
/// Those of wait4(2).
pub fn wait(process: Pid) -> Result<Ending> {
    loop {
        match wait4(process.0, 0) {
            Ok((_, ending)) => return Ok(ending),
            Err(crate::Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// How `process`, a child, ended, if it has.
///
/// # Errors
/// Those of wait4(2).
pub fn wait_now(process: Pid) -> Result<Option<Ending>> {
    let (pid, ending) = wait4(process.0, WNOHANG)?;
    Ok((pid == process).then_some(ending))
}

/// A child that has ended already, if one has.
///
/// # Errors
/// Those of wait4(2); `ECHILD` when there is none at all.
pub fn reap() -> Result<Option<(Pid, Ending)>> {
    let (pid, ending) = wait4(-1, WNOHANG)?;
    Ok((pid.0 != 0).then_some((pid, ending)))
}

fn wait4(whom: i32, options: usize) -> Result<(Pid, Ending)> {
    let mut status = 0i32;
    let arguments = [whom as usize, &raw mut status as usize, options, 0];
    // SAFETY: the kernel writes one int.
    let pid = unsafe { call(number::WAIT4, &arguments) }?;
    Ok((Pid(as_id(pid)), ending(status)))
}

/// What a wait status says of a process that ended: the signal in the low
/// seven bits, else the exit value in the next byte.
const fn ending(status: i32) -> Ending {
    match status & 0x7f {
        0 => Ending::Exited(status >> 8 & 0xff),
        signal => Ending::Killed(Signal(signal)),
    }
}

//! Starting of programs.

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd, STDERR, STDOUT, pipe};
use crate::follow::Follower;
use crate::process::{Fork, Pid, execute, exit, fork, lead_group, me, wait};

/// Which output of a program its pipe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Its standard output; its errors go to the console.
    Stdout,
    /// Its standard output and its errors.
    Both,
}

/// A program that was started, its output in a pipe and a process
/// group of its own.
#[derive(Debug)]
pub struct Program {
    /// The program's process.
    pub pid: Pid,
    /// Follows its output.
    pub output: Follower,
    /// Only closed with the rest: while the program runs, this process opens
    /// and closes nothing, since that could look like a leak of the program's.
    _kept: [Fd; 3],
}

/// Starts the program at `path`.
///
/// # Errors
/// Those of pipe(2), fork(2), kqueue(2) and, just as if this process had
/// called it, of execve(2).
pub fn spawn(path: &str, arguments: &[&str], output: Output) -> Result<Program> {
    let (read, write) = pipe()?;
    // Closed by a successful execve(2); else it says why there was none.
    let (failure, fail) = pipe()?;
    let (go, start) = pipe()?;
    match fork()? {
        Fork::Child => {
            drop(start);
            let Err(errno) = lead_group(me())
                .and_then(|()| write.duplicate_onto(STDOUT))
                .and_then(|()| match output {
                    Output::Stdout => Ok(()),
                    Output::Both => write.duplicate_onto(STDERR),
                })
                .and_then(|()| match go.read(&mut [0])? {
                    // The parent has stopped waiting.
                    0 => Err(Errno::ECANCELED),
                    _ => execute(path, arguments),
                });
            let _ = fail.write_all(&errno.0.to_le_bytes());
            exit(127)
        }
        Fork::Parent(pid) => {
            drop((write, fail));
            let output = Follower::new(read)?;
            start.write_all(b"g")?;
            let mut errno = [0; 4];
            match failure.read_full(&mut errno)? {
                0 => Ok(Program {
                    pid,
                    output,
                    _kept: [failure, go, start],
                }),
                _ => {
                    wait(pid)?;
                    Err(Errno(i32::from_le_bytes(errno)))
                }
            }
        }
    }
}

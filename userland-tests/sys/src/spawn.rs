//! Starting programs.

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd, STDOUT, pipe};
use crate::process::{Fork, Pid, execute, exit, fork, lead_group, me, wait};

/// Starts the program at `path` with its standard output in a pipe and a
/// process group of its own: the process and the end to read from.
///
/// # Errors
/// Those of pipe(2), fork(2) and, just as if this process had called it, of
/// execve(2).
pub fn spawn(path: &str, arguments: &[&str]) -> Result<(Pid, Fd)> {
    let (read, write) = pipe()?;
    // Closed by a successful execve(2); else it says why there was none.
    let (failure, fail) = pipe()?;
    match fork()? {
        Fork::Child => {
            let Err(errno) = lead_group(me())
                .and_then(|()| write.duplicate_onto(STDOUT))
                .and_then(|()| execute(path, arguments));
            let _ = fail.write_all(&errno.0.to_le_bytes());
            exit(127)
        }
        Fork::Parent(child) => {
            drop((write, fail));
            let mut errno = [0; 4];
            match failure.read_full(&mut errno)? {
                0 => Ok((child, read)),
                _ => {
                    wait(child)?;
                    Err(Errno(i32::from_le_bytes(errno)))
                }
            }
        }
    }
}

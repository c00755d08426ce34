//! Processor time of processes, whoever they are.

use crate::errno::{Errno, Result};
use crate::process::Pid;
use crate::sysctl;

/// Where a `kinfo_proc` (`<sys/user.h>`) has its own length, `ki_pid`,
/// `ki_runtime` and `ki_comm`.
const LENGTH: usize = 0;
const PID: usize = 72;
const RUNTIME: usize = 328;
const COMMAND: usize = 447;
const COMMAND_ROOM: usize = 20;

/// Processor time that a process has used, user and system, microseconds.
///
/// # Errors
/// Those of sysctl(3); `ESRCH` when there is no such process.
pub fn runtime_us(process: Pid) -> Result<u64> {
    let record = sysctl::bytes_of("kern.proc.pid", &[process.0])?;
    let bytes = record.get(RUNTIME..).and_then(|rest| rest.first_chunk());
    bytes.copied().map(u64::from_le_bytes).ok_or(Errno::ESRCH)
}

/// The kernel's process that runs when no other does.
///
/// # Errors
/// Those of sysctl(3); `ESRCH` when it is not to be found.
pub fn idle() -> Result<Pid> {
    let all = sysctl::bytes("kern.proc.proc")?;
    let int = |record: &[u8], at: usize| {
        let bytes = record.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().map(i32::from_le_bytes)
    };
    let length = int(&all, LENGTH).and_then(|length| usize::try_from(length).ok());
    let length = length
        .filter(|length| *length > COMMAND)
        .ok_or(Errno::EBADMSG)?;
    let idle = all.chunks_exact(length).find(|record| {
        let command = record
            .get(COMMAND..COMMAND + COMMAND_ROOM)
            .unwrap_or_default();
        command.split(|byte| *byte == 0).next() == Some(b"idle")
    });
    idle.and_then(|record| int(record, PID))
        .map(Pid)
        .ok_or(Errno::ESRCH)
}

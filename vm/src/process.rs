//! Starts a machine's process under a guard, kills it and waits for it, and
//! keeps the end of its standard error.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use shared_child::SharedChild;

use crate::exit::Status;
use crate::guard::Guard;
use crate::session::Waits;

/// The number of bytes that are kept of standard error.
const STDERR: usize = 16 * 1024;

/// Returns the command that runs `program` under `guard`. Its standard input
/// belongs to the guard, and its standard output is closed.
pub(crate) fn command(guard: &Guard, program: &Path, args: Vec<OsString>) -> Command {
    let (outer, args) = guard.wrap(program, args);
    let mut command = Command::new(outer);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A ^C at the terminal is for this program; the machine would end
        // first.
        .process_group(0);
    command
}

/// Returns how long each thread of the process `id` has been ready and had to
/// wait for a processor; nothing where the host does not say. Linux does, in
/// nanoseconds (Documentation/scheduler/sched-stats.rst).
pub(crate) fn waits(id: u32) -> Waits {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return Waits::new();
    };
    let wait = |thread: std::io::Result<std::fs::DirEntry>| {
        let thread = thread.ok()?;
        let id = thread.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let waited = text.split(' ').nth(1)?.parse().ok()?;
        Some((id, Duration::from_nanos(waited)))
    };
    threads.filter_map(wait).collect()
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Process {
    child: SharedChild,
    guard: Guard,
    leash: Mutex<Option<ChildStdin>>,
    killed: AtomicBool,
}

impl Process {
    /// Starts what [`command`] made. The guard may be tied to the calling
    /// thread, so that thread has to live as long as the process.
    pub fn spawn(command: &mut Command, guard: Guard) -> std::io::Result<Self> {
        let child = SharedChild::spawn(command)?;
        Ok(Self {
            leash: Mutex::new(child.take_stdin()),
            child,
            guard,
            killed: AtomicBool::new(false),
        })
    }

    /// Returns its process id (the guard's, if a guard runs it).
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        match &self.guard {
            // An error means that the process has ended.
            Guard::Setpriv(_) => drop(self.child.kill()),
            Guard::Pipe => drop(self.lock_leash().take()),
        }
    }

    /// Waits for its end. Returns how it ended, and whether this program killed
    /// it.
    pub fn wait(&self) -> (Status, bool) {
        let status = match self.child.wait() {
            Ok(status) => self.guard.status(status),
            Err(_) => Status::Signal(0),
        };
        let killed = self.killed.load(Ordering::SeqCst);
        (status, killed && matches!(status, Status::Signal(9)))
    }

    /// Returns its standard output, if it was requested, once.
    pub fn stdout(&self) -> Option<ChildStdout> {
        self.child.take_stdout()
    }

    /// Reads standard error to its end. The thread returns the last part of it.
    pub fn stderr(&self) -> Option<JoinHandle<String>> {
        self.child.take_stderr().map(tail_of)
    }

    fn lock_leash(&self) -> MutexGuard<'_, Option<ChildStdin>> {
        self.leash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tail_of(mut stderr: ChildStderr) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stderr.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..n]);
            let excess = kept.len().saturating_sub(STDERR);
            kept.drain(..excess);
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

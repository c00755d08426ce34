//! A machine's process: started under a guard, killed, and waited for, with
//! what it said on standard error.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use shared_child::SharedChild;

use crate::exit::Status;
use crate::guard::Guard;

/// How much of standard error is kept, bytes.
const STDERR: usize = 16 * 1024;

/// The command that runs `program` under `guard`. Its standard input is the
/// guard's; it has no standard output.
pub(crate) fn command(guard: &Guard, program: &Path, args: Vec<OsString>) -> Command {
    let (outer, args) = guard.wrap(program, args);
    let mut command = Command::new(outer);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A terminal's ^C is ours to take; the machine would end before we knew.
        .process_group(0);
    command
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
    /// Starts what [`command`] made. The guard may hang on the thread that
    /// calls this, so that thread has to live as long as the process.
    pub fn spawn(command: &mut Command, guard: Guard) -> std::io::Result<Self> {
        let child = SharedChild::spawn(command)?;
        Ok(Self {
            leash: Mutex::new(child.take_stdin()),
            child,
            guard,
            killed: AtomicBool::new(false),
        })
    }

    /// Its process id (the guard's, where one stands between).
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        match &self.guard {
            // An error means that it has ended.
            Guard::Setpriv(_) => drop(self.child.kill()),
            Guard::Pipe => drop(self.lock_leash().take()),
        }
    }

    /// Waits for its end. Says how it ended, and whether we killed it.
    pub fn wait(&self) -> (Status, bool) {
        let status = match self.child.wait() {
            Ok(status) => self.guard.status(status),
            Err(_) => Status::Signal(0),
        };
        let killed = self.killed.load(Ordering::SeqCst);
        (status, killed && matches!(status, Status::Signal(9)))
    }

    /// Its standard output, if that was asked for; it is given once.
    pub fn stdout(&self) -> Option<ChildStdout> {
        self.child.take_stdout()
    }

    /// Reads standard error to its end; the thread gives the last of it.
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

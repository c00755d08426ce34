//! Starts a machine's process under a guard in a process group of its own, kills
//! the group and waits for it, and keeps the end of its standard error.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use shared_child::SharedChild;

use crate::exit::Status;
use crate::guard::Guard;
use crate::session::Waits;

/// The number of bytes that are kept of standard error.
const STDERR: usize = 16 * 1024;

/// How long the rest of standard error is awaited after the process ended. Only
/// a process that has left the group keeps it open longer.
const REST: Duration = Duration::from_secs(1);

/// The process groups of all machines that run.
static GROUPS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Kills every machine of this process, for a process that is about to be
/// killed itself.
pub fn kill_all() {
    for group in lock(&GROUPS).iter() {
        kill_group(*group);
    }
}

/// Kills all processes of a group. An error means that it has ended.
fn kill_group(group: u32) {
    let _ = killpg(Pid::from_raw(group.cast_signed()), Signal::SIGKILL);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
fn waits_of(id: u32) -> Waits {
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

/// Returns the children of the process `id`, which has one thread. Only Linux
/// lists them.
fn children(id: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let list = list.unwrap_or_default();
    let id = |word: &str| word.parse().ok();
    list.split_whitespace().filter_map(id).collect()
}

/// A process that was started. Other processes that it starts are in its group,
/// and end with it.
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
        lock(&GROUPS).insert(child.id());
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

    /// Returns how long each thread of the program has been ready and had to
    /// wait for a processor, where the host says so.
    pub fn waits(&self) -> Waits {
        match self.guard {
            Guard::None | Guard::Setpriv(_) => waits_of(self.id()),
            // The program is a child of the shell.
            Guard::Pipe => children(self.id()).into_iter().flat_map(waits_of).collect(),
        }
    }

    /// Kills the process and its group.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        match &self.guard {
            Guard::None | Guard::Setpriv(_) => {
                // Its id is valid as long as its group is listed.
                let groups = lock(&GROUPS);
                if groups.contains(&self.child.id()) {
                    kill_group(self.child.id());
                }
            }
            Guard::Pipe => drop(lock(&self.leash).take()),
        }
    }

    /// Waits for its end, and kills what is left of its group. Returns how it
    /// ended, and whether this program killed it.
    pub fn wait(&self) -> (Status, bool) {
        self.wait_without_reaping();
        let id = self.child.id();
        let mut groups = lock(&GROUPS);
        kill_group(id);
        groups.remove(&id);
        drop(groups);
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

    /// Waits for its end, after which its id is still its own.
    fn wait_without_reaping(&self) {
        let Some(pid) = rustix::process::Pid::from_raw(self.id().cast_signed()) else {
            return;
        };
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), how), Err(rustix::io::Errno::INTR)) {}
    }

    /// Begins to read standard error to its end.
    pub fn stderr(&self) -> Option<StderrTail> {
        self.child.take_stderr().map(StderrTail::read)
    }
}

/// The last part of a process's standard error.
pub(crate) struct StderrTail {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Disconnected at the end.
    end: Receiver<()>,
}

impl StderrTail {
    fn read(mut stderr: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (open, end) = channel();
        let tail = kept.clone();
        let read = move || {
            let _open = open;
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer) {
                let mut tail = lock(&tail);
                tail.extend_from_slice(&buffer[..n]);
                let excess = tail.len().saturating_sub(STDERR);
                tail.drain(..excess);
            }
        };
        // Where no thread may start, the messages are lost.
        let _ = thread::Builder::new().name("stderr".into()).spawn(read);
        Self { kept, end }
    }

    /// Returns what was kept, once the process has ended.
    pub fn finish(self) -> String {
        let _ = self.end.recv_timeout(REST);
        String::from_utf8_lossy(&lock(&self.kept)).into_owned()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::BufRead;

    use super::*;

    #[test]
    fn the_waits_are_those_of_the_program_under_each_guard() {
        if waits_of(std::process::id()).is_empty() {
            return; // This kernel has no schedstat.
        }
        for guard in [Guard::None, Guard::detect(), Guard::Pipe] {
            let args = ["-c", "echo $$ >&2; exec sleep 60"];
            let args = args.map(OsString::from).to_vec();
            let mut command = command(&guard, Path::new("/bin/sh"), args);
            let process = Process::spawn(&mut command, guard.clone()).unwrap();
            let mut line = String::new();
            let stderr = process.child.take_stderr().unwrap();
            std::io::BufReader::new(stderr)
                .read_line(&mut line)
                .unwrap();
            let program: u64 = line.trim().parse().unwrap();
            let waits = process.waits();
            process.kill();
            process.wait();
            assert!(waits.contains_key(&program), "{guard:?}: {waits:?}");
        }
    }
}

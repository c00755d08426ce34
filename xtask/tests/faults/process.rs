//! A process of the command line: its output line by line, and its exit.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// The time limit without output. A guest that boots in silence takes a minute;
/// one that prints a gigabyte takes six on a slow host.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The process exited with this code.
    Code(i32),
    /// The process died of this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// The lines of its standard error.
    pub lines: Vec<String>,
}

impl Ran {
    /// Returns the whole standard error.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// A running command, in a process group of its own, as a shell starts it.
pub struct Process {
    child: Child,
    heard: Receiver<String>,
    lines: Vec<String>,
}

impl Process {
    /// Starts a command.
    ///
    /// # Errors
    /// It cannot be started, in words.
    pub fn start(mut command: Command) -> Result<Self, String> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command
            .spawn()
            .map_err(|error| format!("could not start {command:?}: {error}"))?;
        let stderr = child.stderr.take().ok_or("it has no standard error")?;
        Ok(Self {
            child,
            heard: listen(stderr),
            lines: Vec::new(),
        })
    }

    /// Reads until a line has `mark`. Then nothing reads the output until the
    /// next call.
    ///
    /// # Errors
    /// It ended or fell silent before, in words.
    pub fn until(&mut self, mark: &str) -> Result<(), String> {
        loop {
            match self.heard.recv_timeout(TIMEOUT) {
                Ok(line) => {
                    let found = line.contains(mark);
                    self.lines.push(line);
                    if found {
                        return Ok(());
                    }
                }
                Err(_) => {
                    let said = self.lines.join("\n");
                    return Err(format!("it did not print {mark:?}, but:\n{said}"));
                }
            }
        }
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to it and to its children, as a terminal does.
    ///
    /// # Errors
    /// The system's, in words.
    pub fn signal_all(&self, signal: Signal) -> Result<(), String> {
        killpg(self.as_pid(), signal).map_err(|error| format!("could not send {signal}: {error}"))
    }

    /// Sends a signal to it alone.
    ///
    /// # Errors
    /// The system's, in words.
    pub fn signal(&self, signal: Signal) -> Result<(), String> {
        kill(self.as_pid(), signal).map_err(|error| format!("could not send {signal}: {error}"))
    }

    fn as_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Reads to the end. Calls `each` for every remaining line.
    ///
    /// # Errors
    /// It does not end, in words.
    pub fn finish(mut self, each: &mut dyn FnMut(&str)) -> Result<Ran, String> {
        loop {
            match self.heard.recv_timeout(TIMEOUT) {
                Ok(line) => {
                    each(&line);
                    self.lines.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let said = self.lines.join("\n");
                    return Err(format!("it does not end; it printed:\n{said}"));
                }
            }
        }
        let status = self
            .child
            .wait()
            .map_err(|error| format!("waiting for it failed: {error}"))?;
        let exit = match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(0)),
        };
        Ok(Ran {
            exit,
            lines: std::mem::take(&mut self.lines),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It still runs only if a test failed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads lines on a thread. It stops reading when nothing receives them, which
/// makes the writer wait.
fn listen(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = sync_channel(0);
    thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

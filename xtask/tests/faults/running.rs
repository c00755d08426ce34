//! The command line at work: its output line by line, its end.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Longer than any run here is silent: a guest that boots in silence has a
/// minute, one that babbles a gigabyte takes six on a slow host.
const PATIENCE: Duration = Duration::from_secs(1200);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
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
    /// How.
    pub exit: Exit,
    /// What it wrote on standard error, by lines.
    pub lines: Vec<String>,
}

impl Ran {
    /// Returns all of standard error.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// A command that runs, in a process group of its own as a shell would start
/// it.
pub struct Running {
    child: Child,
    heard: Receiver<String>,
    lines: Vec<String>,
}

impl Running {
    /// Starts it.
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

    /// Reads until a line holds `mark`; from then on nobody reads until
    /// somebody asks for more.
    ///
    /// # Errors
    /// It ended or fell silent before, in words.
    pub fn until(&mut self, mark: &str) -> Result<(), String> {
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let found = line.contains(mark);
                    self.lines.push(line);
                    if found {
                        return Ok(());
                    }
                }
                Err(_) => {
                    let said = self.lines.join("\n");
                    return Err(format!("it never said {mark:?}, but:\n{said}"));
                }
            }
        }
    }

    /// Returns its process id.
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

    /// Reads to the end; `each` sees every line that is still to come.
    ///
    /// # Errors
    /// It does not end, in words.
    pub fn finish(mut self, each: &mut dyn FnMut(&str)) -> Result<Ran, String> {
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(line) => {
                    each(&line);
                    self.lines.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let said = self.lines.join("\n");
                    return Err(format!("it does not end; it said:\n{said}"));
                }
            }
        }
        let status = self
            .child
            .wait()
            .map_err(|error| format!("its end was not seen: {error}"))?;
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

impl Drop for Running {
    fn drop(&mut self) {
        // Only where a test gave up; else it has ended.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads lines on a thread. Without somebody who takes them it stops reading,
/// so that a writer can be made to wait.
fn listen(stderr: ChildStderr) -> Receiver<String> {
    let (told, heard) = sync_channel(0);
    thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            if told.send(line).is_err() {
                return;
            }
        }
    });
    heard
}

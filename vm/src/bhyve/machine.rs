//! A running bhyve machine.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::pty::{Pty, write_within};
use super::scratch::Scratch;
use super::spec::{Spec, Wiring, destroy_args, nmi_args};
use super::{Bhyve, VMM, exit, name};
use crate::error::InfraError;
use crate::exit::{Ending, Status};
use crate::guard::Guard;
use crate::machine::{CHUNK, Event, Inbox, Machine, Port, channel};
use crate::ports;
use crate::process::{self, Process, StderrTail};

/// The longest time that a guest may leave its serial port unread.
const UNREAD: Duration = Duration::from_secs(5);

/// The exit code of sh(1) for a program that it cannot run.
const CANNOT_RUN: i32 = 127;

/// The number of bytes of the loader's console that an error quotes.
const LAST_WORDS: usize = 1024;

/// A machine that bhyve runs.
#[derive(Debug)]
pub struct BhyveMachine {
    inbox: Inbox,
    console: File,
    result: File,
    stages: Arc<Stages>,
    /// The thread that runs the programs, one after the other. The guard
    /// against orphans is tied to this thread, so it lives as long as they do.
    keeper: Option<JoinHandle<()>>,
}

/// The program that runs now, for whoever ends it.
#[derive(Debug)]
struct Stages {
    bhyve: Bhyve,
    guard: Guard,
    name: String,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    process: Option<Arc<Process>>,
    killed: bool,
}

impl BhyveMachine {
    /// Starts a machine, after removing what killed runs left behind. A program
    /// that rejects its arguments is reported later, as the machine's end.
    ///
    /// # Errors
    /// Fails when no pseudo-terminal or no disk space is left, or when bhyve
    /// cannot do what `spec` asks for.
    pub fn start(bhyve: &Bhyve, spec: &Spec) -> Result<Self, InfraError> {
        Self::start_with(bhyve, spec, Guard::detect(), &std::env::temp_dir())
    }

    /// Starts a machine under the given guard, with its files in `parent`.
    ///
    /// # Errors
    /// Fails as [`Self::start`] does.
    pub fn start_with(
        bhyve: &Bhyve,
        spec: &Spec,
        guard: Guard,
        parent: &Path,
    ) -> Result<Self, InfraError> {
        sweep(bhyve, parent);
        let scratch = Scratch::new(parent)?;
        let (console, result) = (Pty::open()?, Pty::open()?);
        let wiring = Wiring {
            name: scratch.name.clone(),
            console: console.path,
            result: result.path,
            disks: scratch.disks(spec)?,
        };
        let clone = |port: &File| {
            port.try_clone()
                .map_err(|e| InfraError::sys("duplicate a terminal of bhyve", e))
        };
        let (events, inbox) = channel();
        let stages = Arc::new(Stages {
            bhyve: bhyve.clone(),
            guard,
            name: scratch.name.clone(),
            now: Mutex::default(),
        });
        let keeper = Keeper {
            stages: stages.clone(),
            load: spec.load_args(&wiring.name),
            run: spec.run_args(&wiring),
            reader: ports::read(
                clone(&console.master)?,
                clone(&result.master)?,
                events.clone(),
            )?,
            slaves: [console.slave, result.slave],
            scratch,
            events,
        };
        let keeper = thread::Builder::new()
            .name("bhyve".into())
            .spawn(move || keeper.keep())
            .map_err(|e| InfraError::sys("start a thread", e))?;
        Ok(Self {
            inbox,
            console: console.master,
            result: result.master,
            stages,
            keeper: Some(keeper),
        })
    }

    /// Returns the name of its virtual machine.
    pub fn name(&self) -> &str {
        &self.stages.name
    }

    /// Returns the process id of the program that runs now (the guard's, if a
    /// guard runs it), if one runs.
    pub fn pid(&self) -> Option<u32> {
        self.stages.lock().process.as_ref().map(|it| it.id())
    }

    /// Sends a non-maskable interrupt to the first CPU. A kernel that enters
    /// its debugger on it stops the other CPUs itself.
    ///
    /// # Errors
    /// Fails with [`InfraError::MachineRefused`] and bhyvectl's message.
    pub fn inject_nmi(&self) -> Result<(), InfraError> {
        let stages = &self.stages;
        let output = control(&stages.bhyve, &nmi_args(&stages.name))?;
        if output.status.success() {
            return Ok(());
        }
        Err(InfraError::MachineRefused {
            vmm: VMM,
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

impl Machine for BhyveMachine {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn send(&mut self, port: Port, bytes: &[u8]) -> std::io::Result<()> {
        match port {
            Port::Console => write_within(&self.console, bytes, UNREAD),
            Port::Result => write_within(&self.result, bytes, UNREAD),
        }
    }

    fn nmi(&mut self) -> std::io::Result<()> {
        self.inject_nmi().map_err(std::io::Error::other)
    }

    fn kill(&mut self) {
        self.stages.kill();
    }
}

impl Drop for BhyveMachine {
    fn drop(&mut self) {
        // The reader threads must not wait for a receiver that is gone.
        self.inbox.close();
        self.stages.kill();
        if let Some(keeper) = self.keeper.take() {
            // It fails only by a panic, which the test run reports.
            drop(keeper.join());
        }
    }
}

impl Stages {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the program that runs and prevents any other from starting.
    fn kill(&self) {
        let mut now = self.lock();
        now.killed = true;
        if let Some(process) = &now.process {
            process.kill();
        }
    }

    /// Starts a program, unless the machine was killed.
    fn spawn(&self, command: &mut Command) -> Option<std::io::Result<Arc<Process>>> {
        let mut now = self.lock();
        if now.killed {
            return None;
        }
        // A ^C at the terminal is for this program; bhyve would die of it.
        let spawned = Process::spawn(command.process_group(0), self.guard.clone());
        Some(spawned.map(|process| {
            let process = Arc::new(process);
            now.process = Some(process.clone());
            process
        }))
    }
}

/// The thread that runs a machine from its first program to its last.
struct Keeper {
    stages: Arc<Stages>,
    load: Option<Vec<std::ffi::OsString>>,
    run: Vec<std::ffi::OsString>,
    reader: JoinHandle<bool>,
    slaves: [File; 2],
    scratch: Scratch,
    events: SyncSender<Event>,
}

/// How one program ended, and the last of its standard error.
struct Stage {
    status: Status,
    killed: bool,
    stderr: String,
}

impl Keeper {
    fn keep(mut self) {
        let stage = self.stages();
        self.stages.lock().process = None;
        destroy(&self.stages.bhyve, &self.stages.name);
        // The readers end when the last descriptors of the terminals are
        // closed.
        drop(self.slaves);
        let heard = self.reader.join().unwrap_or(false);
        drop(self.scratch);
        let ending = Ending {
            vmm: VMM,
            status: stage.status,
            ran: heard,
            shutdown: None,
            killed: stage.killed,
            stderr: stage.stderr,
        };
        // The receiver is gone when the machine was dropped.
        drop(self.events.send(Event::Ended(exit::classify(ending))));
    }

    /// Runs bhyveload, if the machine needs it, and bhyve if that succeeded.
    fn stages(&mut self) -> Stage {
        if let Some(args) = self.load.take() {
            let stage = self.stage(self.stages.bhyve.bhyveload.clone(), args, true);
            if stage.status != Status::Code(0) {
                return stage;
            }
        }
        let args = std::mem::take(&mut self.run);
        self.stage(self.stages.bhyve.bhyve.clone(), args, false)
    }

    /// Runs one program to its end. The output of a loader belongs to the
    /// machine's console, and explains a failure.
    fn stage(&self, program: PathBuf, args: Vec<std::ffi::OsString>, loader: bool) -> Stage {
        let mut command = process::command(&self.stages.guard, &program, args);
        if loader {
            command.stdout(Stdio::piped());
        }
        let process = match self.stages.spawn(&mut command) {
            Some(Ok(process)) => process,
            Some(Err(error)) => {
                return Stage {
                    status: Status::Code(CANNOT_RUN),
                    killed: false,
                    stderr: format!("{}: {error}", program.display()),
                };
            }
            None => return killed(),
        };
        let stderr = process.stderr();
        let printed = self.forward(process.stdout());
        let (status, killed) = process.wait();
        let mut stderr = stderr.map(StderrTail::finish).unwrap_or_default();
        if stderr.trim().is_empty() {
            stderr = printed;
        }
        Stage {
            status,
            killed,
            stderr,
        }
    }

    /// Forwards the output of a loader until its end, and returns the last part
    /// of it.
    fn forward(&self, stdout: Option<impl Read>) -> String {
        let mut kept = Vec::new();
        let mut buffer = vec![0; CHUNK];
        let Some(mut stdout) = stdout else {
            return String::new();
        };
        loop {
            match stdout.read(&mut buffer) {
                Ok(n @ 1..) => {
                    let bytes = &buffer[..n];
                    kept.extend_from_slice(bytes);
                    let excess = kept.len().saturating_sub(LAST_WORDS);
                    kept.drain(..excess);
                    // It must not wait for a receiver that is gone.
                    let event = Event::Output(Port::Console, bytes.to_vec());
                    drop(self.events.send(event));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return String::from_utf8_lossy(&kept).into_owned(),
            }
        }
    }
}

/// Returns the end of a stage that did not begin.
fn killed() -> Stage {
    Stage {
        status: Status::Signal(9),
        killed: true,
        stderr: String::new(),
    }
}

fn control(bhyve: &Bhyve, args: &[String]) -> Result<Output, InfraError> {
    Command::new(&bhyve.bhyvectl)
        .args(args)
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .map_err(|e| InfraError::io("run", &bhyve.bhyvectl, e))
}

/// Removes a virtual machine. A failure is ignored: the machine may never have
/// existed, and a later run removes what is left.
fn destroy(bhyve: &Bhyve, name: &str) {
    drop(control(bhyve, &destroy_args(name)));
}

/// Removes the virtual machines and the files of kdk processes that have ended.
fn sweep(bhyve: &Bhyve, parent: &Path) {
    let names = [bhyve.vmm.as_path(), parent]
        .into_iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten())
        .filter_map(|entry| entry.file_name().into_string().ok());
    for name in name::leftovers(names, is_alive) {
        if bhyve.vmm.join(&name).exists() {
            destroy(bhyve, &name);
        }
        // It may have no files, or another run may remove them at the same
        // time.
        let _ = fs::remove_dir_all(parent.join(&name));
    }
}

/// Returns whether a process with the id `pid` exists.
fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

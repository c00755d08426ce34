//! A running QEMU machine.

use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};

use super::{Fds, Qemu, Spec, VMM, exit};
use crate::error::InfraError;
use crate::exit::Ending;
use crate::guard::Guard;
use crate::machine::{Event, Inbox, Machine, Port, channel};
use crate::ports;
use crate::process::{self, Process, StderrTail};
use crate::qmp::{self, Monitor, Reported};
use crate::session::Waits;

/// The descriptors of QEMU's connections.
const FDS: Fds = Fds {
    console: 10,
    result: 11,
    monitor: 12,
    state: 13,
};

/// The longest time that a guest may leave its serial port unread.
const UNREAD: Duration = Duration::from_secs(5);

/// A machine that QEMU runs.
#[derive(Debug)]
pub struct QemuMachine {
    inbox: Inbox,
    console: UnixStream,
    result: UnixStream,
    monitor: Monitor,
    process: Arc<Process>,
    /// The thread that started QEMU and waits for it. The guard against orphans
    /// is tied to this thread, so it lives as long as QEMU does.
    keeper: Option<JoinHandle<()>>,
}

/// One connection, with the end of this program and that of QEMU.
struct Link {
    ours: UnixStream,
    theirs: OwnedFd,
}

impl Link {
    fn new() -> Result<Self, InfraError> {
        let (ours, theirs) =
            UnixStream::pair().map_err(|e| InfraError::sys("make a socket pair for QEMU", e))?;
        ours.set_write_timeout(Some(UNREAD))
            .map_err(|e| InfraError::sys("set up a socket for QEMU", e))?;
        Ok(Self {
            ours,
            theirs: theirs.into(),
        })
    }

    fn clone_ours(&self) -> Result<UnixStream, InfraError> {
        self.ours
            .try_clone()
            .map_err(|e| InfraError::sys("duplicate a socket of QEMU", e))
    }
}

impl QemuMachine {
    /// Starts QEMU. If it rejects its arguments, that is reported later, as the
    /// machine's end.
    ///
    /// # Errors
    /// Fails when the process cannot be started.
    pub fn start(qemu: &Qemu, spec: &Spec) -> Result<Self, InfraError> {
        Self::start_with(qemu, spec, Guard::detect())
    }

    /// Starts QEMU with a state that was [saved](Machine::save), for a machine
    /// that [loads](Spec::loads) one.
    ///
    /// # Errors
    /// Fails as [`Self::start`] does.
    pub fn load(qemu: &Qemu, spec: &Spec, state: File) -> Result<Self, InfraError> {
        Self::launch(qemu, spec, Guard::detect(), Some(state))
    }

    /// Starts QEMU under the given guard.
    ///
    /// # Errors
    /// Fails as [`Self::start`] does.
    pub fn start_with(qemu: &Qemu, spec: &Spec, guard: Guard) -> Result<Self, InfraError> {
        Self::launch(qemu, spec, guard, None)
    }

    fn launch(
        qemu: &Qemu,
        spec: &Spec,
        guard: Guard,
        state: Option<File>,
    ) -> Result<Self, InfraError> {
        let (events, inbox) = channel();
        let links = (Link::new()?, Link::new()?, Link::new()?);
        let (console, result) = (links.0.clone_ours()?, links.1.clone_ours()?);
        let ours = [
            links.0.clone_ours()?,
            links.1.clone_ours()?,
            links.2.clone_ours()?,
        ];
        let start = if spec.halted {
            qmp::Start::Halted
        } else {
            qmp::Start::Running
        };
        let (monitor, replies) = qmp::monitor(links.2.clone_ours()?, start);
        let reported = Arc::new(Mutex::new(Reported::default()));
        let readers = (
            ports::read(links.0.ours, links.1.ours, events.clone())?,
            monitor_reader(
                links.2.ours,
                start,
                reported.clone(),
                events.clone(),
                replies,
            )?,
        );
        let theirs = [links.0.theirs, links.1.theirs, links.2.theirs]
            .into_iter()
            .chain(state.map(OwnedFd::from));
        let mut command = process::command(&guard, &qemu.path, spec.args(FDS));
        command
            .fd_mappings(mappings(theirs))
            .map_err(|e| InfraError::sys("hand sockets to QEMU", std::io::Error::other(e)))?;
        let streams = Streams { readers, ours };
        let (process, keeper) = keep(command, guard, streams, reported, events)?;
        Ok(Self {
            inbox,
            console,
            result,
            monitor,
            process,
            keeper: Some(keeper),
        })
    }

    /// Returns the monitor of QEMU.
    pub fn monitor(&mut self) -> &mut Monitor {
        &mut self.monitor
    }

    /// Returns its process id (the guard's, if a guard runs it).
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Machine for QemuMachine {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn send(&mut self, port: Port, bytes: &[u8]) -> std::io::Result<()> {
        match port {
            Port::Console => self.console.write_all(bytes),
            Port::Result => self.result.write_all(bytes),
        }
    }

    fn save(&mut self, file: &File) -> std::io::Result<()> {
        // The machine is not stopped first: a machine that is saved while
        // stopped is stopped again after it is restored.
        self.monitor.migrate(file)
    }

    fn nmi(&mut self) -> std::io::Result<()> {
        self.monitor.nmi()
    }

    fn waits(&self) -> Waits {
        self.process.waits()
    }

    fn kill(&mut self) {
        self.process.kill();
    }

    fn reports_running(&self) -> bool {
        true
    }
}

impl Drop for QemuMachine {
    fn drop(&mut self) {
        // The reader threads must not wait for a receiver that is gone.
        self.inbox.close();
        self.process.kill();
        if let Some(keeper) = self.keeper.take() {
            // It fails only by a panic, which the test run reports.
            drop(keeper.join());
        }
    }
}

fn mappings(theirs: impl Iterator<Item = OwnedFd>) -> Vec<FdMapping> {
    let children = [FDS.console, FDS.result, FDS.monitor, FDS.state];
    theirs
        .zip(children)
        .map(|(parent_fd, child_fd)| FdMapping {
            parent_fd,
            child_fd,
        })
        .collect()
}

/// What reads the ports and the monitor.
struct Streams {
    readers: (JoinHandle<bool>, JoinHandle<()>),
    /// This program's ends of the sockets.
    ours: [UnixStream; 3],
}

impl Streams {
    /// Reads the rest of what QEMU has written, after its end. A process that
    /// it left behind may keep the other ends open for ever.
    fn finish(self) {
        for stream in &self.ours {
            // It fails if the other end is closed, which is the usual case.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop((self.readers.0.join(), self.readers.1.join()));
    }
}

/// Starts the command on a new thread. That thread waits for its end, and
/// reports it after everything that came before.
fn keep(
    mut command: Command,
    guard: Guard,
    streams: Streams,
    reported: Arc<Mutex<Reported>>,
    events: SyncSender<Event>,
) -> Result<(Arc<Process>, JoinHandle<()>), InfraError> {
    let (started, answer) = sync_channel(1);
    let run = move || {
        let spawned = Process::spawn(&mut command, guard);
        // Only QEMU has its ends of the sockets open now.
        drop(command);
        let process = match spawned {
            Ok(process) => Arc::new(process),
            Err(error) => return drop(started.send(Err(error))),
        };
        let stderr = process.stderr();
        drop(started.send(Ok(process.clone())));
        let ending = wait(&process, stderr, streams, &reported);
        // The receiver is gone when the machine was dropped.
        drop(events.send(Event::Ended(exit::classify(ending))));
    };
    let keeper = thread::Builder::new()
        .name("QEMU".into())
        .spawn(run)
        .map_err(|e| InfraError::sys("start a thread", e))?;
    match answer.recv() {
        Ok(Ok(process)) => Ok((process, keeper)),
        Ok(Err(error)) => Err(InfraError::sys("start QEMU", error)),
        Err(_) => Err(InfraError::sys(
            "start QEMU",
            std::io::Error::other("its thread ended early"),
        )),
    }
}

fn wait(
    process: &Process,
    stderr: Option<StderrTail>,
    streams: Streams,
    reported: &Mutex<Reported>,
) -> Ending {
    let (status, killed) = process.wait();
    streams.finish();
    let stderr = stderr.map(StderrTail::finish);
    let reported = reported
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    Ending {
        vmm: VMM,
        status,
        ran: reported.ran,
        shutdown: reported.shutdown,
        killed,
        stderr: stderr.unwrap_or_default(),
    }
}

fn monitor_reader(
    stream: UnixStream,
    start: qmp::Start,
    reported: Arc<Mutex<Reported>>,
    events: SyncSender<Event>,
    replies: SyncSender<serde_json::Value>,
) -> Result<JoinHandle<()>, InfraError> {
    thread::Builder::new()
        .name("monitor".into())
        .spawn(move || qmp::listen(stream, start, &reported, &events, &replies))
        .map_err(|e| InfraError::sys("start a thread", e))
}

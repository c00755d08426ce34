//! The interface of a running machine, whichever hypervisor runs it.

use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use crate::clock::Instant;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::session::Waits;

/// The most bytes in one chunk of a port.
pub const CHUNK: usize = 16 * 1024;

/// The number of chunks that may wait for the reader. A guest that writes
/// faster has to wait, which bounds the memory.
const BACKLOG: usize = 32;

/// Something that happened to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes of a serial port, at most [`CHUNK`] of them.
    Output(Port, Vec<u8>),
    /// A notice of the machine's monitor.
    Notice(Notice),
    /// The machine ended. All of its output came before this event, and nothing
    /// follows.
    Ended(Exit),
    /// The [`Interrupt`] flag may have been set.
    Interrupted,
}

/// A serial port of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The first port, the kernel's console.
    Console,
    /// The second port, the result channel.
    Result,
}

/// What a machine's monitor reports about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The machine runs, from its start or from a saved state.
    Running,
    /// The machine was reset, and therefore ends.
    Reset,
    /// The guest reported a panic to its panic device.
    GuestPanicked,
    /// The machine is stopped.
    Stopped,
    /// The host's disk failed a read or a write of the guest.
    DiskError(String),
}

/// A machine that runs or has ended. Dropping it ends it and waits for its end.
pub trait Machine: Send {
    /// Returns the receiver of its events.
    fn inbox(&self) -> &Inbox;
    /// Sends bytes to the guest.
    ///
    /// # Errors
    /// Fails when the machine has ended, or its guest has not read for seconds.
    fn send(&mut self, port: Port, bytes: &[u8]) -> std::io::Result<()>;
    /// Stops it permanently and writes its state, memory and devices, to
    /// `file`.
    ///
    /// # Errors
    /// Fails with [`Unsupported`](std::io::ErrorKind::Unsupported) if the
    /// hypervisor cannot save machines, or with its error.
    fn save(&mut self, file: &File) -> std::io::Result<()> {
        let _ = file;
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Sends a non-maskable interrupt to every CPU. A kernel with a debugger
    /// enters it, wherever it hangs.
    ///
    /// # Errors
    /// Fails when the machine has ended, and with
    /// [`Unsupported`](std::io::ErrorKind::Unsupported) if the hypervisor has
    /// no such interrupt.
    fn nmi(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Returns how long each thread that runs it has been ready and had to wait
    /// for a processor of the host; nothing where the host does not say.
    fn waits(&self) -> Waits {
        Waits::new()
    }
    /// Kills it. [`Event::Ended`] follows.
    fn kill(&mut self);
    /// Returns whether [`Notice::Running`] is sent when the guest begins to run.
    fn reports_running(&self) -> bool {
        false
    }
}

/// The receiving end of a machine's events.
#[derive(Debug)]
pub struct Inbox {
    events: Option<Receiver<Event>>,
    waker: SyncSender<Event>,
}

/// Returns a new channel for a machine's events.
pub fn channel() -> (SyncSender<Event>, Inbox) {
    let (tx, rx) = sync_channel(BACKLOG);
    let inbox = Inbox {
        events: Some(rx),
        waker: tx.clone(),
    };
    (tx, inbox)
}

impl Inbox {
    /// Waits for the next event and returns it, or none at the `deadline`.
    pub fn next(&self, deadline: Instant) -> Option<Event> {
        let events = self.events.as_ref()?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match events.recv_timeout(left) {
                Ok(event) => return Some(event),
                // The wait may end early for this clock.
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return None,
            }
        }
    }

    /// Lets `interrupt` end the waits of [`Self::next`].
    pub fn cancel_on(&self, interrupt: &Interrupt) {
        interrupt.notify(self.waker.clone());
    }

    /// Closes the channel. Any sender fails from then on.
    pub fn close(&mut self) {
        self.events = None;
    }
}

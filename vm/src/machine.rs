//! What the runner needs of a machine, whichever program plays it.

use std::fs::File;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::exit::Exit;
use crate::interrupt::Interrupt;

/// Most bytes in one chunk of a port.
pub const CHUNK: usize = 16 * 1024;

/// Chunks that may wait for the reader; a guest that writes faster has to
/// wait, so that a flood costs no memory.
const BACKLOG: usize = 32;

/// Something that happened to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes of a serial port, at most [`CHUNK`] of them.
    Output(Port, Vec<u8>),
    /// Something the machine's monitor told.
    Notice(Notice),
    /// The machine ended. All of its output came before this; nothing follows.
    Ended(Exit),
    /// Nothing: have a look at the [`Interrupt`] flag.
    Interrupted,
}

/// A serial port of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The first: the kernel's console.
    Console,
    /// The second: the result channel.
    Result,
}

/// What a machine's monitor tells about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The machine runs: from its start, or as it was loaded.
    Running,
    /// The machine was reset (and, as it was told, ends).
    Reset,
    /// The guest told its panic device.
    GuestPanicked,
    /// The machine stands still.
    Stopped,
    /// The host's disk refused the guest's reading or writing.
    DiskError(String),
}

/// A running (or ended) machine. Dropping one ends it and waits for its end.
pub trait Machine: Send {
    /// Its events.
    fn inbox(&self) -> &Inbox;
    /// Sends bytes to the guest.
    ///
    /// # Errors
    /// The machine is gone, or its guest has not read for seconds.
    fn send(&mut self, port: Port, bytes: &[u8]) -> std::io::Result<()>;
    /// Makes it stand still for good and writes its state, memory and devices,
    /// to `file`.
    ///
    /// # Errors
    /// What plays the machine cannot, or failed to.
    fn save(&mut self, file: &File) -> std::io::Result<()> {
        let _ = file;
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Sends every CPU a non-maskable interrupt: a kernel with a debugger
    /// enters it, whatever it hangs in.
    ///
    /// # Errors
    /// The machine is gone; [`Unsupported`](std::io::ErrorKind::Unsupported)
    /// where this kind of machine has no such thing.
    fn nmi(&mut self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Ends it at once; [`Event::Ended`] follows.
    fn kill(&mut self);
}

/// The receiving end of a machine's events.
#[derive(Debug)]
pub struct Inbox {
    events: Option<Receiver<Event>>,
    waker: SyncSender<Event>,
}

/// A channel for a machine's events.
pub fn channel() -> (SyncSender<Event>, Inbox) {
    let (tx, rx) = sync_channel(BACKLOG);
    let inbox = Inbox {
        events: Some(rx),
        waker: tx.clone(),
    };
    (tx, inbox)
}

impl Inbox {
    /// Waits for the next event; none if there is none until `deadline`.
    pub fn next(&self, deadline: Instant) -> Option<Event> {
        let events = self.events.as_ref()?;
        let left = deadline.saturating_duration_since(Instant::now());
        events.recv_timeout(left).ok()
    }

    /// Has `interrupt` end the waits of [`Self::next`].
    pub fn cancel_on(&self, interrupt: &Interrupt) {
        interrupt.notify(self.waker.clone());
    }

    /// Lets go of all events: whoever still sends fails at once.
    pub fn close(&mut self) {
        self.events = None;
    }
}

//! A request to stop, from a signal handler's thread to whatever waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use crate::machine::Event;

/// A flag that also wakes every wait of every machine that knows it. Clones
/// share the flag.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: AtomicBool,
    sleepers: Mutex<Vec<SyncSender<Event>>>,
}

impl Interrupt {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and ends the waits. Not for use inside a raw signal
    /// handler (it takes a lock); the `ctrlc` crate's thread is fine.
    pub fn trigger(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        // A full channel means that its reader is awake and will look at the
        // flag; a closed one has no reader any more.
        self.lock().retain(|tx| {
            !matches!(
                tx.try_send(Event::Interrupted),
                Err(TrySendError::Disconnected(_))
            )
        });
    }

    /// Whether it was triggered.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// Has `sleeper` woken when the flag is set.
    pub(crate) fn notify(&self, sleeper: SyncSender<Event>) {
        self.lock().push(sleeper);
        if self.is_set() {
            self.trigger();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SyncSender<Event>>> {
        self.0
            .sleepers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

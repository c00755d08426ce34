//! Passes a request to stop from a signal handler's thread to everything that
//! waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use crate::machine::Event;

/// A flag that also ends the waits of every machine that is registered. Clones
/// share the flag.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: AtomicBool,
    sleepers: Mutex<Vec<SyncSender<Event>>>,
}

impl Interrupt {
    /// Returns a flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and ends the waits. It takes a lock, so a raw signal
    /// handler must not call it; the thread of the `ctrlc` crate may.
    pub fn trigger(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        // The reader of a full channel is awake and will check the flag. A
        // closed channel has no reader.
        self.lock().retain(|tx| {
            !matches!(
                tx.try_send(Event::Interrupted),
                Err(TrySendError::Disconnected(_))
            )
        });
    }

    /// Returns whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// Registers `sleeper`, which is notified when the flag is set.
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

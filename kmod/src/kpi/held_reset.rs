//! Resets of a software NIC that a test interrupts.

use super::time;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use kdk_nic82599::registers::{CTRL, CTRL_RST};

/// Resets complete.
const RELEASED: u32 = 0;
/// The next reset is held.
const ARMED: u32 = 1;
/// A thread is held.
const HELD: u32 = 2;

/// Holds the driver's thread in a reset. The thread owns the context lock of
/// iflib(9), and no mutex.
#[derive(Debug, Default)]
pub struct HeldReset(AtomicU32);

impl HeldReset {
    /// Holds the thread that resets the NIC next, until [`release`](Self::release).
    pub fn arm(&self) {
        self.0.store(ARMED, Ordering::SeqCst);
    }

    /// Returns whether a thread is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.load(Ordering::SeqCst) == HELD
    }

    /// Lets the thread continue, and holds no other.
    pub fn release(&self) {
        self.0.store(RELEASED, Ordering::SeqCst);
    }

    /// Sleeps after the write that begins a reset, if it is to be held.
    pub(super) fn at_write(&self, register: u32, value: u32) {
        let (order, resets) = (Ordering::SeqCst, register == CTRL && value & CTRL_RST != 0);
        if resets && self.0.compare_exchange(ARMED, HELD, order, order).is_ok() {
            while self.is_held() {
                time::sleep(Duration::from_millis(1));
            }
        }
    }
}

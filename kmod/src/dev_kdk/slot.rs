//! The slot for running tests. There is one: the leak checks of two runs at
//! once would count each other's resources.

use crate::kpi::Locked;
use crate::kpi::errno::Errno;

static TAKEN: Locked<bool> = Locked::new(false);

/// The right to run tests, until it is dropped.
#[derive(Debug)]
pub struct Slot(());

impl Slot {
    /// Takes the slot.
    ///
    /// # Errors
    /// Returns `EBUSY` if another descriptor has it.
    pub fn take() -> Result<Self, Errno> {
        TAKEN.with(|taken| {
            if core::mem::replace(taken, true) {
                return Err(Errno::EBUSY);
            }
            Ok(Self(()))
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        TAKEN.with(|taken| *taken = false);
    }
}

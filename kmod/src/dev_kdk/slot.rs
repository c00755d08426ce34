//! One run at a time: tests of two runs would see each other's leaks.

use crate::kpi::Locked;
use crate::kpi::errno::Errno;

static TAKEN: Locked<bool> = Locked::new(false);

/// The right to run tests, while it lives.
#[derive(Debug)]
pub struct Slot(());

impl Slot {
    /// Takes the slot.
    ///
    /// # Errors
    /// `EBUSY` when another run has it.
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

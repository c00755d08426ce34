//! A guest at the first moment of its user space, saved once and loaded as
//! often as a fresh kernel is wanted: what the host has to remember of it. The
//! machine's own state, memory and devices, is in a file of QEMU's beside it.

use std::fs::File;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{InfraError, RunError};
use crate::machine::Machine;
use crate::panic::ConsoleMatch;
use crate::protocol::{Hello, TestEntry};
use crate::session::{Logs, Session, Setup};

/// What is known of a saved guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// What it said of itself.
    pub hello: Hello,
    /// The tests it has.
    pub tests: Vec<TestEntry>,
    /// What the console showed while it booted.
    pub complaints: Vec<ConsoleMatch>,
    /// How long it took to come up.
    pub booted_in: Duration,
}

/// Boots a machine, asks for its tests, and saves it to `file`. No test has run on it, and it does not know yet what
/// time it is: whoever loads it [tells it](Session::resume).
///
/// # Errors
/// See [`Session::boot`]; [`InfraError::Save`] when QEMU did not save it.
pub fn save(
    machine: Box<dyn Machine>,
    file: &File,
    logs: Logs,
    setup: &Setup<'_>,
) -> Result<Saved, RunError> {
    let mut session = Session::boot(machine, logs, setup)?;
    let tests = session.list()?;
    session.quiesce()?;
    let saved = session.machine().save(file);
    saved.map_err(|error| InfraError::Save {
        why: error.to_string(),
    })?;
    Ok(Saved {
        hello: session.hello().clone(),
        tests,
        complaints: session.unclaimed(),
        booted_in: session.boot_time(),
    })
}

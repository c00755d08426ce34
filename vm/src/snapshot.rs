//! Saves a guest at the first moment of its user space, so that it can be
//! restored for every test. This is the host's record of it; a file of QEMU has
//! the machine's memory and devices.

use std::fs::File;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{InfraError, RunError};
use crate::machine::Machine;
use crate::panic::ConsoleMatch;
use crate::protocol::{Hello, TestEntry};
use crate::session::{Logs, Session, Setup};

/// The record of a saved guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The guest's hello.
    pub hello: Hello,
    /// The tests of the guest.
    pub tests: Vec<TestEntry>,
    /// The console matches of its boot.
    pub complaints: Vec<ConsoleMatch>,
    /// The time that it took to boot.
    pub booted_in: Duration,
}

/// Boots a machine, asks for its tests, and saves it to `file`. No test has run
/// on it, and its clock is not set: [`Session::resume`] sets it after the guest
/// is restored.
///
/// # Errors
/// Fails as [`Session::boot`] does, and with [`InfraError::Save`] when QEMU
/// cannot save it.
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

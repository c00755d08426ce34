//! All that a run has found out.

use crate::error::{InfraError, RunError};
use crate::panic::ConsoleMatch;
use crate::protocol::Hello;
use crate::verdict::{ExitClass, Outcome, Summary};

/// What a run has found out.
#[derive(Debug, Default)]
pub struct Report {
    /// What the first guest said of itself; none if none came up.
    pub hello: Option<Hello>,
    /// Every selected test, each once, in the order it was run in.
    pub outcomes: Vec<Outcome>,
    /// What the console showed outside of tests.
    pub complaints: Vec<ConsoleMatch>,
    /// From each machine's start to its hello, milliseconds; 0 if none came.
    pub boots: Vec<u64>,
    /// Why the run ended early, if it did.
    pub error: Option<RunError>,
    /// Why a log is not whole, if one is not.
    pub log_error: Option<InfraError>,
}

impl Report {
    /// The counts.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.outcomes)
    }

    /// The process exit code that this run deserves: why it ended early comes
    /// first, then its tests, then a log that is not whole.
    pub fn exit_code(&self) -> u8 {
        if let Some(error) = &self.error {
            return error.exit_code();
        }
        match (ExitClass::of(self.summary()), &self.log_error) {
            (ExitClass::Good, Some(_)) => ExitClass::Infra.code(),
            (class, _) => class.code(),
        }
    }
}

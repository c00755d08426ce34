//! The report of a run.

use crate::error::{InfraError, RunError};
use crate::panic::ConsoleMatch;
use crate::protocol::Hello;
use crate::verdict::{ExitClass, Outcome, Summary};

/// The results of a run.
#[derive(Debug, Default)]
pub struct RunReport {
    /// The hello of the first guest, or none if no guest booted.
    pub hello: Option<Hello>,
    /// The outcome of every case, in the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// The console matches outside of tests.
    pub complaints: Vec<ConsoleMatch>,
    /// The time from each machine's start to its hello, in milliseconds; 0
    /// without a hello.
    pub boots: Vec<u64>,
    /// The reason why the run ended early, if it did.
    pub error: Option<RunError>,
    /// The reason why a log is incomplete, if one is.
    pub log_error: Option<InfraError>,
}

impl RunReport {
    /// Returns the number of tests by verdict.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.outcomes)
    }

    /// Returns the process exit code of this run. The error that ended it early
    /// has priority over the tests, and these over an incomplete log.
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

//! The event stream of a run.
//!
//! Phases emit events. The terminal, the JSON report, JUnit and the tests of
//! the runner all read the same events.

use std::fmt;

use kdk_vm::verdict::Outcome;
use serde::{Deserialize, Serialize};

/// A phase of a run, in the order in which phases happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Find the base, the series and the tools.
    Resolve,
    /// Check the patched tree out.
    Tree,
    /// Build the kernel (and the loader).
    Kernel,
    /// Build the module `kdk.ko`.
    Kmod,
    /// Build init and the suites.
    Userland,
    /// Build the root file system image.
    Image,
    /// Start the machine and wait for user space.
    Boot,
    /// Run the tests.
    Tests,
    /// Write the reports.
    Report,
}

impl Phase {
    /// Returns the name of the phase, as messages and reports show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Tree => "tree",
            Self::Kernel => "kernel",
            Self::Kmod => "kmod",
            Self::Userland => "userland",
            Self::Image => "image",
            Self::Boot => "boot",
            Self::Tests => "tests",
            Self::Report => "report",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The result of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhaseResult {
    /// The phase succeeded, or found an earlier result to reuse.
    Done,
    /// The phase failed; the text is the first line of the failure.
    Failed(String),
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A phase began.
    Start {
        /// The phase that this is about.
        phase: Phase,
    },
    /// A phase prints a message.
    Line {
        /// The phase that this is about.
        phase: Phase,
        /// One line, without its newline.
        text: String,
    },
    /// A phase made progress.
    Progress {
        /// The phase that this is about.
        phase: Phase,
        /// The number of finished units.
        done: u64,
        /// The total number of units; 0 if it is not known.
        total: u64,
        /// The unit, such as "objects" or "bytes".
        unit: &'static str,
    },
    /// A phase ended.
    End {
        /// The phase that this is about.
        phase: Phase,
        /// The result of the phase.
        result: PhaseResult,
        /// The duration in milliseconds.
        ms: u64,
        /// Whether the phase reused an earlier result.
        cached: bool,
        /// The reason for the work, or `unchanged`.
        why: String,
    },
    /// A guest reported that its user space is up.
    Up {
        /// The time from its start to its hello, in milliseconds.
        ms: u64,
        /// The output of `uname -v` in the guest.
        uname: String,
    },
    /// A test ended.
    Test(Outcome),
    /// The verdict of a finished test changed, because the kernel crashed
    /// afterwards.
    Revised(Outcome),
}

/// A receiver of the events of a run. Guests and builds emit events from
/// threads of their own.
pub trait Sink: Send + Sync {
    /// Receives one event. It returns no error, because a failing receiver must
    /// not end the run.
    fn emit(&self, event: Event);
}

/// Returns `time` in whole milliseconds.
pub fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! The event stream of a run: what every phase says while it works.
//!
//! Phases write events; the terminal, the JSON report, JUnit and the tests of
//! the runner all read the same ones.

use std::fmt;

use kdk_vm::verdict::Outcome as TestOutcome;
use serde::{Deserialize, Serialize};

/// A stage of a run, in the order they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Find the base, the series and the tools.
    Resolve,
    /// Check the patched tree out.
    Tree,
    /// Build the kernel (and the loader).
    Kernel,
    /// Build `kdk.ko`.
    Kmod,
    /// Build init and the suites.
    Userland,
    /// Make the root file system.
    Image,
    /// Start the machine and wait for user space.
    Boot,
    /// Run the tests.
    Tests,
    /// Write the reports.
    Report,
}

impl Phase {
    /// The name people and reports use.
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

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work, or found it done already.
    Done,
    /// It failed; the text is the failure's top line.
    Failed(String),
}

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A phase began.
    Start {
        /// Which.
        phase: Phase,
    },
    /// A phase has something to say.
    Line {
        /// Which.
        phase: Phase,
        /// One line, without its end.
        text: String,
    },
    /// A phase got further.
    Progress {
        /// Which.
        phase: Phase,
        /// Units finished.
        done: u64,
        /// Units in all; 0 when not known.
        total: u64,
        /// What is counted ("objects", "bytes").
        unit: &'static str,
    },
    /// A phase ended.
    End {
        /// Which.
        phase: Phase,
        /// How.
        result: Outcome,
        /// How long it took, in milliseconds.
        ms: u64,
        /// Whether an earlier result was reused.
        cached: bool,
        /// Why it had to work, or why it had not ("unchanged").
        why: String,
    },
    /// A machine came up.
    Up {
        /// From its start to its hello, in milliseconds.
        ms: u64,
        /// What its kernel calls itself.
        uname: String,
    },
    /// A test ended.
    Test(TestOutcome),
    /// The verdict on a test that had ended has changed: the kernel died of it
    /// afterwards.
    Revised(TestOutcome),
}

/// Who listens to a run. Guests and builds report from threads of their own.
pub trait Sink: Send + Sync {
    /// Takes one event. A listener's own trouble must not end the run, so
    /// there is no error to return.
    fn emit(&self, event: Event);
}

/// A time in whole milliseconds.
pub fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

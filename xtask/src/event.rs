//! The event stream of a run: what every phase says while it works.
//!
//! Phases write events; the terminal, the JSON report, JUnit and the tests of
//! the runner all read the same ones.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::{Duration, Instant};

use kdk_vm::verdict::Outcome as Verdict;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

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
pub enum Event<T = Verdict> {
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
    /// A test ended.
    Test(T),
}

/// Who listens to a run. Guests and builds report from threads of their own.
pub trait Sink<T = Verdict>: Send + Sync {
    /// Takes one event. A listener's own trouble must not end the run, so
    /// there is no error to return.
    fn emit(&self, event: Event<T>);
}

/// Runs one phase: emits its start, runs `work`, emits its end with the time
/// it took.
pub fn phase<T>(
    sink: &dyn Sink,
    phase: Phase,
    work: impl FnOnce(&Running<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    sink.emit(Event::Start { phase });
    let running = Running {
        sink,
        phase,
        cached: Cell::new(false),
        why: RefCell::default(),
    };
    let begun = Instant::now();
    let result = work(&running);
    sink.emit(Event::End {
        phase,
        result: match &result {
            Ok(_) => Outcome::Done,
            Err(failure) => Outcome::Failed(failure.to_string()),
        },
        ms: milliseconds(begun.elapsed()),
        cached: running.cached.get(),
        why: running.why.take(),
    });
    result
}

/// A phase at work: what it may say.
pub struct Running<'a> {
    sink: &'a dyn Sink,
    phase: Phase,
    cached: Cell<bool>,
    why: RefCell<String>,
}

impl<'a> Running<'a> {
    /// Says one line.
    pub fn line(&self, text: impl Into<String>) {
        let (phase, text) = (self.phase, text.into());
        self.sink.emit(Event::Line { phase, text });
    }

    /// Says how far it got; `total` is 0 when not known.
    pub fn progress(&self, done: u64, total: u64, unit: &'static str) {
        let phase = self.phase;
        self.sink.emit(Event::Progress {
            phase,
            done,
            total,
            unit,
        });
    }

    /// Records why there is work to do.
    pub fn because(&self, why: impl Into<String>) {
        self.why.replace(why.into());
    }

    /// Records that an earlier result is reused, and why it may be.
    pub fn cached(&self, why: impl Into<String>) {
        self.cached.set(true);
        self.because(why);
    }

    /// The stream itself, for threads that outlive a borrow of the phase.
    pub fn sink(&self) -> &'a dyn Sink {
        self.sink
    }

    /// Which phase this is.
    pub fn phase(&self) -> Phase {
        self.phase
    }
}

/// A time in whole milliseconds.
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Log(Mutex<Vec<Event>>);

    impl Sink for Log {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn a_phase_starts_speaks_and_ends() {
        let log = Log::default();
        let got = phase(&log, Phase::Kernel, |p| {
            p.because("never built");
            p.line("configuring");
            p.progress(1, 2, "objects");
            Ok(7)
        });
        assert_eq!(got.unwrap(), 7);
        let events = log.0.lock().unwrap();
        assert!(matches!(
            events[0],
            Event::Start {
                phase: Phase::Kernel
            }
        ));
        assert!(matches!(&events[1], Event::Line { text, .. } if text == "configuring"));
        assert!(matches!(
            events[2],
            Event::Progress {
                done: 1,
                total: 2,
                ..
            }
        ));
        assert!(matches!(
            &events[3],
            Event::End { result: Outcome::Done, cached: false, why, .. } if why == "never built"
        ));
        assert_eq!(events.len(), 4);
    }

    #[test]
    fn a_failed_phase_still_ends() {
        let log = Log::default();
        let got: Result<(), _> = phase(&log, Phase::Tree, |_| {
            Err(Failure::infra("check the tree out", "the disk is full"))
        });
        assert!(got.is_err());
        let events = log.0.lock().unwrap();
        assert!(matches!(
            &events[1],
            Event::End { result: Outcome::Failed(text), .. } if text == "could not check the tree out"
        ));
    }

    #[test]
    fn names_are_those_of_the_report() {
        for phase in [Phase::Resolve, Phase::Kmod, Phase::Report] {
            let json = serde_json::to_string(&phase).unwrap();
            assert_eq!(json, format!("\"{phase}\""));
        }
    }
}

//! Listens to a run for its report, and passes everything on to a person.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kdk_vm::verdict::{Outcome as TestOutcome, Verdict};

use crate::json::PhaseEntry;
use kdk_core::event::{Event, Outcome, Phase, Sink, milliseconds};
use kdk_core::failure::Failure;

/// A sink that remembers the phases, and when each test started.
pub struct Recorder<'a> {
    next: &'a dyn Sink,
    began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    phases: Vec<PhaseEntry>,
    /// The phase that has not ended yet.
    now: Option<Phase>,
    starts: Vec<Start>,
}

/// When one test started. It may run several times, side by side.
#[derive(Debug)]
struct Start {
    name: String,
    worker: Option<usize>,
    ms: u64,
    start_ms: u64,
}

/// What a phase says at its end: whether an earlier result was reused, and why.
pub type Ended<T> = (T, bool, String);

impl<'a> Recorder<'a> {
    /// Remembers and passes on to `next`. The run begins now.
    pub fn new(next: &'a dyn Sink) -> Self {
        Self {
            next,
            began: Instant::now(),
            seen: Mutex::default(),
        }
    }

    /// The phases so far.
    pub fn phases(&self) -> Vec<PhaseEntry> {
        self.seen().phases.clone()
    }

    /// Notes on each outcome when its test started.
    pub fn stamp(&self, outcomes: &mut [TestOutcome]) {
        stamp(std::mem::take(&mut self.seen().starts), outcomes);
    }

    /// Runs one phase between its Start and its End.
    pub fn phase<T>(
        &self,
        phase: Phase,
        work: impl FnOnce() -> Result<Ended<T>, Failure>,
    ) -> Result<T, Failure> {
        self.emit(Event::Start { phase });
        let began = Instant::now();
        let done = work();
        let ms = milliseconds(began.elapsed());
        let (result, cached, why) = match &done {
            Ok((_, cached, why)) => (Outcome::Done, *cached, why.clone()),
            Err(failure) => (Outcome::Failed(failure.to_string()), false, String::new()),
        };
        self.emit(Event::End {
            phase,
            result,
            ms,
            cached,
            why,
        });
        done.map(|(value, _, _)| value)
    }

    fn ended(&self, phase: PhaseEntry) {
        let mut seen = self.seen();
        seen.now = None;
        seen.phases.push(phase);
    }

    /// A boot is a phase of its own, unless one is told already.
    fn came_up(&self, boot: PhaseEntry) {
        let mut seen = self.seen();
        if seen.now != Some(Phase::Boot) {
            seen.phases.push(boot);
        }
    }

    /// When something started that took `ms` and has just ended.
    fn start_of(&self, ms: u64) -> u64 {
        milliseconds(self.began.elapsed()).saturating_sub(ms)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recorder<'_> {
    fn emit(&self, event: Event) {
        match &event {
            Event::End {
                phase,
                result,
                ms,
                cached,
                why,
            } => self.ended(PhaseEntry {
                name: *phase,
                ms: *ms,
                start_ms: Some(self.start_of(*ms)),
                cached: *cached,
                why: why.clone(),
                error: match result {
                    Outcome::Done => None,
                    Outcome::Failed(text) => Some(text.clone()),
                },
            }),
            Event::Start { phase } => self.seen().now = Some(*phase),
            Event::Up { ms, uname } => self.came_up(PhaseEntry {
                name: Phase::Boot,
                ms: *ms,
                start_ms: Some(self.start_of(*ms)),
                cached: false,
                why: uname.clone(),
                error: None,
            }),
            Event::Test(outcome) if outcome.verdict != Verdict::NotRun => {
                self.seen().starts.push(Start {
                    name: outcome.name.clone(),
                    worker: outcome.worker,
                    ms: outcome.ms,
                    start_ms: self.start_of(outcome.ms),
                });
            }
            Event::Line { .. } | Event::Progress { .. } | Event::Test(_) | Event::Revised(_) => {}
        }
        self.next.emit(event);
    }
}

/// Each start belongs to one outcome of the same test; among the runs of one
/// test, worker and duration tell which.
fn stamp(mut starts: Vec<Start>, outcomes: &mut [TestOutcome]) {
    for outcome in outcomes {
        let at = starts.iter().position(|start| {
            (start.name.as_str(), start.worker, start.ms)
                == (outcome.name.as_str(), outcome.worker, outcome.ms)
        });
        if let Some(at) = at {
            outcome.start_ms = Some(starts.remove(at).start_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::outcome;

    struct Deaf;

    impl Sink for Deaf {
        fn emit(&self, _: Event) {}
    }

    fn start(name: &str, worker: Option<usize>, ms: u64, start_ms: u64) -> Start {
        Start {
            name: name.into(),
            worker,
            ms,
            start_ms,
        }
    }

    #[test]
    fn each_run_of_a_test_gets_its_own_start() {
        let mut outcomes = [
            outcome("a/x", Verdict::Pass, 5),
            outcome("a/x", Verdict::Pass, 7),
            outcome("a/x", Verdict::Fail, 5),
            outcome("a/y", Verdict::NotRun, 0),
        ];
        outcomes[2].worker = Some(2);
        // The order that they ended in is another one.
        let starts = vec![
            start("a/x", Some(2), 5, 30),
            start("a/x", None, 7, 20),
            start("a/x", None, 5, 10),
        ];
        stamp(starts, &mut outcomes);
        let got = outcomes.map(|one| one.start_ms);
        assert_eq!(got, [Some(10), Some(20), Some(30), None]);
    }

    #[test]
    fn a_phase_that_failed_is_remembered_with_its_failure() {
        let recorder = Recorder::new(&Deaf);
        let failed: Result<(), Failure> = recorder.phase(Phase::Kernel, || {
            Err(Failure::build("build the kernel", "no"))
        });
        assert!(failed.is_err());
        let phases = recorder.phases();
        assert_eq!(
            phases[0].error.as_deref(),
            Some("could not build the kernel")
        );
        assert!(phases[0].start_ms.is_some());
    }

    #[test]
    fn only_tests_that_ran_and_boots_that_ended_leave_a_time() {
        let recorder = Recorder::new(&Deaf);
        let mut tests = [
            outcome("a/x", Verdict::Pass, 0),
            outcome("a/y", Verdict::NotRun, 0),
        ];
        recorder.emit(Event::Up {
            ms: 0,
            uname: "u".into(),
        });
        for test in &tests {
            recorder.emit(Event::Test(test.clone()));
        }
        recorder.emit(Event::Revised(tests[0].clone()));
        let saved = recorder.phase(Phase::Boot, || {
            let uname = "u".into();
            recorder.emit(Event::Up { ms: 0, uname });
            Ok(((), true, "saved".into()))
        });
        recorder.stamp(&mut tests);
        assert!(tests[0].start_ms.is_some() && tests[1].start_ms.is_none());
        let phases = recorder.phases();
        let why: Vec<&str> = phases.iter().map(|one| one.why.as_str()).collect();
        assert!(saved.is_ok());
        assert_eq!(why, ["u", "saved"]);
    }
}

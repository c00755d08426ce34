//! Records a run's phases for its report, and passes every event on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::json::PhaseEntry;
use kdk_core::event::{Event, Outcome, Phase, Sink, milliseconds};
use kdk_core::failure::Failure;

/// A sink that records the phases.
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

    /// Returns when the run began.
    pub fn began(&self) -> Instant {
        self.began
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

    /// A boot outside of the boot phase is a phase of its own.
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
            Event::Line { .. } | Event::Progress { .. } | Event::Test(_) | Event::Revised(_) => {}
        }
        self.next.emit(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deaf;

    impl Sink for Deaf {
        fn emit(&self, _: Event) {}
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
    fn a_boot_outside_of_the_boot_phase_is_a_phase_of_its_own() {
        let recorder = Recorder::new(&Deaf);
        let up = || Event::Up {
            ms: 0,
            uname: "u".into(),
        };
        recorder.emit(up());
        let saved = recorder.phase(Phase::Boot, || {
            recorder.emit(up());
            Ok(((), true, "saved".into()))
        });
        assert!(saved.is_ok());
        let phases = recorder.phases();
        let why: Vec<&str> = phases.iter().map(|one| one.why.as_str()).collect();
        assert_eq!(why, ["u", "saved"]);
    }
}

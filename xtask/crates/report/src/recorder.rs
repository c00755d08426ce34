//! Records the phases of a run for its report, and forwards every event.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::json::PhaseEntry;
use kdk_core::event::{Event, Phase, PhaseResult, Sink, milliseconds};
use kdk_core::failure::Failure;

/// A sink that records the phases of a run.
pub struct Recorder<'a> {
    next: &'a dyn Sink,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phases: Vec<PhaseEntry>,
    /// The phase that is running.
    now: Option<Phase>,
}

/// The output of a phase: its value, whether it reused an earlier result, and
/// why.
pub type PhaseOutput<T> = (T, bool, String);

impl<'a> Recorder<'a> {
    /// Returns a recorder that forwards events to `next`. The run begins now.
    pub fn new(next: &'a dyn Sink) -> Self {
        Self {
            next,
            began: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Returns the phases that have ended.
    pub fn phases(&self) -> Vec<PhaseEntry> {
        self.state().phases.clone()
    }

    /// Returns when the run began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Runs a phase between its Start and End events.
    pub fn phase<T>(
        &self,
        phase: Phase,
        work: impl FnOnce() -> Result<PhaseOutput<T>, Failure>,
    ) -> Result<T, Failure> {
        self.emit(Event::Start { phase });
        let began = Instant::now();
        let done = work();
        let ms = milliseconds(began.elapsed());
        let (result, cached, why) = match &done {
            Ok((_, cached, why)) => (PhaseResult::Done, *cached, why.clone()),
            Err(failure) => (
                PhaseResult::Failed(failure.to_string()),
                false,
                String::new(),
            ),
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
        let mut state = self.state();
        state.now = None;
        state.phases.push(phase);
    }

    /// Records a boot outside of the boot phase as a phase of its own.
    fn booted(&self, boot: PhaseEntry) {
        let mut state = self.state();
        if state.now != Some(Phase::Boot) {
            state.phases.push(boot);
        }
    }

    /// Returns the start of something that took `ms` and has just ended, in
    /// milliseconds since the run began.
    fn start_of(&self, ms: u64) -> u64 {
        milliseconds(self.began.elapsed()).saturating_sub(ms)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
                    PhaseResult::Done => None,
                    PhaseResult::Failed(text) => Some(text.clone()),
                },
            }),
            Event::Start { phase } => self.state().now = Some(*phase),
            Event::Up { ms, uname } => self.booted(PhaseEntry {
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

    struct Discard;

    impl Sink for Discard {
        fn emit(&self, _: Event) {}
    }

    #[test]
    fn a_failed_phase_is_recorded_with_its_failure() {
        let recorder = Recorder::new(&Discard);
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
        let recorder = Recorder::new(&Discard);
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

//! Listens to a run for its report, and passes everything on to a person.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::event::{Event, Outcome, Phase, Sink, milliseconds};
use crate::failure::Failure;
use crate::report::json::PhaseEntry;

/// A sink that remembers the phases.
pub struct Recorder<'a> {
    next: &'a dyn Sink,
    phases: Mutex<Vec<PhaseEntry>>,
}

/// What a phase says at its end: whether an earlier result was reused, and why.
pub type Ended<T> = (T, bool, String);

impl<'a> Recorder<'a> {
    /// Remembers and passes on to `next`.
    pub fn new(next: &'a dyn Sink) -> Self {
        Self {
            next,
            phases: Mutex::default(),
        }
    }

    /// The phases so far.
    pub fn phases(&self) -> Vec<PhaseEntry> {
        self.phases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
}

impl Sink for Recorder<'_> {
    fn emit(&self, event: Event) {
        if let Event::End {
            phase,
            ms,
            cached,
            why,
            ..
        } = &event
        {
            let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
            phases.push(PhaseEntry {
                name: phase.name(),
                ms: *ms,
                cached: *cached,
                why: why.clone(),
            });
        }
        self.next.emit(event);
    }
}

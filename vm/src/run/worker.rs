//! A worker, which runs one batch after the other, with one guest at a time.

use std::time::Duration;

use super::Run;
use crate::clock::STANDSTILL;
use crate::error::RunError;
use crate::plan::{Batch, Case};
use crate::progress::Progress;
use crate::session::{Death, Goodbye, Ran, Session};
use crate::verdict::{Outcome, Verdict};

/// The number of times that a test runs again because the host stood still.
const RERUNS: usize = 3;

pub struct Worker<'r, 'a> {
    run: &'r Run<'a>,
    /// The number of the worker, from 1.
    id: usize,
    guest: Option<Guest<'a>>,
}

/// A guest that is running.
struct Guest<'a> {
    number: usize,
    session: Session<'a>,
    /// The index in the plan of the case that ran last on it.
    last: Option<usize>,
}

impl<'r, 'a> Worker<'r, 'a> {
    /// Returns a worker.
    pub fn new(run: &'r Run<'a>, id: usize) -> Self {
        Self {
            run,
            id,
            guest: None,
        }
    }

    /// Runs batches until none is left or the run is stopped.
    pub fn work(&mut self) {
        while let Some(batch) = self.run.next_batch() {
            if let Err(error) = self.batch(&batch) {
                self.guest = None;
                self.run.stop_for(error);
            }
        }
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), RunError> {
        for at in batch {
            match self.run.cases.get(*at) {
                Some(case) if !self.run.is_stopped() => self.case(*at, case)?,
                _ => break,
            }
        }
        self.end()
    }

    /// Runs one case, on a fresh kernel if the last one was lost. A test that
    /// did not succeed while the host stood still runs again: the guest's own
    /// clock may have counted that time. The outcome says what was discarded.
    fn case(&mut self, at: usize, case: &Case) -> Result<(), RunError> {
        let mut discarded = Vec::new();
        loop {
            let since = (self.run.stood_still)();
            let guest = self.take_guest(case);
            if let Err(RunError::Boot(error)) = &guest
                && let Some(time) = self.standstill(since, &discarded)
            {
                self.discard(case, time, &error.to_string(), &mut discarded);
                continue;
            }
            let mut guest = guest?;
            let ran = guest.session.run(&case.test);
            self.run.keep_log_error(guest.session.log_error());
            let ran = match (ran?, guest.last) {
                (Ran::NotStarted(death), Some(last)) => {
                    self.revise(last, death);
                    continue;
                }
                (ran, _) => ran,
            };
            let standstill = match may_be_late(&ran) {
                true => self.standstill(since, &discarded),
                false => None,
            };
            let (mut outcome, lives) = match ran {
                Ran::Done(outcome) => (outcome, true),
                Ran::Lost(outcome) => (outcome, false),
                Ran::NotStarted(death) => (before_start(case, death), false),
            };
            // A kernel that dies now is not late.
            let ended = match standstill {
                Some(_) if lives => self.end_guest(&mut guest),
                _ => Ok(None),
            };
            if let (Some(time), Ok(None)) = (standstill, &ended) {
                let said = format!("{}: {}", outcome.verdict, outcome.detail);
                self.discard(case, time, &said, &mut discarded);
                continue;
            }
            let detail = std::mem::take(&mut outcome.detail);
            outcome.detail = joined([detail].into_iter().chain(discarded));
            self.finished(at, case, outcome, &guest);
            match ended? {
                Some(death) => self.revise(at, death),
                None if lives => {
                    guest.last = Some(at);
                    self.guest = Some(guest);
                }
                None => {}
            }
            return Ok(());
        }
    }

    /// Returns how long the host has stood still since `since`, if a case that
    /// did not succeed runs again for that.
    fn standstill(&self, since: Duration, discarded: &[String]) -> Option<Duration> {
        let stood_still = (self.run.stood_still)().saturating_sub(since);
        (stood_still >= STANDSTILL && discarded.len() < RERUNS).then_some(stood_still)
    }

    /// Discards what a case `said`, because the host stood still for `time`.
    fn discard(&self, case: &Case, time: Duration, said: &str, discarded: &mut Vec<String>) {
        let secs = time.as_secs_f64();
        let name = &case.test.name;
        self.run.emit(Progress::Note(&format!(
            "the host stood still for {secs:.1} s: {name} runs again"
        )));
        discarded.push(format!(
            "run again after the host stood still for {secs:.1} s; before: {}",
            said.trim_end_matches([' ', ':'])
        ));
    }

    /// Returns the guest of this batch, whose cases have the same machine.
    fn take_guest(&mut self, case: &Case) -> Result<Guest<'a>, RunError> {
        if let Some(guest) = self.guest.take() {
            return Ok(guest);
        }
        let (number, session) = self.run.ready(case)?;
        Ok(Guest {
            number,
            session,
            last: None,
        })
    }

    fn finished(&self, at: usize, case: &Case, mut outcome: Outcome, guest: &Guest<'_>) {
        outcome.cpus = case.size.cpus;
        outcome.machine = Some(guest.number);
        outcome.seed = Some(case.run_seed);
        outcome.worker = Some(self.id);
        self.run.finished(at, outcome);
    }

    /// Revises the outcome of the last test, because the kernel died after it.
    /// Nothing else ran in between, so that test is at fault.
    fn revise(&self, at: usize, death: Death) {
        let revised = self.run.found().outcomes.get_mut(&at).map(|outcome| {
            let reported = format!("after it had reported {}: ", outcome.verdict);
            let before = std::mem::take(&mut outcome.detail);
            outcome.detail = joined([format!("{reported}{}", death.detail()), before]);
            outcome.verdict = death.verdict;
            outcome.backtrace = death.backtrace;
            outcome.registers = death.registers;
            outcome.console = death.console;
            outcome.clone()
        });
        if let Some(mut outcome) = revised {
            self.run.emit(Progress::Revised(&mut outcome));
            self.run.found().outcomes.insert(at, outcome);
        }
    }

    fn end(&mut self) -> Result<(), RunError> {
        let Some(mut guest) = self.guest.take() else {
            return Ok(());
        };
        if let (Some(death), Some(last)) = (self.end_guest(&mut guest)?, guest.last) {
            self.revise(last, death);
        }
        Ok(())
    }

    /// Ends the guest's machine. A damaged kernel fails now at the latest:
    /// returns how it died.
    fn end_guest(&self, guest: &mut Guest<'_>) -> Result<Option<Death>, RunError> {
        let death = match guest.session.end()? {
            Goodbye::Clean => None,
            Goodbye::Odd(why) => {
                self.run.emit(Progress::Note(&why));
                None
            }
            Goodbye::Died(death) => Some(death),
        };
        let late = guest.session.unclaimed();
        self.run.found().report.complaints.extend(late);
        self.run.keep_log_error(guest.session.log_error());
        Ok(death)
    }
}

/// Returns whether a test may have ended this way because its kernel did not
/// run for some time.
fn may_be_late(ran: &Ran) -> bool {
    let is_late = |verdict| matches!(verdict, Verdict::Fail | Verdict::Timeout);
    match ran {
        Ran::Done(outcome) | Ran::Lost(outcome) => is_late(outcome.verdict),
        Ran::NotStarted(death) => is_late(death.verdict),
    }
}

/// Returns the texts that are not empty, each on lines of its own.
fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let texts = texts.into_iter().filter(|text| !text.is_empty());
    texts.collect::<Vec<String>>().join("\n")
}

fn before_start(case: &Case, death: Death) -> Outcome {
    Outcome {
        detail: format!("before it started: {}", death.detail()),
        backtrace: death.backtrace,
        registers: death.registers,
        console: death.console,
        ..Outcome::without_verdict(&case.test, death.verdict)
    }
}

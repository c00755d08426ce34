//! A worker, which runs one batch after the other, with one guest at a time.

use std::time::Duration;

use super::Run;
use crate::clock;
use crate::error::RunError;
use crate::plan::{Batch, Case};
use crate::progress::Progress;
use crate::session::{Death, Goodbye, Ran, Session};
use crate::verdict::{Outcome, Verdict};

/// The time that the host stands still after which a guest may have missed its
/// own time limits.
const STANDSTILL: Duration = Duration::from_secs(1);

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
    /// clock may have counted that time.
    fn case(&mut self, at: usize, case: &Case) -> Result<(), RunError> {
        let mut reruns = 0;
        loop {
            let since = clock::stood_still();
            let guest = self.take_guest(case);
            if matches!(guest, Err(RunError::Boot(_))) && self.runs_again(case, since, &mut reruns)
            {
                continue;
            }
            let mut guest = guest?;
            let ran = guest.session.run(&case.test);
            self.run.keep_log_error(guest.session.log_error());
            let ran = ran?;
            if may_be_late(&ran) && self.runs_again(case, since, &mut reruns) {
                continue;
            }
            match ran {
                Ran::Done(outcome) => {
                    self.finished(at, case, outcome, &guest);
                    guest.last = Some(at);
                    self.guest = Some(guest);
                    return Ok(());
                }
                Ran::Lost(outcome) => {
                    self.finished(at, case, outcome, &guest);
                    return Ok(());
                }
                Ran::NotStarted(death) => match guest.last {
                    Some(last) => self.revise(last, death),
                    None => {
                        self.finished(at, case, before_start(case, death), &guest);
                        return Ok(());
                    }
                },
            }
        }
    }

    /// Returns whether a case that did not succeed runs again, because the host
    /// stood still since `since`.
    fn runs_again(&self, case: &Case, since: Duration, reruns: &mut usize) -> bool {
        let stood_still = clock::stood_still().saturating_sub(since);
        if stood_still < STANDSTILL || *reruns == RERUNS {
            return false;
        }
        *reruns += 1;
        self.run.emit(Progress::Note(&format!(
            "the host stood still for {:.1} s: {} runs again",
            stood_still.as_secs_f64(),
            case.test.name
        )));
        true
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
        outcome.worker = Some(self.id);
        self.run.finished(at, outcome);
    }

    /// Revises the outcome of the last test, because the kernel died after it.
    /// Nothing else ran in between, so that test is at fault.
    fn revise(&self, at: usize, death: Death) {
        let revised = self.run.found().outcomes.get_mut(&at).map(|outcome| {
            let reported = format!("after it had reported {}: ", outcome.verdict);
            let before = std::mem::take(&mut outcome.detail);
            outcome.detail = [format!("{reported}{}", death.detail()), before]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<String>>()
                .join("\n");
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

    /// Ends the guest's machine. A damaged kernel fails now at the latest.
    fn end(&mut self) -> Result<(), RunError> {
        let Some(mut guest) = self.guest.take() else {
            return Ok(());
        };
        match guest.session.end()? {
            Goodbye::Clean => {}
            Goodbye::Odd(why) => self.run.emit(Progress::Note(&why)),
            Goodbye::Died(death) => {
                if let Some(last) = guest.last {
                    self.revise(last, death);
                }
            }
        }
        let late = guest.session.unclaimed();
        self.run.found().report.complaints.extend(late);
        self.run.keep_log_error(guest.session.log_error());
        Ok(())
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

fn before_start(case: &Case, death: Death) -> Outcome {
    Outcome {
        detail: format!("before it started: {}", death.detail()),
        backtrace: death.backtrace,
        registers: death.registers,
        console: death.console,
        ..Outcome::without_verdict(&case.test, death.verdict)
    }
}

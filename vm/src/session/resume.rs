//! Resumes a guest with the time and a seed, before its first test.

use std::time::{Duration, Instant as HostInstant, SystemTime, UNIX_EPOCH};

use kdk_harness::Resume;

use super::boot::{failed, hung, lost};
use super::link::{Link, Tick};
use super::pace::Speed;
use super::{Limits, Logs, Session, Setup};
use crate::error::{BootError, BootFault, RunError};
use crate::machine::Machine;
use crate::phase::Phase;
use crate::protocol::{Hello, Line, Resumed};

/// The largest accepted difference between the guest's clock and the time that
/// it was set to.
const APART: Duration = Duration::from_secs(5);

impl<'a> Session<'a> {
    /// Starts a session with a guest that was saved after its `hello`. The
    /// guest must be [resumed](Session::resume) before its first test.
    ///
    /// # Errors
    /// Fails when the state cannot be restored, or on an interruption.
    pub fn restore(
        machine: Box<dyn Machine>,
        logs: Logs,
        setup: &Setup<'a>,
        hello: &Hello,
    ) -> Result<Self, RunError> {
        let mut link = Link::new(machine, logs, setup);
        link.phase = Phase::Init;
        let deadline = link.now() + setup.limits.load;
        // Bytes for a machine that is still being restored are lost.
        while !link.running {
            let tick = link.tick(deadline)?;
            if matches!(tick, Tick::Died | Tick::Ended) {
                return Err(lost(&mut link, &setup.limits));
            }
            if link.now() >= deadline {
                link.check_running(setup.limits.load)?;
                return Err(failed(&mut link, BootFault::TooLong(setup.limits.load)).into());
            }
        }
        link.boot_time = link.started.elapsed();
        Ok(Self {
            link,
            limits: setup.limits,
            known: setup.known,
            hello: hello.clone(),
            speed: Speed::default(),
            claimed: 0,
        })
    }

    /// Sends the time and a seed to the guest. Returns a random number of the
    /// guest.
    ///
    /// # Errors
    /// Fails with [`RunError::Boot`] when the guest dies, does not answer, or
    /// has another time afterwards, and otherwise when the host is at fault or
    /// on an interruption.
    pub fn resume(&mut self, seed: u64) -> Result<u64, RunError> {
        self.resume_at(now(), seed)
    }

    /// Does what [`Session::resume`] does, with this time of day. The guest's
    /// answer is compared with the time that it was set to and with what has
    /// passed since, never with the host's clock, which may have been set in
    /// between. The answer may be older than this moment by any time in which
    /// this process did not run.
    pub(super) fn resume_at(&mut self, time: Duration, seed: u64) -> Result<u64, RunError> {
        let given = HostInstant::now();
        self.link.send(&command(time, seed).to_string());
        let answer = self.answer(|line| match line {
            Line::Resumed(fields) => Some(fields.to_owned()),
            _ => None,
        })?;
        let latest = time + given.elapsed();
        let fault = match answer.and_then(|fields| Resumed::parse(&fields)) {
            Ok(resumed) => {
                let apart = resumed.time.abs_diff(resumed.time.clamp(time, latest));
                if apart <= APART {
                    self.speed = resumed.work_us.map(Speed::of).unwrap_or_default();
                    return Ok(resumed.random);
                }
                format!(
                    "its clock is {:.0} s from what it was set to",
                    apart.as_secs_f64()
                )
            }
            Err(what) => what,
        };
        Err(failed(&mut self.link, BootFault::Resume(fault)).into())
    }

    /// Returns the error for a guest whose random number another guest of this
    /// run had returned: its random numbers are not random.
    pub fn duplicate_entropy(&mut self, random: u64) -> BootError {
        let what = format!("its random number {random:016x} is an earlier guest's");
        failed(&mut self.link, BootFault::Resume(what))
    }

    /// Stops all activity of the guest, before its machine is saved.
    ///
    /// # Errors
    /// Fails as [`Session::resume`] does.
    pub fn quiesce(&mut self) -> Result<(), RunError> {
        self.link.send("quiesce");
        let answer = self.answer(|line| matches!(line, Line::Quiesced).then_some(()))?;
        answer.map_err(|what| failed(&mut self.link, BootFault::Resume(what)).into())
    }

    /// Waits for an answer that `is_it` accepts. The inner error is the
    /// guest's.
    fn answer<T>(
        &mut self,
        is_it: impl Fn(Line<'_>) -> Option<T>,
    ) -> Result<Result<T, String>, RunError> {
        let Limits { answer, .. } = self.limits;
        let deadline = self.link.now() + answer;
        loop {
            let tick = self.link.tick(deadline)?;
            if matches!(tick, Tick::Died | Tick::Ended) {
                return Err(lost(&mut self.link, &self.limits));
            }
            if let Tick::Line(line) = tick {
                let text = line.text();
                match Line::parse(text.trim_end()) {
                    Line::Error(why) => return Ok(Err(why.to_owned())),
                    line => {
                        if let Some(answer) = is_it(line) {
                            return Ok(Ok(answer));
                        }
                    }
                }
            }
            if self.link.now() >= deadline {
                let secs = answer.as_secs_f64();
                let why = BootFault::Resume(format!("no answer within {secs:.1} s"));
                return Err(hung(&mut self.link, &self.limits, why).into());
            }
        }
    }
}

fn command(now: Duration, seed: u64) -> Resume {
    Resume {
        seconds: now.as_secs(),
        nanoseconds: now.subsec_nanos(),
        seed,
    }
}

/// Returns the host's time of day, since 1970.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

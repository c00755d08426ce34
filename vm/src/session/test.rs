//! Runs one test, from the command to its verdict.

use std::time::Duration;

use super::link::Tick;
use super::{Death, Ran, Session};
use crate::clock::Instant;
use crate::error::InfraError;
use crate::ktap;
use crate::panic::{ConsoleMatch, Kind};
use crate::progress::Progress;
use crate::protocol::{Expect, Line, TestEntry};
use crate::verdict::{Outcome, Verdict};

/// A running test.
struct Running<'t> {
    test: &'t TestEntry,
    parser: ktap::Parser,
    /// The time of its start, or none before the guest has reported it.
    start: Option<Instant>,
    /// Other defects of its output.
    faults: Vec<String>,
}

/// How a test ended.
enum Stop {
    /// The guest reported `# done`.
    Done,
    /// The guest was lost, or stopped answering.
    Lost(Verdict, String),
}

impl Session<'_> {
    /// Runs one test.
    ///
    /// # Errors
    /// Fails when the host is at fault, or on an interruption. There is no
    /// verdict then.
    pub fn run(&mut self, test: &TestEntry) -> Result<Ran, InfraError> {
        self.claimed = self.link.scanner.matches().len();
        self.link.emit(Progress::Started(test));
        self.link.send(&format!("run {}", test.name));
        let mut running = Running {
            test,
            parser: ktap::Parser::new(),
            start: None,
            faults: Vec::new(),
        };
        match self.follow(&mut running)? {
            Stop::Done => {
                self.link.catch_up();
                Ok(Ran::Done(self.judge(running)))
            }
            Stop::Lost(verdict, why) => {
                // What follows is not the test's time.
                let ms = running.ms();
                let death = self.link.bury(&self.limits, verdict, &why, &mut |line| {
                    // It may be the start or the end of this test.
                    running.take(&line.bytes, line.truncated);
                });
                if running.start.is_none() {
                    return Ok(Ran::NotStarted(death));
                }
                Ok(Ran::Lost(lost(running, ms, death)))
            }
        }
    }

    fn follow(&mut self, running: &mut Running<'_>) -> Result<Stop, InfraError> {
        let own = self.limits.test.unwrap_or(running.test.limit) + self.limits.grace;
        let limit = self.speed.limit(own);
        let mut deadline = self.link.now() + self.limits.answer;
        let hindered = self.link.hindered();
        let mut has_started = false;
        loop {
            if running.start.is_some() && !has_started {
                has_started = true;
                deadline = self.link.now() + limit;
            }
            match self.link.tick(deadline)? {
                Tick::Line(line) => {
                    if let Some(stop) = running.take(&line.bytes, line.truncated) {
                        return Ok(stop);
                    }
                }
                Tick::Died | Tick::Ended => {
                    return Ok(Stop::Lost(Verdict::Crash, "the kernel died".into()));
                }
                Tick::Heard | Tick::Deadline => {}
            }
            // Output does not extend the time limit.
            if self.link.now() >= deadline && running.start.is_some() == has_started {
                let hindered = self.link.hindered().saturating_sub(hindered);
                let why = match running.start {
                    None => format!(
                        "the guest did not answer within {:.1} s",
                        self.limits.answer.as_secs_f64()
                    ),
                    Some(_) => no_end(limit, limit != own, hindered),
                };
                return Ok(Stop::Lost(Verdict::Timeout, why));
            }
        }
    }

    /// Returns the outcome of a test that has ended.
    fn judge(&mut self, running: Running<'_>) -> Outcome {
        let ms = running.ms();
        let (mut verdict, detail) = running.parser.finish().verdict_on(&running.test.name);
        let mut detail: Vec<String> = Some(detail).filter(|d| !d.is_empty()).into_iter().collect();
        if !running.faults.is_empty() {
            verdict = Verdict::Fail;
            detail.splice(0..0, running.faults);
        }
        if running.test.expect != Expect::Pass && verdict == Verdict::Pass {
            verdict = Verdict::Xpass;
        }
        let mut backtrace = Vec::new();
        for matched in self.complaints() {
            if verdict == Verdict::Pass || verdict == Verdict::Skip {
                verdict = Verdict::Fail;
            }
            detail.push(format!("the kernel complained: {}", matched.title));
            backtrace.extend(matched.backtrace);
        }
        let console = if backtrace.is_empty() {
            Vec::new()
        } else {
            self.link.last_lines()
        };
        Outcome {
            ms,
            detail: detail.join("\n"),
            backtrace,
            console,
            ..Outcome::without_verdict(running.test, verdict)
        }
    }

    /// Returns the kernel's warnings since the test was requested, without the
    /// known ones.
    fn complaints(&mut self) -> Vec<ConsoleMatch> {
        let known = self.known;
        let complaint = |matched: &ConsoleMatch| {
            matches!(
                matched.kind,
                Kind::LockOrder | Kind::LocksHeld | Kind::Assertion
            ) && !known.iter().any(|part| matched.title.contains(part))
        };
        let mut new = self.unclaimed();
        new.retain(complaint);
        new
    }
}

impl Running<'_> {
    fn take(&mut self, bytes: &[u8], truncated: bool) -> Option<Stop> {
        let text = String::from_utf8_lossy(bytes);
        match Line::parse(text.trim_end()) {
            Line::Hello(_) => Some(Stop::Lost(
                Verdict::Crash,
                "the guest rebooted: it said hello again".into(),
            )),
            Line::Error(why) if self.start.is_none() => {
                self.start = Some(Instant::now());
                self.faults.push(format!("the guest refused it: {why}"));
                Some(Stop::Done)
            }
            Line::Start(name) if self.start.is_none() => {
                self.start = Some(Instant::now());
                if name != self.test.name {
                    self.faults
                        .push(format!("the guest started {name} instead"));
                }
                None
            }
            Line::Start(name) => {
                self.faults
                    .push(format!("the guest started {name} meanwhile"));
                None
            }
            // A line before the start belongs to no test: an earlier test may
            // have left it.
            _ if self.start.is_none() => None,
            Line::Done(1) => Some(Stop::Done),
            Line::Done(count) => {
                self.faults
                    .push(format!("the guest was done with {count} tests, not 1"));
                Some(Stop::Done)
            }
            _ => {
                self.parser.line(bytes, truncated);
                None
            }
        }
    }

    fn ms(&self) -> u64 {
        let time = self.start.map_or(Duration::ZERO, |start| start.elapsed());
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Returns the reason for a time-out after `limit`, which has grown because the
/// guest `is_slow`, where the host did not run the machine for `hindered`.
fn no_end(limit: Duration, is_slow: bool, hindered: Duration) -> String {
    let mut text = format!("no end within {:.1} s", limit.as_secs_f64());
    if is_slow {
        text += ", a limit for a guest as slow as this one";
    }
    if hindered >= Duration::from_millis(100) {
        let secs = hindered.as_secs_f64();
        text += &format!("; {secs:.1} s in which the machine waited for the host do not count");
    }
    text
}

/// Returns the outcome of a test that ended the guest. Only its diagnostics are
/// used; a result that it reported does not count. An expected crash counts as
/// an expected failure. So does the end of the time limit if a failure is
/// expected: what the test waits for may never come because of the defect.
fn lost(running: Running<'_>, ms: u64, death: Death) -> Outcome {
    let document = running.parser.finish();
    let mut detail = vec![death.detail()];
    detail.extend(running.faults);
    let said = document.cases.first().map(|case| case.detail.clone());
    detail.extend(
        said.into_iter()
            .chain([document.loose])
            .filter(|s| !s.is_empty()),
    );
    let verdict = match (running.test.expect, death.verdict) {
        (Expect::Crash, Verdict::Crash) | (Expect::Fail, Verdict::Timeout) => Verdict::Xfail,
        (_, verdict) => verdict,
    };
    Outcome {
        ms,
        detail: detail.join("\n"),
        backtrace: death.backtrace,
        registers: death.registers,
        console: death.console,
        ..Outcome::without_verdict(running.test, verdict)
    }
}

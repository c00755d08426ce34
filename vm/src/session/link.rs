//! Logs both streams of a machine, splits them into lines, and returns one
//! event at a time.

use std::collections::VecDeque;
use std::time::Duration;

use super::debugger::{Questioning, Reach, Testimony};
use super::pace::Pace;
use super::{Death, Limits, Logs, Setup};
use crate::clock::Instant;
use crate::console::assemble::{Assembler, Overlong};
use crate::console::{Tail, clean};
use crate::ddb;
use crate::error::InfraError;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::machine::{Event, Machine, Notice, Port};
use crate::panic::Scanner;
use crate::phase::Phase;
use crate::progress::{Progress, Sink};
use crate::verdict::Verdict;

/// The time limit for reading what has already arrived.
const CATCH_UP: Duration = Duration::from_millis(100);

/// The longest wait between two samples of the machine's time.
const SAMPLE: Duration = Duration::from_millis(200);

/// The age up to which a sample is used again, since a sample has a cost.
const RECENT: Duration = Duration::from_millis(5);

/// A line of the result channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultLine {
    /// The bytes of the line.
    pub bytes: Vec<u8>,
    /// Whether the end of the line is lost.
    pub truncated: bool,
}

impl ResultLine {
    /// Returns the text, for lines of the protocol.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The result of one wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Tick {
    /// A line of the result channel.
    Line(ResultLine),
    /// There was other output, or another event.
    Heard,
    /// The console shows that the kernel died. This repeats until the death is
    /// handled.
    Died,
    /// The machine has ended.
    Ended,
    /// Nothing happened until the deadline.
    Deadline,
}

pub struct Link<'a> {
    pub machine: Box<dyn Machine>,
    pub scanner: Scanner,
    pub phase: Phase,
    pub log_error: Option<InfraError>,
    pub started: Instant,
    /// The time of the last output, in the machine's time.
    pub heard: Duration,
    pub boot_time: Duration,
    pace: Pace,
    /// Whether the machine runs.
    pub running: bool,
    interrupt: Interrupt,
    sink: Sink<'a>,
    pub logs: Logs,
    /// The dialogue with the kernel debugger, while the console belongs to it.
    pub questioning: Option<Questioning>,
    console: Assembler,
    results: Assembler,
    tail: Tail,
    pending: VecDeque<ResultLine>,
    ended: Option<Exit>,
    /// An error that occurred outside of a wait.
    late: Option<InfraError>,
    buried: bool,
}

impl<'a> Link<'a> {
    pub fn new(machine: Box<dyn Machine>, logs: Logs, setup: &Setup<'a>) -> Self {
        machine.inbox().cancel_on(&setup.interrupt);
        Self {
            machine,
            scanner: Scanner::new(),
            phase: Phase::default(),
            log_error: None,
            started: Instant::now(),
            heard: Duration::ZERO,
            boot_time: Duration::ZERO,
            pace: Pace::default(),
            running: false,
            interrupt: setup.interrupt.clone(),
            sink: setup.sink,
            logs,
            questioning: None,
            console: Assembler::new(Overlong::Split),
            results: Assembler::new(Overlong::Truncate),
            tail: Tail::default(),
            pending: VecDeque::new(),
            ended: None,
            late: None,
            buried: false,
        }
    }

    /// Returns the machine's time since its start.
    pub fn now(&mut self) -> Duration {
        let host = self.started.elapsed();
        if self.pace.is_older(host, RECENT) {
            self.pace.sample(host, self.machine.waits());
        }
        self.pace.now()
    }

    /// Returns how long the machine has waited for the host since its start.
    pub fn hindered(&self) -> Duration {
        self.pace.hindered()
    }

    /// Waits for one event, until `deadline` in the machine's time.
    pub fn tick(&mut self, deadline: Duration) -> Result<Tick, InfraError> {
        if let Some(line) = self.pending.pop_front() {
            return Ok(Tick::Line(line));
        }
        if let Some(error) = self.late.take() {
            return Err(error);
        }
        if self.interrupt.is_set() {
            return Err(InfraError::Interrupted);
        }
        if self.scanner.death().is_some() && !self.buried {
            return Ok(Tick::Died);
        }
        if let Some(exit) = &self.ended {
            return exit.infra().map_or(Ok(Tick::Ended), Err);
        }
        match self.next(deadline) {
            None => Ok(Tick::Deadline),
            Some(Event::Interrupted) => Ok(Tick::Heard),
            Some(Event::Notice(Notice::DiskError(reason))) => Err(InfraError::GuestDisk { reason }),
            Some(Event::Notice(Notice::Running)) => {
                self.running = true;
                Ok(Tick::Heard)
            }
            Some(Event::Notice(_)) => Ok(Tick::Heard),
            Some(Event::Ended(exit)) => {
                self.ended = Some(exit);
                self.tick(deadline)
            }
            Some(Event::Output(Port::Console, bytes)) => {
                self.console(&bytes);
                Ok(if self.scanner.death().is_some() && !self.buried {
                    Tick::Died
                } else {
                    Tick::Heard
                })
            }
            Some(Event::Output(Port::Result, bytes)) => {
                self.result(&bytes);
                Ok(self.pending.pop_front().map_or(Tick::Heard, Tick::Line))
            }
        }
    }

    fn next(&mut self, deadline: Duration) -> Option<Event> {
        loop {
            let left = deadline.saturating_sub(self.now());
            let until = Instant::now() + left.min(SAMPLE);
            let event = self.machine.inbox().next(until);
            if event.is_some() || left.is_zero() {
                return event;
            }
        }
    }

    /// Fails if the hypervisor would have reported by now, `after` its start,
    /// that the machine runs. Kills the machine then.
    pub fn check_running(&mut self, after: Duration) -> Result<(), InfraError> {
        if self.running || !self.machine.reports_running() {
            return Ok(());
        }
        self.machine.kill();
        Err(InfraError::NeverRan { after })
    }

    /// Reads what has already arrived, without waiting, for a limited time.
    /// Result lines and an error are kept for later: what was reported before
    /// the error is valid.
    pub fn catch_up(&mut self) {
        let until = Instant::now() + CATCH_UP;
        let mut lines = std::mem::take(&mut self.pending);
        loop {
            match self.tick(Duration::ZERO) {
                Ok(Tick::Line(line)) => lines.push_back(line),
                Ok(Tick::Heard) if Instant::now() < until => {}
                Ok(_) => break,
                Err(error) => {
                    self.late = Some(error);
                    break;
                }
            }
        }
        self.pending = lines;
    }

    /// Sends a command. A failure shows later, when the guest does not answer.
    pub fn send(&mut self, command: &str) {
        let line = format!("{command}\n");
        if let Err(error) = self.machine.send(Port::Result, line.as_bytes()) {
            self.note(&format!("could not send {command:?} to the guest: {error}"));
        }
    }

    pub fn note(&self, text: &str) {
        (self.sink)(Progress::Note(text));
    }

    pub fn emit(&self, progress: Progress<'_>) {
        (self.sink)(progress);
    }

    /// Returns the last lines of the console.
    pub fn last_lines(&self) -> Vec<String> {
        self.tail.lines(&self.unfinished_line())
    }

    /// Returns the console's incomplete line.
    pub fn unfinished_line(&self) -> String {
        clean(self.console.partial())
    }

    /// Returns how the machine ended, if it did.
    pub fn exit(&self) -> Option<&Exit> {
        self.ended.as_ref()
    }

    /// Scans the incomplete line of the console, which may be a match.
    pub fn read_unfinished_line(&mut self) {
        let partial = self.unfinished_line();
        if self.scanner.death().is_none() && !partial.is_empty() {
            self.scanner.line(&partial);
        }
    }

    /// Reads the remaining output of a lost guest, uses its kernel debugger,
    /// ends its machine and returns how it was lost. `otherwise` is the title
    /// if the console has no match and the machine still runs. The last lines
    /// of the result channel go to `late`, because the order of the two streams
    /// is unknown.
    pub fn bury(
        &mut self,
        limits: &Limits,
        verdict: Verdict,
        otherwise: &str,
        late: &mut dyn FnMut(&ResultLine),
    ) -> Death {
        self.hear_out(limits, late);
        self.read_unfinished_line();
        let matched = self.scanner.death();
        let (verdict, title) = match (matched, &self.ended) {
            (Some(matched), _) => (Verdict::Crash, matched.title.clone()),
            (None, Some(exit)) => (Verdict::Crash, exit.to_string()),
            (None, None) => (verdict, otherwise.to_owned()),
        };
        let (backtrace, registers) = matched
            .map(|matched| (matched.backtrace.clone(), matched.registers.clone()))
            .unwrap_or_default();
        let died = matched.is_some();
        let console = self.last_lines();
        let mut answers = match self.reach(verdict) {
            Some(reach) => self.question(limits, reach, late),
            None => Testimony::default(),
        };
        if died {
            // A panic has its own backtrace, and ddb shows the registers of
            // the call that entered ddb.
            answers.registers = registers;
        }
        self.machine.kill();
        Death {
            verdict,
            title,
            backtrace: if backtrace.is_empty() {
                answers.backtrace
            } else {
                backtrace
            },
            registers: answers.registers,
            remarks: answers.remarks,
            console,
        }
    }

    /// Returns how to enter the debugger of a lost guest, if that is possible.
    fn reach(&self, verdict: Verdict) -> Option<Reach> {
        match (self.ended.is_some(), self.scanner.death().is_some()) {
            (true, _) => None,
            (false, true) => self.at_prompt().then_some(Reach::Waits),
            (false, false) => (verdict == Verdict::Timeout).then_some(Reach::BreakIn),
        }
    }

    fn at_prompt(&self) -> bool {
        self.unfinished_line() == ddb::PROMPT
    }

    fn hear_out(&mut self, limits: &Limits, late: &mut dyn FnMut(&ResultLine)) {
        self.buried = true;
        if self.scanner.death().is_none() {
            return;
        }
        let last = self.now() + limits.last_words;
        self.heard = self.now();
        loop {
            let deadline = last.min(self.heard + limits.quiet);
            match self.tick(deadline) {
                Ok(Tick::Ended | Tick::Deadline) | Err(_) => return,
                Ok(Tick::Line(line)) => late(&line),
                Ok(Tick::Heard | Tick::Died) => {}
            }
            // A debugger at its prompt prints nothing by itself.
            if self.now() >= last || self.at_prompt() {
                return;
            }
        }
    }

    fn console(&mut self, bytes: &[u8]) {
        self.heard = self.now();
        Self::log(
            &mut self.log_error,
            self.sink,
            self.logs.console.as_mut(),
            self.started,
            bytes,
        );
        let Self {
            console,
            scanner,
            tail,
            phase,
            sink,
            questioning,
            ..
        } = self;
        console.feed(bytes, |line| {
            let text = clean(line.bytes);
            sink(Progress::Console(&text));
            if let Some(questioning) = questioning {
                return questioning.line(&text);
            }
            scanner.line(&text);
            tail.push(&text);
            *phase = phase.after(&text);
        });
        if self.questioning.is_some() {
            return;
        }
        let partial = self.unfinished_line();
        self.phase = self.phase.after(&partial);
        self.scanner.partial(&partial);
    }

    fn result(&mut self, bytes: &[u8]) {
        self.heard = self.now();
        Self::log(
            &mut self.log_error,
            self.sink,
            self.logs.result.as_mut(),
            self.started,
            bytes,
        );
        let Self {
            results,
            pending,
            sink,
            ..
        } = self;
        results.feed(bytes, |line| {
            sink(Progress::Result(&clean(line.bytes)));
            pending.push_back(ResultLine {
                bytes: line.bytes.to_vec(),
                truncated: line.truncated,
            });
        });
    }

    /// Keeps the first error of a log, which does not change a verdict.
    fn log(
        error: &mut Option<InfraError>,
        sink: Sink<'_>,
        log: Option<&mut crate::console::log::StampedLog>,
        started: Instant,
        bytes: &[u8],
    ) {
        if let Some(log) = log
            && let Err(new) = log.write(started.elapsed(), bytes)
        {
            sink(Progress::Note(&format!(
                "{new}; the run goes on without this log"
            )));
            error.get_or_insert(new);
        }
    }
}

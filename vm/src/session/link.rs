//! Both streams of a machine, logged and cut into lines, one event at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Death, Limits, Logs, Setup};
use crate::console::assemble::{Assembler, Overlong};
use crate::console::{Tail, clean};
use crate::error::InfraError;
use crate::exit::{Exit, classify};
use crate::interrupt::Interrupt;
use crate::machine::{Event, Machine, Notice, Port};
use crate::panic::Scanner;
use crate::phase::Phase;
use crate::progress::{Progress, Sink};
use crate::verdict::Verdict;

/// How long what has arrived already may take to be read.
const CATCH_UP: Duration = Duration::from_millis(100);

/// A line of the result channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultLine {
    /// As it came.
    pub bytes: Vec<u8>,
    /// Whether its end is lost.
    pub truncated: bool,
}

impl ResultLine {
    /// For the protocol's own lines.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// What one wait came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Tick {
    /// A line of the result channel.
    Line(ResultLine),
    /// Something else was heard or happened.
    Heard,
    /// The console shows that the kernel died. Said until it is buried.
    Died,
    /// The machine is gone.
    Ended,
    /// Nothing until the deadline.
    Deadline,
}

pub struct Link<'a> {
    pub machine: Box<dyn Machine>,
    pub scanner: Scanner,
    pub phase: Phase,
    pub log_error: Option<InfraError>,
    pub started: Instant,
    pub heard: Instant,
    pub boot_time: Duration,
    /// Whether the machine was let run.
    pub running: bool,
    interrupt: Interrupt,
    sink: Sink<'a>,
    logs: Logs,
    console: Assembler,
    results: Assembler,
    tail: Tail,
    pending: VecDeque<ResultLine>,
    ended: Option<Exit>,
    /// An error that was met while nobody waited.
    late: Option<InfraError>,
    buried: bool,
}

impl<'a> Link<'a> {
    pub fn new(machine: Box<dyn Machine>, logs: Logs, setup: &Setup<'a>) -> Self {
        machine.inbox().obey(&setup.interrupt);
        let now = Instant::now();
        Self {
            machine,
            scanner: Scanner::new(),
            phase: Phase::default(),
            log_error: None,
            started: now,
            heard: now,
            boot_time: Duration::ZERO,
            running: false,
            interrupt: setup.interrupt.clone(),
            sink: setup.sink,
            logs,
            console: Assembler::new(Overlong::Split),
            results: Assembler::new(Overlong::Truncate),
            tail: Tail::default(),
            pending: VecDeque::new(),
            ended: None,
            late: None,
            buried: false,
        }
    }

    /// Waits for one thing to happen.
    pub fn tick(&mut self, deadline: Instant) -> Result<Tick, InfraError> {
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
        match self.machine.inbox().next(deadline) {
            None => Ok(Tick::Deadline),
            Some(Event::Wake) => Ok(Tick::Heard),
            Some(Event::Notice(Notice::DiskError(reason))) => Err(InfraError::GuestDisk { reason }),
            Some(Event::Notice(Notice::Running)) => {
                self.running = true;
                Ok(Tick::Heard)
            }
            Some(Event::Notice(_)) => Ok(Tick::Heard),
            Some(Event::Ended(ending)) => {
                self.ended = Some(classify(&ending));
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

    /// Takes in what has arrived already, without waiting, and not for ever
    /// if it is a flood. Result lines stay for later, and so does an error:
    /// what was reported before it counts.
    pub fn catch_up(&mut self) {
        let until = Instant::now() + CATCH_UP;
        let mut lines = std::mem::take(&mut self.pending);
        loop {
            match self.tick(Instant::now()) {
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

    /// Sends a command. That the guest does not take it is found out by its
    /// not answering.
    pub fn send(&mut self, command: &str) {
        let line = format!("{command}\n");
        if let Err(error) = self.machine.send(Port::Result, line.as_bytes()) {
            self.note(&format!("could not send {command:?} to the guest: {error}"));
        }
    }

    pub fn note(&self, text: &str) {
        (self.sink)(Progress::Note(text));
    }

    pub fn tell(&self, progress: Progress<'_>) {
        (self.sink)(progress);
    }

    /// The last console lines.
    pub fn last_lines(&self) -> Vec<String> {
        self.tail.lines(&clean(self.console.partial()))
    }

    /// How the machine ended, if it did.
    pub fn exit(&self) -> Option<&Exit> {
        self.ended.as_ref()
    }

    /// A line that the console never ended may be the sign that was missed.
    pub fn read_unfinished_line(&mut self) {
        let partial = clean(self.console.partial());
        if self.scanner.death().is_none() && !partial.is_empty() {
            self.scanner.line(&partial);
        }
    }

    /// Hears a lost guest out, ends its machine and says how it was lost;
    /// `otherwise` is for a console without a sign and a machine that still
    /// ran. The last lines of its other stream go to `late`: nothing says in
    /// which order the two streams arrive.
    pub fn bury(
        &mut self,
        limits: &Limits,
        verdict: Verdict,
        otherwise: &str,
        late: &mut dyn FnMut(&ResultLine),
    ) -> Death {
        self.hear_out(limits, late);
        self.read_unfinished_line();
        let (verdict, title, backtrace) = match (self.scanner.death(), &self.ended) {
            (Some(sign), _) => (Verdict::Crash, sign.title.clone(), sign.backtrace.clone()),
            (None, Some(exit)) => (Verdict::Crash, exit.to_string(), Vec::new()),
            (None, None) => (verdict, otherwise.to_owned(), Vec::new()),
        };
        self.machine.kill();
        Death {
            verdict,
            title,
            backtrace,
            console: self.last_lines(),
        }
    }

    fn hear_out(&mut self, limits: &Limits, late: &mut dyn FnMut(&ResultLine)) {
        self.buried = true;
        if self.scanner.death().is_none() {
            return;
        }
        let last = Instant::now() + limits.last_words;
        self.heard = Instant::now();
        loop {
            let deadline = last.min(self.heard + limits.quiet);
            match self.tick(deadline) {
                Ok(Tick::Ended | Tick::Deadline) | Err(_) => return,
                Ok(Tick::Line(line)) => late(&line),
                Ok(Tick::Heard | Tick::Died) => {}
            }
            if Instant::now() >= last {
                return;
            }
        }
    }

    fn console(&mut self, bytes: &[u8]) {
        self.heard = Instant::now();
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
            ..
        } = self;
        console.feed(bytes, |line| {
            let text = clean(line.bytes);
            scanner.line(&text);
            tail.push(&text);
            *phase = phase.after(&text);
            sink(Progress::Console(&text));
        });
        let partial = clean(self.console.partial());
        self.phase = self.phase.after(&partial);
        self.scanner.partial(&partial);
    }

    fn result(&mut self, bytes: &[u8]) {
        self.heard = Instant::now();
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

    /// A log that cannot be written costs no verdict; it is told once.
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

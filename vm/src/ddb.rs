//! Runs a dialogue with FreeBSD's kernel debugger, ddb(4): it chooses the next
//! command and parses the answers. Pure: lines and prompts in, commands and
//! [`Findings`] out.
//!
//! The texts are those of sys/ddb/db_main.c, db_command.c, db_ps.c,
//! db_print.c, sys/kern/subr_pcpu.c, subr_witness.c and
//! sys/amd64/amd64/db_trace.c, as they are in 11-CURRENT and in 15.1.

mod answer;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::panic::{Scanner, is_frame};
use answer::Thread;

/// The prompt of ddb.
pub const PROMPT: &str = "db> ";

/// The most lines that are kept of one answer. The transcript has them all.
const MAX_LINES: usize = 64;
/// The most threads whose backtraces are requested one by one.
const MAX_THREADS: usize = 32;
/// The most threads that are read from the list.
const MAX_LISTED: usize = 10_000;

/// A command for ddb.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    /// Turns paging off.
    NoPager,
    /// Shows the state of the CPUs, with the one that entered the debugger
    /// first.
    Cpus,
    /// Prints the backtrace of the CPU that entered the debugger.
    Here,
    /// Prints the registers of that CPU.
    Registers,
    /// Lists the threads.
    Threads,
    /// Prints the backtrace of another thread.
    Thread(Thread),
    /// Lists the locks that threads own (WITNESS).
    Locks,
    /// Prints every thread's backtrace, for the transcript.
    All,
}

impl Question {
    fn command(&self) -> String {
        match self {
            Self::NoPager => "set $lines=0".into(),
            Self::Cpus => "show allpcpu".into(),
            Self::Here => "bt".into(),
            Self::Registers => "show registers".into(),
            Self::Threads => "ps".into(),
            Self::Thread(thread) => format!("bt {}", thread.id),
            Self::Locks => "show alllocks".into(),
            Self::All => "alltrace".into(),
        }
    }
}

/// Which side acts next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The debugger has to answer.
    Listen,
    /// The host has to send this command.
    Say(String),
    /// Neither: every command was answered.
    Over,
}

/// The backtrace of one thread.
#[derive(Debug)]
struct Trace {
    heading: String,
    frames: Vec<String>,
}

/// What the debugger reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The backtraces of the relevant threads, each under a heading: those that
    /// CPUs were running, then the test's. An idle CPU is relevant only if
    /// there is no other thread.
    pub backtrace: Vec<String>,
    /// The registers of the first of these threads, one per line. It is empty
    /// if another CPU entered the debugger.
    pub registers: Vec<String>,
    /// The locks that threads own, with their owners.
    pub locks: Vec<String>,
}

/// A dialogue with ddb.
#[derive(Debug)]
pub struct Dialogue {
    next: VecDeque<Question>,
    asked: Option<Question>,
    /// The command was sent and nothing has arrived since: a prompt now is the
    /// one that the command was sent to.
    echo: bool,
    /// Reads the lines before the first prompt: a kernel that treats an NMI as
    /// a hardware failure panics instead.
    entry: Scanner,
    /// The CPU that entered the debugger.
    cpu: Option<u32>,
    threads: Vec<Thread>,
    here: Vec<String>,
    traces: Vec<Trace>,
    registers: Vec<String>,
    locks: Vec<String>,
}

impl Default for Dialogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Dialogue {
    /// Returns a dialogue that has not begun.
    pub fn new() -> Self {
        let script = [
            Question::NoPager,
            Question::Cpus,
            Question::Here,
            Question::Registers,
            Question::Threads,
            Question::Locks,
            Question::All,
        ];
        Self {
            next: script.into(),
            asked: None,
            echo: false,
            entry: Scanner::new(),
            cpu: None,
            threads: Vec::new(),
            here: Vec::new(),
            traces: Vec::new(),
            registers: Vec::new(),
            locks: Vec::new(),
        }
    }

    /// Processes a line of the console, without escape sequences.
    pub fn line(&mut self, line: &str) {
        if std::mem::take(&mut self.echo) && line.starts_with(PROMPT) {
            return;
        }
        let text = line.trim();
        match &self.asked {
            None => {
                self.entry.line(line);
            }
            Some(Question::Cpus) => self.cpu = self.cpu.or(answer::current_cpu(text)),
            Some(Question::Here) => push(&mut self.here, text, is_frame),
            Some(Question::Registers) => push(&mut self.registers, text, answer::is_register),
            Some(Question::Thread(_)) => {
                if let Some(trace) = self.traces.last_mut() {
                    push(&mut trace.frames, text, is_frame);
                }
            }
            Some(Question::Locks) => push(&mut self.locks, text, |text| !text.is_empty()),
            Some(Question::Threads) if self.threads.len() < MAX_LISTED => {
                self.threads.extend(Thread::parse(text));
            }
            Some(Question::NoPager | Question::Threads | Question::All) => {}
        }
    }

    /// Processes the incomplete line and returns which side acts next.
    pub fn partial(&mut self, partial: &str) -> Turn {
        if self.echo || partial != PROMPT {
            return Turn::Listen;
        }
        if self.asked == Some(Question::Threads) {
            for thread in self.suspects().into_iter().rev() {
                self.next.push_front(Question::Thread(thread));
            }
        }
        let Some(question) = self.next.pop_front() else {
            return Turn::Over;
        };
        if let Question::Thread(thread) = &question {
            self.traces.push(Trace {
                heading: thread.heading(),
                frames: Vec::new(),
            });
        }
        let command = question.command();
        self.asked = Some(question);
        self.echo = true;
        Turn::Say(command)
    }

    /// Returns the threads that may hang: those on other CPUs, then the test's.
    fn suspects(&self) -> Vec<Thread> {
        let running = self
            .threads
            .iter()
            .filter(|thread| thread.cpu.is_some() && thread.cpu != self.cpu && !thread.is_idle());
        let waiting = self
            .threads
            .iter()
            .filter(|thread| thread.cpu.is_none() && thread.is_of_test());
        running.chain(waiting).take(MAX_THREADS).cloned().collect()
    }

    /// Returns the thread that ran on the CPU that entered the debugger.
    fn current(&self) -> Option<&Thread> {
        let here = |thread: &&Thread| thread.cpu.is_some() && thread.cpu == self.cpu;
        self.threads.iter().find(here)
    }

    /// Returns the command that has no answer yet, or none before the first
    /// prompt.
    pub fn unanswered(&self) -> Option<String> {
        self.asked.as_ref().map(Question::command)
    }

    /// Returns what was reported until now.
    pub fn findings(self) -> Findings {
        let current = self.current();
        let idle = current.is_some_and(Thread::is_idle);
        let here = Trace {
            heading: current.map_or("thread:".into(), Thread::heading),
            frames: self.here,
        };
        let mut traces = self.traces;
        traces.retain(|trace| !trace.frames.is_empty());
        let matters = !idle || traces.is_empty();
        if matters {
            traces.insert(0, here);
        }
        traces.retain(|trace| !trace.frames.is_empty());
        let mut backtrace: Vec<String> = traces.into_iter().flat_map(Trace::lines).collect();
        if backtrace.is_empty() {
            let panic = self.entry.death();
            backtrace = panic
                .map(|matched| matched.backtrace.clone())
                .unwrap_or_default();
        }
        Findings {
            backtrace,
            registers: if matters { self.registers } else { Vec::new() },
            locks: self.locks,
        }
    }
}

impl Trace {
    fn lines(self) -> impl Iterator<Item = String> {
        std::iter::once(self.heading).chain(self.frames)
    }
}

fn push(lines: &mut Vec<String>, text: &str, belongs: impl Fn(&str) -> bool) {
    if lines.len() < MAX_LINES && belongs(text) {
        lines.push(text.to_owned());
    }
}

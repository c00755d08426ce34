//! The conversation with one booted guest: its hello, its list, its tests one
//! at a time, its goodbye.

mod boot;
mod debugger;
mod end;
mod link;
mod resume;
mod test;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use crate::console::log::StampedLog;
use crate::error::InfraError;
use crate::interrupt::Interrupt;
use crate::machine::Machine;
use crate::panic::ConsoleMatch;
use crate::progress::Sink;
use crate::protocol::Hello;
use crate::verdict::{Outcome, Verdict};
use link::Link;

pub use end::Goodbye;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the machine's start to the guest's hello.
    pub boot: Duration,
    /// Without a word from a guest that boots.
    pub silence: Duration,
    /// For a saved machine's state, until it runs.
    pub load: Duration,
    /// For the guest's answer to a command, before a test starts.
    pub answer: Duration,
    /// Beyond a test's own limit, which the guest is first to watch.
    pub grace: Duration,
    /// Replaces every test's own limit.
    pub test: Option<Duration>,
    /// Without a word from a guest that dies, until its last words are over.
    pub quiet: Duration,
    /// For its last words altogether.
    pub last_words: Duration,
    /// For each answer of the kernel debugger.
    pub debugger: Duration,
    /// From the command to end until the machine's end.
    pub end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            boot: Duration::from_secs(180),
            silence: Duration::from_secs(60),
            load: Duration::from_secs(60),
            answer: Duration::from_secs(15),
            grace: Duration::from_secs(3),
            test: None,
            quiet: Duration::from_millis(700),
            last_words: Duration::from_secs(6),
            debugger: Duration::from_secs(8),
            end: Duration::from_secs(10),
        }
    }
}

/// The raw logs of a session.
#[derive(Default)]
pub struct Logs {
    /// Of the first serial port.
    pub console: Option<StampedLog>,
    /// Of the second.
    pub result: Option<StampedLog>,
    /// Where to keep what the kernel debugger says, should it be asked.
    pub debugger: Option<PathBuf>,
}

/// How sessions are held.
#[derive(Clone)]
pub struct Setup<'a> {
    /// How long things may take.
    pub limits: Limits,
    /// Parts of titles of kernel complaints that are known and do not fail a
    /// test.
    pub known: &'a [String],
    /// Ends every wait.
    pub interrupt: Interrupt,
    /// Hears what goes on.
    pub sink: Sink<'a>,
}

/// A guest that has said hello.
pub struct Session<'a> {
    link: Link<'a>,
    limits: Limits,
    known: &'a [String],
    hello: Hello,
    /// How many of the console's matches belong to somebody.
    claimed: usize,
}

/// How a guest was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// [`Verdict::Crash`] or [`Verdict::Timeout`].
    pub verdict: Verdict,
    /// What happened, in one line.
    pub title: String,
    /// The kernel's backtrace lines.
    pub backtrace: Vec<String>,
    /// Its registers, a line each, where its debugger told them.
    pub registers: Vec<String>,
    /// What else the kernel debugger told, or why it told nothing.
    pub remarks: Vec<String>,
    /// The last console lines.
    pub console: Vec<String>,
}

impl Death {
    /// All that there is to say in a test's detail, line by line.
    pub fn detail(&self) -> String {
        let lines = std::iter::once(&self.title).chain(&self.remarks);
        lines.map(String::as_str).collect::<Vec<&str>>().join("\n")
    }
}

/// What came of asking for a test.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// It has its verdict, and the guest can go on.
    Done(Outcome),
    /// It has its verdict, and the guest is lost.
    Lost(Outcome),
    /// The guest was lost before the test started: whose fault that is, the
    /// caller knows better.
    NotStarted(Death),
}

impl<'a> Session<'a> {
    /// What the guest said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// How long it took to come up.
    pub fn boot_time(&self) -> Duration {
        self.link.boot_time
    }

    /// What the console showed since the last test was asked for (or since the
    /// last call), and no test has answered for.
    pub fn unclaimed(&mut self) -> Vec<ConsoleMatch> {
        let matches = self.link.scanner.matches();
        let unclaimed = matches.get(self.claimed..).unwrap_or_default().to_vec();
        self.claimed = matches.len();
        unclaimed
    }

    /// The first error of writing a log, if there was one; it is given once.
    pub fn log_error(&mut self) -> Option<InfraError> {
        self.link.log_error.take()
    }

    /// The machine, for what this conversation has no word for.
    pub fn machine(&mut self) -> &mut dyn Machine {
        &mut *self.link.machine
    }
}

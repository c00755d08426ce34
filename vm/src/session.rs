//! Runs the protocol with one guest: its hello, its list, its tests one at a
//! time, its end.

mod boot;
mod debugger;
mod end;
mod link;
mod pace;
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
use pace::Speed;

pub use end::Goodbye;
pub use pace::Waits;

/// The time limits of a session. They are in the time of the machine, which
/// passes while the host runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The limit from the machine's start to the guest's hello.
    pub boot: Duration,
    /// The limit without output from a guest that boots.
    pub silence: Duration,
    /// The limit for restoring a saved machine.
    pub load: Duration,
    /// The limit for the guest's answer to a command, before a test starts.
    pub answer: Duration,
    /// The time that is added to a test's own limit, for the harness: it starts
    /// a thread or a process for the test and checks for leaks.
    pub grace: Duration,
    /// A limit that replaces every test's own limit. As that, it grows on a
    /// slow guest.
    pub test: Option<Duration>,
    /// The limit without output from a dying guest, after which its output is
    /// complete.
    pub quiet: Duration,
    /// The limit for all output of a dying guest.
    pub last_words: Duration,
    /// The limit for each answer of the kernel debugger.
    pub debugger: Duration,
    /// The limit from the command `end` to the machine's end.
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
    /// The log of the first serial port.
    pub console: Option<StampedLog>,
    /// The log of the second serial port.
    pub result: Option<StampedLog>,
    /// The file for the kernel debugger's answers, if it is used.
    pub debugger: Option<PathBuf>,
}

/// The settings of a session.
#[derive(Clone)]
pub struct Setup<'a> {
    /// The time limits of a session.
    pub limits: Limits,
    /// Parts of the titles of known kernel warnings, which do not fail a test.
    pub known: &'a [String],
    /// The flag that ends every wait.
    pub interrupt: Interrupt,
    /// The receiver of progress.
    pub sink: Sink<'a>,
}

/// A guest that has said hello.
pub struct Session<'a> {
    link: Link<'a>,
    limits: Limits,
    known: &'a [String],
    hello: Hello,
    /// How fast the guest runs.
    speed: Speed,
    /// The number of the console's matches that are assigned to a test or to
    /// the boot.
    claimed: usize,
}

/// How a guest was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// [`Verdict::Crash`] or [`Verdict::Timeout`].
    pub verdict: Verdict,
    /// A description in one line.
    pub title: String,
    /// The kernel's backtrace lines.
    pub backtrace: Vec<String>,
    /// The registers, one per line, if the debugger printed them.
    pub registers: Vec<String>,
    /// What else the kernel debugger reported, or why it reported nothing.
    pub remarks: Vec<String>,
    /// The last console lines.
    pub console: Vec<String>,
}

impl Death {
    /// Returns the lines for a test's detail.
    pub fn detail(&self) -> String {
        let lines = std::iter::once(&self.title).chain(&self.remarks);
        lines.map(String::as_str).collect::<Vec<&str>>().join("\n")
    }
}

/// The result of running a test.
#[derive(Debug, PartialEq, Eq)]
pub enum Ran {
    /// The test has a verdict, and the guest can continue.
    Done(Outcome),
    /// The test has a verdict, and the guest is lost.
    Lost(Outcome),
    /// The guest was lost before the test started. The caller decides which
    /// test is at fault.
    NotStarted(Death),
}

impl<'a> Session<'a> {
    /// Returns the guest's hello.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Returns the time that it took to boot.
    pub fn boot_time(&self) -> Duration {
        self.link.boot_time
    }

    /// Returns the console matches since the last test was requested (or since
    /// the last call) that no test accounts for.
    pub fn unclaimed(&mut self) -> Vec<ConsoleMatch> {
        let matches = self.link.scanner.matches();
        let unclaimed = matches.get(self.claimed..).unwrap_or_default().to_vec();
        self.claimed = matches.len();
        unclaimed
    }

    /// Returns the first error of writing a log, once.
    pub fn log_error(&mut self) -> Option<InfraError> {
        self.link.log_error.take()
    }

    /// Returns the machine, for actions outside of the protocol.
    pub fn machine(&mut self) -> &mut dyn Machine {
        &mut *self.link.machine
    }
}

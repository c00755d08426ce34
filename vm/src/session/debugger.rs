//! Uses the debugger of a hung or dead kernel to find out what the kernel was
//! doing, and keeps its answers in a file.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Limits;
use super::link::{Link, ResultLine, Tick};
use crate::ddb::{Dialogue, Findings, Turn};
use crate::error::InfraError;
use crate::machine::Port;

/// The most bytes of answers that are kept.
const TRANSCRIPT: usize = 4 << 20;
/// The most locks that are listed outside of the transcript.
const LOCKS: usize = 16;

/// How the debugger is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A non-maskable interrupt enters it.
    BreakIn,
    /// The debugger waits at its prompt.
    Waits,
}

/// The debugger's findings, and remarks about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// The backtraces, as in [`Findings::backtrace`].
    pub backtrace: Vec<String>,
    /// The registers, as in [`Findings::registers`].
    pub registers: Vec<String>,
    /// Remarks: the file of the transcript, the owned locks, and why the
    /// transcript is incomplete.
    pub remarks: Vec<String>,
}

/// A running dialogue with the debugger.
pub struct Questioning {
    dialogue: Dialogue,
    transcript: Option<Transcript>,
    trouble: Option<InfraError>,
}

impl Questioning {
    fn new(path: Option<&Path>) -> Self {
        let mut trouble = None;
        let transcript = path.and_then(|path| {
            let created = Transcript::create(path);
            created.map_err(|error| trouble = Some(error)).ok()
        });
        Self {
            dialogue: Dialogue::new(),
            transcript,
            trouble,
        }
    }

    /// Processes a line of the console.
    pub fn line(&mut self, line: &str) {
        self.dialogue.line(line);
        let written = match &mut self.transcript {
            Some(transcript) => transcript.line(line),
            None => Ok(()),
        };
        if let Err(error) = written {
            self.transcript = None;
            self.trouble.get_or_insert(error);
        }
    }

    fn testimony(self, trouble: Option<String>) -> Testimony {
        let Findings {
            backtrace,
            registers,
            locks,
        } = self.dialogue.findings();
        let what = match trouble {
            None => "all threads, registers and locks",
            Some(_) => "what the kernel debugger said",
        };
        let mut remarks: Vec<String> = trouble.into_iter().collect();
        let kept = self.transcript.filter(|transcript| !transcript.is_empty());
        if let Some(transcript) = kept {
            remarks.push(format!("{what}: {}", transcript.path.display()));
        }
        remarks.extend(self.trouble.map(|error| error.to_string()));
        if !locks.is_empty() {
            remarks.push("owned locks:".into());
            remarks.extend(locks.into_iter().take(LOCKS));
        }
        Testimony {
            backtrace,
            registers,
            remarks,
        }
    }
}

/// The transcript, in bounded disk space.
struct Transcript {
    path: PathBuf,
    file: File,
    left: usize,
}

impl Transcript {
    fn create(path: &Path) -> Result<Self, InfraError> {
        let file = File::create(path)
            .map_err(|error| InfraError::io("keep the debugger's answers in", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            left: TRANSCRIPT,
        })
    }

    fn is_empty(&self) -> bool {
        self.left == TRANSCRIPT
    }

    fn line(&mut self, line: &str) -> Result<(), InfraError> {
        if self.left == 0 {
            return Ok(());
        }
        let text = if line.len() < self.left {
            self.left -= line.len() + 1;
            format!("{line}\n")
        } else {
            self.left = 0;
            "[the rest was not kept]\n".to_owned()
        };
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| InfraError::io("write the debugger's answers to", &self.path, error))
    }
}

impl Link<'_> {
    /// Asks the guest's kernel debugger what the kernel was doing. From now on
    /// the console belongs to the debugger. Later result lines go to `late`.
    pub fn question(
        &mut self,
        limits: &Limits,
        reach: Reach,
        late: &mut dyn FnMut(&ResultLine),
    ) -> Testimony {
        if reach == Reach::BreakIn
            && let Err(error) = self.machine.nmi()
        {
            return Testimony {
                remarks: vec![format!(
                    "no backtrace: the machine did not take an NMI: {error}"
                )],
                ..Testimony::default()
            };
        }
        self.questioning = Some(Questioning::new(self.logs.debugger.as_deref()));
        let trouble = self.converse(limits, late);
        match self.questioning.take() {
            Some(questioning) => questioning.testimony(trouble),
            None => Testimony::default(),
        }
    }

    /// Sends all commands. Returns the reason why it stopped early, if it did.
    fn converse(&mut self, limits: &Limits, late: &mut dyn FnMut(&ResultLine)) -> Option<String> {
        let mut deadline = self.now() + limits.debugger;
        loop {
            let partial = self.unfinished_line();
            let dialogue = &mut self.questioning.as_mut()?.dialogue;
            match dialogue.partial(&partial) {
                Turn::Over => return None,
                Turn::Say(command) => {
                    // A carriage return ends a line for ddb.
                    let line = format!("{command}\r");
                    if let Err(error) = self.machine.send(Port::Console, line.as_bytes()) {
                        return Some(format!(
                            "the kernel debugger did not take `{command}`: {error}"
                        ));
                    }
                    deadline = self.now() + limits.debugger;
                    continue;
                }
                Turn::Listen => {}
            }
            let unanswered = dialogue.unanswered();
            let asked = unanswered.map_or("an NMI".into(), |command| format!("`{command}`"));
            match self.tick(deadline) {
                Ok(Tick::Line(line)) => late(&line),
                Ok(Tick::Heard | Tick::Died | Tick::Deadline) => {}
                Ok(Tick::Ended) => {
                    return Some(format!("the machine ended instead of answering {asked}"));
                }
                Err(error) => {
                    return Some(format!(
                        "the kernel debugger did not answer {asked}: {error}"
                    ));
                }
            }
            // Output does not extend the time limit.
            if self.now() >= deadline {
                let secs = limits.debugger.as_secs_f64();
                return Some(format!(
                    "the kernel debugger did not answer {asked} within {secs:.1} s"
                ));
            }
        }
    }
}

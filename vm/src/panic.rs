//! What a dead, dying or complaining kernel looks like on its console. Pure:
//! from lines to [`ConsoleMatch`]s.
//!
//! The texts are those of FreeBSD's sys/kern/kern_shutdown.c, subr_kdb.c,
//! subr_witness.c, subr_prf.c, vfs_mountroot.c, kern_linker.c, link_elf*.c,
//! sys/amd64/amd64/{trap,db_trace}.c and sys/ddb/db_main.c, as they are in
//! 11-CURRENT and in 15.1.

mod backtrace;
mod registers;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

pub use backtrace::is_frame;

use serde::{Deserialize, Serialize};

/// What kind of thing was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `panic: ...`, a failed KASSERT included.
    Panic,
    /// `Fatal trap N: ...`.
    FatalTrap,
    /// `Fatal double fault`.
    DoubleFault,
    /// The kernel debugger waits for a person.
    Debugger,
    /// The kernel asks a person for its root file system.
    MountRoot,
    /// The firmware or the loader asks a person what to boot.
    NoBoot,
    /// A second boot on one console.
    Reboot,
    /// WITNESS: locks taken in two orders.
    LockOrder,
    /// WITNESS: locks held where none may be.
    LocksHeld,
    /// An assertion that only warns.
    Assertion,
    /// A module that the kernel did not take.
    Module,
}

impl Kind {
    /// Whether the kernel is of no more use.
    pub fn is_death(self) -> bool {
        match self {
            Self::Panic
            | Self::FatalTrap
            | Self::DoubleFault
            | Self::Debugger
            | Self::MountRoot
            | Self::NoBoot
            | Self::Reboot => true,
            Self::LockOrder | Self::LocksHeld | Self::Assertion | Self::Module => false,
        }
    }
}

/// Something seen on a console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleMatch {
    /// What it is.
    pub kind: Kind,
    /// One line that names it.
    pub title: String,
    /// The backtrace lines after it, with the headings between them.
    pub backtrace: Vec<String>,
    /// The lines that show the processor's registers, for a death.
    pub registers: Vec<String>,
}

/// Most matches kept of one boot.
const MAX_MATCHES: usize = 64;
/// Most backtrace lines kept of one match.
const MAX_FRAMES: usize = 128;
/// Most lines of registers kept of one match.
const MAX_REGISTERS: usize = 40;
/// Longest title, characters.
const MAX_TITLE: usize = 300;
/// Lines after a complaint in which its backtrace must begin.
const PATIENCE: usize = 6;

/// Reads a console line by line.
#[derive(Debug, Default)]
pub struct Scanner {
    matches: Vec<ConsoleMatch>,
    /// The match that lines still belong to.
    open: Option<usize>,
    /// The match of death.
    death: Option<usize>,
    /// Lines since the open match's last frame.
    idle: usize,
    /// A `panic: ` in the middle of a line, to be confirmed by the next one.
    doubtful: Option<String>,
    banners: [bool; BANNERS.len()],
    /// Who was heard before the kernel, and so may be the one that asks.
    before: Option<Asker>,
}

/// A program from before the kernel that can stop at a prompt.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// FreeBSD's loader.
    Loader,
    /// The firmware's shell.
    Shell,
}

impl Scanner {
    /// A scanner that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one line, cleaned of escape sequences. Returns the new match's
    /// index in [`Self::matches`], if there is one.
    pub fn line(&mut self, line: &str) -> Option<usize> {
        let seen = self.recognise(line);
        if let Some((kind, title)) = seen
            && let Some(new) = self.record(kind, title)
        {
            return Some(new);
        }
        self.follow(line);
        None
    }

    /// Takes the beginning of a line that has no end yet: a prompt waits for
    /// somebody to type.
    pub fn partial(&mut self, line: &str) -> Option<usize> {
        let (kind, title) = prompt(line).or_else(|| self.no_boot(line))?;
        self.record(kind, title)
    }

    /// `OK ` is a prompt only while the loader is all there is.
    fn no_boot(&self, line: &str) -> Option<(Kind, String)> {
        if self.banners.contains(&true) {
            return None;
        }
        let title = match self.before? {
            Asker::Loader if line == "OK " => "the boot loader stopped at its prompt",
            Asker::Shell if line.trim() == "Shell>" => "the firmware found nothing to boot",
            Asker::Loader | Asker::Shell => return None,
        };
        Some((Kind::NoBoot, title.to_owned()))
    }

    /// The matches, in the order they came.
    pub fn matches(&self) -> &[ConsoleMatch] {
        &self.matches
    }

    /// The kernel's death, if it died.
    pub fn death(&self) -> Option<&ConsoleMatch> {
        self.matches.get(self.death?)
    }

    fn recognise(&mut self, line: &str) -> Option<(Kind, String)> {
        let text = line.trim();
        if let Some(title) = self.doubtful.take()
            && text.starts_with("cpuid = ")
        {
            return Some((Kind::Panic, title));
        }
        if text.contains("EFI loader") {
            self.before = Some(Asker::Loader);
        } else if text.contains("UEFI Interactive Shell") {
            self.before = Some(Asker::Shell);
        }
        if let Some(banner) = BANNERS.iter().position(|banner| text.contains(banner)) {
            let again = std::mem::replace(&mut self.banners[banner], true);
            return again.then(|| (Kind::Reboot, "the kernel booted a second time".into()));
        }
        if let Some(seen) = starts(text)
            .or_else(|| prompt(line))
            .or_else(|| holds(text))
        {
            return Some(seen);
        }
        self.doubtful = text.find("panic: ").map(|at| text[at..].to_owned());
        None
    }

    fn record(&mut self, kind: Kind, title: String) -> Option<usize> {
        if kind.is_death() && self.death.is_some() {
            return None; // more of the same death
        }
        let known = |matched: &ConsoleMatch| matched.kind == kind && matched.title == title;
        if self.matches.len() == MAX_MATCHES && !kind.is_death() || self.matches.iter().any(known) {
            return None;
        }
        let new = self.matches.len();
        self.matches.push(ConsoleMatch {
            kind,
            title: title.chars().take(MAX_TITLE).collect(),
            backtrace: Vec::new(),
            registers: Vec::new(),
        });
        if kind.is_death() {
            self.death = Some(new);
        }
        self.open = Some(new);
        self.idle = 0;
        Some(new)
    }

    /// Gives a line to the match it belongs to.
    fn follow(&mut self, line: &str) {
        let Some(matched) = self.open.and_then(|open| self.matches.get_mut(open)) else {
            return;
        };
        let text = line.trim();
        if is_frame(text) || backtrace::is_heading(text) {
            if matched.backtrace.len() < MAX_FRAMES {
                matched.backtrace.push(text.to_owned());
            }
            self.idle = 0;
        } else if matched.kind.is_death() && registers::is_register(text) {
            if matched.registers.len() < MAX_REGISTERS {
                matched.registers.push(text.to_owned());
            }
        } else if let Some(lock) = named_lock(matched.kind, text) {
            if matched.title.chars().count() < MAX_TITLE {
                let comma = if matched.title.ends_with(':') {
                    " "
                } else {
                    ", "
                };
                matched.title.push_str(comma);
                matched.title.push_str(&lock);
            }
        } else {
            self.idle += 1;
            // A dead kernel says nothing that is not about its death.
            if !matched.kind.is_death() && self.idle > PATIENCE {
                self.open = None;
            }
        }
    }
}

/// The lock that a line after a complaint of WITNESS names.
fn named_lock(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::LockOrder => backtrace::lock(text),
        Kind::LocksHeld => backtrace::held_lock(text),
        _ => None,
    }
}

/// Reads a whole console.
pub fn scan<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<ConsoleMatch> {
    let mut scanner = Scanner::new();
    for line in lines {
        scanner.line(line);
    }
    scanner.matches
}

/// Lines that a kernel prints once per boot.
const BANNERS: [&str; 2] = ["---<<BOOT>>---", "Copyright (c) 1992-"];

/// Texts that begin a line.
fn starts(text: &str) -> Option<(Kind, String)> {
    let kind = if text.starts_with("panic: ") {
        Kind::Panic
    } else if text.starts_with("Fatal trap ") {
        Kind::FatalTrap
    } else if text.starts_with("Fatal double fault") {
        Kind::DoubleFault
    } else if text.starts_with("KDB: enter: ")
        || text.starts_with("Stopped at\t")
        || text.starts_with("Stopped at ") && text.contains("+0x")
    {
        Kind::Debugger
    } else if text.starts_with("lock order reversal:")
        || text.starts_with("acquiring duplicate lock of same type:")
    {
        Kind::LockOrder
    } else if text.starts_with("KASSERT failed: ") {
        Kind::Assertion
    } else {
        return None;
    };
    Some((kind, text.to_owned()))
}

/// Texts that may stand anywhere in a line.
fn holds(text: &str) -> Option<(Kind, String)> {
    let module = (text.contains(": depends on ") && text.contains("not available or"))
        || text.contains(" - unsupported file type")
        || (text.contains("link_elf") && text.contains("symbol ") && text.ends_with(" undefined"))
        || text.starts_with("kldload: ");
    let locks = (text.contains(" with the following ")
        || text.contains("exiting with the following "))
        && text.ends_with("locks held:");
    let kind = if module {
        Kind::Module
    } else if locks {
        Kind::LocksHeld
    } else {
        return None;
    };
    Some((kind, text.to_owned()))
}

/// Prompts: they stand at the end of a line that is not complete, or, when
/// something was printed after them, at its beginning.
fn prompt(line: &str) -> Option<(Kind, String)> {
    let text = line.trim_start();
    let (kind, title) = if text.starts_with("db> ") || text.trim_end() == "db>" {
        (Kind::Debugger, "the kernel debugger waits at its prompt")
    } else if text.starts_with("mountroot>") {
        (
            Kind::MountRoot,
            "the root file system was not found or not mountable",
        )
    } else {
        return None;
    };
    Some((kind, title.to_owned()))
}

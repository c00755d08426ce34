//! Finds panics, traps and warnings of a kernel in its console. Pure: from
//! lines to [`ConsoleMatch`]es.
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

/// The kind of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A panic, `panic: ...`, including a failed KASSERT.
    Panic,
    /// A trap in the kernel, `Fatal trap N: ...`.
    FatalTrap,
    /// A double fault, `Fatal double fault`.
    DoubleFault,
    /// The kernel debugger waits for a command.
    Debugger,
    /// The kernel asks for its root file system.
    MountRoot,
    /// The firmware or the loader asks what to boot.
    NoBoot,
    /// The kernel booted a second time.
    Reboot,
    /// A lock order reversal (WITNESS).
    LockOrder,
    /// Locks are owned where none may be (WITNESS).
    LocksHeld,
    /// An assertion that only warns.
    Assertion,
    /// The kernel refused a module.
    Module,
}

impl Kind {
    /// Returns whether the kernel cannot continue.
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

/// A text on the console that means something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleMatch {
    /// The kind of the match.
    pub kind: Kind,
    /// One line that describes it.
    pub title: String,
    /// The backtrace lines after it, with the headings between them.
    pub backtrace: Vec<String>,
    /// The lines that show the processor's registers, if the kernel died.
    pub registers: Vec<String>,
}

/// The most matches that are kept of one boot.
const MAX_MATCHES: usize = 64;
/// The most backtrace lines that are kept of one match.
const MAX_FRAMES: usize = 128;
/// The most register lines that are kept of one match.
const MAX_REGISTERS: usize = 40;
/// The longest title, in characters.
const MAX_TITLE: usize = 300;
/// The number of lines after a warning within which its backtrace must begin.
const PATIENCE: usize = 6;

/// A scanner that reads a console line by line.
#[derive(Debug, Default)]
pub struct Scanner {
    matches: Vec<ConsoleMatch>,
    /// The index of the match that further lines belong to.
    open: Option<usize>,
    /// The index of the match that ended the kernel.
    death: Option<usize>,
    /// The number of lines since the open match's last frame.
    idle: usize,
    /// A `panic: ` in the middle of a line, which the next line must confirm.
    doubtful: Option<String>,
    banners: [bool; BANNERS.len()],
    /// The program that printed before the kernel, and so may have stopped at a
    /// prompt.
    before: Option<Asker>,
}

/// A program that runs before the kernel and can stop at a prompt.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// The loader of FreeBSD.
    Loader,
    /// The UEFI shell of the firmware.
    Shell,
}

impl Scanner {
    /// Returns a scanner for a new console.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans one line, without escape sequences. Returns the index of the new
    /// match in [`Self::matches`], if there is one.
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

    /// Scans the beginning of an incomplete line, which may be a prompt.
    pub fn partial(&mut self, line: &str) -> Option<usize> {
        let (kind, title) = prompt(line).or_else(|| self.no_boot(line))?;
        self.record(kind, title)
    }

    /// Recognizes prompts before the kernel: `OK ` is one only until the kernel
    /// prints something.
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

    /// Returns the matches, in the order they came.
    pub fn matches(&self) -> &[ConsoleMatch] {
        &self.matches
    }

    /// Returns the match that ended the kernel, if it died.
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
            .or_else(|| contains(text))
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

    /// Adds a line to the match that it belongs to.
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
            // Everything that a dead kernel prints is about its death.
            if !matched.kind.is_death() && self.idle > PATIENCE {
                self.open = None;
            }
        }
    }
}

/// Returns the lock that a line after a warning of WITNESS names.
fn named_lock(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::LockOrder => backtrace::lock(text),
        Kind::LocksHeld => backtrace::held_lock(text),
        _ => None,
    }
}

/// Scans all lines of a console.
pub fn scan<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<ConsoleMatch> {
    let mut scanner = Scanner::new();
    for line in lines {
        scanner.line(line);
    }
    scanner.matches
}

/// Lines that a kernel prints once per boot.
const BANNERS: [&str; 2] = ["---<<BOOT>>---", "Copyright (c) 1992-"];

/// Recognizes texts at the beginning of a line.
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

/// Recognizes texts anywhere in a line.
fn contains(text: &str) -> Option<(Kind, String)> {
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

/// Recognizes prompts. A prompt is at the end of an incomplete line, or at the
/// beginning of a line if something was printed after it.
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

//! Boots a guest, from the machine's start to the guest's list of tests.

use super::link::{Link, Tick};
use super::pace::Speed;
use super::{Limits, Logs, Session, Setup};
use crate::error::{BootError, BootFault, RunError};
use crate::machine::Machine;
use crate::panic::Kind;
use crate::phase::Phase;
use crate::progress::Progress;
use crate::protocol::{Hello, Kmod, Line, TestEntry};
use crate::verdict::Verdict;

/// The limit on the number of tests. A guest that lists more is faulty.
const MAX_TESTS: usize = 100_000;

impl<'a> Session<'a> {
    /// Waits for the hello of a machine that was just started.
    ///
    /// # Errors
    /// Fails with [`RunError::Boot`] when the kernel dies, prints nothing,
    /// takes too long, ends, speaks another protocol or refuses its module, and
    /// with [`RunError::Infra`] when the host fails or the wait is interrupted.
    pub fn boot(
        machine: Box<dyn Machine>,
        logs: Logs,
        setup: &Setup<'a>,
    ) -> Result<Self, RunError> {
        let mut link = Link::new(machine, logs, setup);
        let hello = wait(&mut link, &setup.limits)?;
        link.boot_time = link.started.elapsed();
        link.phase = Phase::Init;
        // The kernel's messages about a module arrive on the other port.
        link.catch_up();
        if let Kmod::Refused(errno) = hello.kmod {
            let matches = link.scanner.matches().iter();
            let refusals = matches.filter(|matched| matched.kind == Kind::Module);
            let reasons: Vec<&str> = refusals.map(|matched| matched.title.as_str()).collect();
            let why = BootFault::Module {
                errno,
                reason: reasons.join("; "),
            };
            return Err(failed(&mut link, why).into());
        }
        link.emit(Progress::Up(&hello, link.boot_time));
        Ok(Self {
            link,
            limits: setup.limits,
            known: setup.known,
            hello,
            speed: Speed::default(),
            claimed: 0,
        })
    }

    /// Returns the guest's tests.
    ///
    /// # Errors
    /// Fails as [`Session::boot`] does.
    pub fn list(&mut self) -> Result<Vec<TestEntry>, RunError> {
        self.link.send("list");
        let deadline = self.link.now() + self.limits.answer;
        let mut tests: Vec<TestEntry> = Vec::new();
        let fault = loop {
            let tick = self.link.tick(deadline)?;
            if matches!(tick, Tick::Died | Tick::Ended) {
                return Err(lost(&mut self.link, &self.limits));
            }
            if self.link.now() >= deadline {
                let secs = self.limits.answer.as_secs_f64();
                let why = BootFault::List(format!("no end of the list within {secs:.1} s"));
                return Err(hung(&mut self.link, &self.limits, why).into());
            }
            let Tick::Line(line) = tick else { continue };
            let line = line.text();
            match Line::parse(line.trim_end()) {
                Line::Test(fields) => match TestEntry::parse(fields) {
                    Ok(test) if tests.iter().any(|known| known.name == test.name) => {
                        break format!("{} is listed twice", test.name);
                    }
                    Ok(_) if tests.len() == MAX_TESTS => break "too many tests".into(),
                    Ok(test) => tests.push(test),
                    Err(what) => break what,
                },
                Line::EndList(count) if count == tests.len() => return Ok(tests),
                Line::EndList(count) => {
                    break format!("{} of {count} tests arrived", tests.len());
                }
                Line::Hello(_) => {
                    return Err(failed(&mut self.link, BootFault::Rebooted).into());
                }
                Line::Error(why) => break why.to_owned(),
                Line::Start(_)
                | Line::Done(_)
                | Line::Resumed(_)
                | Line::Quiesced
                | Line::Bye
                | Line::Other => {}
            }
        };
        Err(failed(&mut self.link, BootFault::List(fault)).into())
    }
}

fn wait(link: &mut Link<'_>, limits: &Limits) -> Result<Hello, RunError> {
    let latest = limits.boot;
    loop {
        let deadline = latest.min(link.heard + limits.silence);
        match link.tick(deadline)? {
            Tick::Line(line) => {
                if let Line::Hello(fields) = Line::parse(&line.text()) {
                    return Hello::parse(fields).map_err(|error| failed(link, error.into()).into());
                }
            }
            Tick::Died | Tick::Ended => return Err(lost(link, limits)),
            Tick::Heard | Tick::Deadline => {}
        }
        let now = link.now();
        if now < latest && now < link.heard + limits.silence {
            continue;
        }
        link.read_unfinished_line();
        if link.scanner.death().is_some() {
            return Err(lost(link, limits));
        }
        let (why, after) = if now >= latest {
            (BootFault::TooLong(limits.boot), limits.boot)
        } else {
            (BootFault::Silent(limits.silence), limits.silence)
        };
        link.check_running(after)?;
        return Err(hung(link, limits, why).into());
    }
}

/// Returns the error for a kernel that died or a machine that ended.
pub(super) fn lost(link: &mut Link<'_>, limits: &Limits) -> RunError {
    let exit = link.exit().cloned();
    let death = link.bury(limits, Verdict::Crash, "", &mut |_| {});
    let why = match (link.scanner.death(), exit) {
        (Some(matched), _) if matched.kind == Kind::Reboot => BootFault::Rebooted,
        (Some(matched), _) => BootFault::Died(matched.clone()),
        (None, Some(exit)) => BootFault::Ended(exit),
        (None, None) => BootFault::Ended(crate::exit::Exit::Killed),
    };
    BootError {
        phase: link.phase,
        why,
        console: death.console,
        backtrace: death.backtrace,
        remarks: death.remarks,
        registers: death.registers,
        symbolized: Vec::new(),
    }
    .into()
}

/// Returns the error for a guest that printed nothing or took too long. If its
/// kernel runs, its debugger shows where it hangs.
pub(super) fn hung(link: &mut Link<'_>, limits: &Limits, why: BootFault) -> BootError {
    if link.phase < Phase::Kernel {
        return failed(link, why);
    }
    let death = link.bury(limits, Verdict::Timeout, "", &mut |_| {});
    BootError {
        phase: link.phase,
        why,
        console: death.console,
        backtrace: death.backtrace,
        remarks: death.remarks,
        registers: death.registers,
        symbolized: Vec::new(),
    }
}

pub(super) fn failed(link: &mut Link<'_>, why: BootFault) -> BootError {
    link.machine.kill();
    BootError {
        phase: link.phase,
        why,
        console: link.last_lines(),
        backtrace: Vec::new(),
        remarks: Vec::new(),
        registers: Vec::new(),
        symbolized: Vec::new(),
    }
}

//! The machine that is measured on: where QEMU's own emulator plays it, with a
//! clock that counts instructions, so that what else the host does changes
//! nothing.

use std::collections::BTreeMap;
use std::path::Path;

use kdk_vm::qemu::{Boot, Engine, QemuPool};
use kdk_vm::verdict::{Outcome, Verdict};

use super::clock::Clock;
use super::results::unread;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_guest::request::{GuestRequest, TestRequest};
use kdk_guest::run_tests::TestEnv;
use kdk_report::recorder::Recorder;
use kdk_vm::plan::Isolation;

/// A thousand sockets, what they hold and their buffers fit, and so do a
/// quarter of a million flows, MiB.
const MEMORY: u32 = 1024;
/// An instruction takes 2 to the power of this, nanoseconds: a machine of 125
/// million instructions a second, about what the emulator can do.
const SHIFT: u32 = 3;

/// With one-shot timers and a counted clock, FreeBSD 15.1 with several busy
/// processes was seen to do nothing but handle timer interrupts (QEMU 7.2).
/// eventtimers(4).
const PERIODIC: &str = " kern.eventtimer.periodic=1";

/// A guest, ready to measure.
pub struct Bed<'a> {
    pub(super) cx: &'a Context,
    name: String,
    pub(super) env: TestEnv<'a>,
    /// What its clock counts.
    pub clock: Clock,
}

impl<'a> Bed<'a> {
    /// The guest that `wanted` asks for.
    pub fn prepared(
        cx: &'a Context,
        wanted: &GuestRequest,
        name: &str,
        logs: &Path,
    ) -> Result<Self, Failure> {
        let recorder = Recorder::new(&cx.terminal);
        let mut env = TestEnv::prepare(cx, &recorder, wanted, name, logs)?;
        let mut clock = Clock::Time;
        if let Some(QemuPool { spec, .. }) = env.guest.pool.qemu_mut() {
            spec.mem_mib = MEMORY;
            if spec.engine == Engine::Tcg {
                // An idle machine skips to what it waits for.
                let icount = format!("shift={SHIFT},sleep=off");
                spec.extra.extend(["-icount".into(), icount.into()]);
                clock = Clock::Instructions(1 << SHIFT);
                if let Boot::Pvh { cmdline, .. } = &mut spec.boot {
                    cmdline.push_str(PERIODIC);
                }
            }
        }
        Ok(Self {
            cx,
            name: name.to_owned(),
            env,
            clock,
        })
    }

    /// The patches of its kernel.
    pub fn kernel(&self) -> String {
        match self.env.guest.info.patches.as_slice() {
            [] => "no patch".into(),
            patches => format!("only {}", patches.join(", ")),
        }
    }

    /// What is measured on, in a line.
    pub fn about(&self) -> String {
        let info = &self.env.guest.info;
        let config = info.kernel_config.as_deref().unwrap_or("its kernel");
        let clock = match self.clock {
            Clock::Time => "time by the guest's clock".into(),
            Clock::Instructions(each) => {
                format!("instructions are counted, {each} ns of guest time each")
            }
        };
        format!("{}, {config}, {}: {clock}", self.name, info.accel)
    }

    /// Runs tests of the suite.
    ///
    /// # Errors
    /// The host failed, or the guest did not come up.
    pub fn measured(&self, patterns: &[String]) -> Result<Noted, Failure> {
        let recorder = Recorder::new(&self.cx.terminal);
        let report = self.env.run(&recorder, &tests(patterns), BTreeMap::new())?;
        match report.error {
            Some(error) => Err(error.into()),
            None => Ok(Noted {
                base: self.name.clone(),
                outcomes: report.outcomes,
            }),
        }
    }
}

/// What is compared: one of several kernels, and the tests that measure it.
pub struct Side<K> {
    /// Which.
    pub which: K,
    /// Its guest.
    pub wanted: GuestRequest,
    /// Patterns of its tests.
    pub tests: Vec<String>,
}

/// What came of all sides, one after the other.
pub struct Compared<N> {
    /// What `read` made of the tests' notes.
    pub noted: Vec<N>,
    /// What was measured on, in a line; the same for all.
    pub about: String,
    /// What its clock counts.
    pub clock: Clock,
}

/// Measures each side.
///
/// # Errors
/// The host failed, a guest did not come up, or a test has not passed or not
/// noted what it has to.
pub fn compared<K: Copy, N>(
    (cx, name, logs): (&Context, &str, &Path),
    sides: Vec<Side<K>>,
    read: impl Fn(K, &str) -> Result<Vec<N>, String>,
) -> Result<Compared<N>, Failure> {
    let mut compared = Compared {
        noted: Vec::new(),
        about: String::new(),
        clock: Clock::Time,
    };
    for side in sides {
        let bed = Bed::prepared(cx, &side.wanted, name, logs)?;
        for (test, detail) in bed.measured(&side.tests)?.all()? {
            let noted = read(side.which, detail).map_err(|why| unread(test, &why))?;
            compared.noted.extend(noted);
        }
        (compared.about, compared.clock) = (bed.about(), bed.clock);
    }
    Ok(compared)
}

/// What tests have noted, and which have not come to their end.
#[derive(Debug)]
pub struct Noted {
    base: String,
    outcomes: Vec<Outcome>,
}

impl Noted {
    /// Each test's name and what it has noted, of those that have passed.
    pub fn passed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.verdict == Verdict::Pass)
            .map(|outcome| (outcome.name.as_str(), outcome.detail.as_str()))
    }

    /// A line for each of the others.
    pub fn unmeasured(&self) -> Vec<String> {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.verdict != Verdict::Pass)
            .map(|outcome| {
                let why = outcome.detail.lines().next().unwrap_or_default();
                format!(
                    "{} not measured: {} {why}",
                    outcome.name,
                    outcome.verdict.word()
                )
            })
            .collect()
    }

    /// All have to have passed.
    ///
    /// # Errors
    /// The first that has not.
    pub fn all(&self) -> Result<impl Iterator<Item = (&str, &str)>, Failure> {
        match self.unmeasured().first() {
            None => Ok(self.passed()),
            Some(line) => Err(self.failure(line)),
        }
    }

    /// There is nothing to judge, for the reason `why`.
    pub fn failure(&self, why: &str) -> Failure {
        Failure::tests(why.to_owned()).help(format!(
            "what is measured needs the base's series; `cargo xtask vm-test --base {}` says \
             whether all of it works there",
            self.base
        ))
    }
}

/// All in one guest, which boots: a loaded one whose clock counts instructions
/// does not find its time again.
fn tests(patterns: &[String]) -> TestRequest {
    TestRequest {
        patterns: patterns.to_vec(),
        isolation: Isolation::None,
        cold: true,
        ..TestRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use kdk_vm::verdict::Verdict::{Pass, Timeout};

    use super::*;
    use kdk_report::fixtures::outcome;

    #[test]
    fn what_did_not_pass_is_named_and_not_judged() {
        let noted = Noted {
            base: "b".into(),
            outcomes: vec![outcome("a/x", Pass, 1), outcome("a/y", Timeout, 1)],
        };
        let names: Vec<&str> = noted.passed().map(|(name, _)| name).collect();
        assert_eq!(names, ["a/x"]);
        let lines = noted.unmeasured();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("a/y not measured: TIMEOUT"),
            "{lines:?}"
        );
        assert!(noted.all().is_err());
    }
}

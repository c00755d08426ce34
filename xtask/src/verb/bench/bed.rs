//! The machine that is measured on: where QEMU's own emulator plays it, with a
//! clock that counts instructions, so that what else the host does changes
//! nothing.

use std::collections::BTreeMap;
use std::path::Path;

use kdk_vm::qemu::Engine;
use kdk_vm::verdict::{Outcome, Verdict};

use super::clock::Clock;
use crate::context::Context;
use crate::crash::Explainer;
use crate::failure::Failure;
use crate::guest::{self, Guest, Wanted};
use crate::recorder::Recorder;
use crate::testing::{self, IsolationWish, Place, Tests};
use crate::vmm::Driver;

/// A thousand sockets, what they hold and their buffers fit, and so do a
/// quarter of a million flows, MiB.
const MEMORY: u32 = 1024;
/// An instruction takes 2 to the power of this, nanoseconds: a machine of 125
/// million instructions a second, about what the emulator can do.
const SHIFT: u32 = 3;

/// A guest, ready to measure.
pub struct Bed<'a> {
    pub(super) cx: &'a Context,
    pub(super) guest: Guest,
    logs: &'a Path,
    /// What its clock counts.
    pub clock: Clock,
}

impl<'a> Bed<'a> {
    /// The guest that `wanted` asks for.
    pub fn prepared(
        cx: &'a Context,
        wanted: &Wanted,
        name: &str,
        logs: &'a Path,
    ) -> Result<Self, Failure> {
        let recorder = Recorder::new(&cx.terminal);
        let mut guest = guest::prepare(cx, &recorder, wanted, name, logs)?;
        let mut clock = Clock::Time;
        if let Driver::Qemu(_, spec) = &mut guest.driver {
            spec.mem_mib = MEMORY;
            if spec.engine == Engine::Tcg {
                // An idle machine skips to what it waits for.
                let icount = format!("shift={SHIFT},sleep=off");
                spec.extra.extend(["-icount".into(), icount.into()]);
                clock = Clock::Instructions(1 << SHIFT);
            }
        }
        Ok(Self {
            cx,
            guest,
            logs,
            clock,
        })
    }

    /// The patches of its kernel.
    pub fn kernel(&self) -> String {
        match self.guest.run.patches.as_slice() {
            [] => "no patch".into(),
            patches => format!("only {}", patches.join(", ")),
        }
    }

    /// What is measured on, in a line.
    pub fn about(&self) -> String {
        let run = &self.guest.run;
        let config = run.kernel_config.as_deref().unwrap_or("its kernel");
        let clock = match self.clock {
            Clock::Time => "time by the guest's clock".into(),
            Clock::Instructions(each) => {
                format!("instructions are counted, {each} ns of guest time each")
            }
        };
        format!("{}, {config}, {}: {clock}", run.base, run.accel)
    }

    /// Runs tests of the suite; each one's name and what it has noted.
    pub fn measured(&self, patterns: &[String]) -> Result<Vec<(String, String)>, Failure> {
        let recorder = Recorder::new(&self.cx.terminal);
        let crashes = Explainer::new(&self.guest.code, String::new());
        let place = Place {
            guest: &self.guest,
            crashes: &crashes,
            logs: self.logs,
        };
        let report = testing::tested(
            self.cx,
            &recorder,
            &place,
            &tests(patterns),
            BTreeMap::new(),
        )?;
        match report.error {
            Some(error) => Err(error.into()),
            None => {
                let base = &self.guest.run.base;
                let passed = |outcome| passed(outcome, base);
                report.outcomes.into_iter().map(passed).collect()
            }
        }
    }
}

/// All in one guest, which boots: a loaded one whose clock counts instructions
/// does not find its time again.
fn tests(patterns: &[String]) -> Tests {
    Tests {
        tests: patterns.to_vec(),
        isolation: IsolationWish::None,
        cold: true,
        ..Tests::default()
    }
}

fn passed(outcome: Outcome, base: &str) -> Result<(String, String), Failure> {
    match outcome.verdict {
        Verdict::Pass => Ok((outcome.name, outcome.detail)),
        verdict => Err(Failure::tests(format!(
            "{} was {verdict:?}, so there is nothing to judge: {}",
            outcome.name, outcome.detail
        ))
        .help(format!(
            "what is measured needs the base's series; `cargo xtask vm-test --base {base}` says \
             whether all of it works there"
        ))),
    }
}

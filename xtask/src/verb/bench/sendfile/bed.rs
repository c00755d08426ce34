//! The machine that is measured on: the kernel without the checks that cost
//! time; where QEMU's own emulator plays it, with a clock that counts
//! instructions, so that what else the host does changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use kdk_vm::machine::Machine;
use kdk_vm::plan::{Isolation, Wish};
use kdk_vm::progress::Progress;
use kdk_vm::qemu::{Engine, QemuMachine};
use kdk_vm::run::{Guests, Options, run_all};
use kdk_vm::symbolize::Program;
use kdk_vm::verdict::{Outcome, Verdict};

use super::figures::Clock;
use super::profile::{Sampler, Samples};
use crate::context::Context;
use crate::crash::Explainer;
use crate::failure::Failure;
use crate::guest::{self, Guest, KernelWish, Wanted};
use crate::recorder::Recorder;
use crate::series::load;
use crate::series::manifest::Class;
use crate::testing::{self, IsolationWish, Place, Tests};
use crate::vmm::Driver;

/// A thousand sockets, what they hold and their buffers fit, MiB.
const MEMORY: u32 = 1024;
/// An instruction takes 2 to the power of this, nanoseconds: a machine of 125
/// million instructions a second, about what the emulator can do.
const SHIFT: u32 = 3;

/// A guest, ready to measure.
pub struct Bed<'a> {
    cx: &'a Context,
    guest: Guest,
    logs: &'a Path,
    /// What its clock counts.
    pub clock: Clock,
}

impl<'a> Bed<'a> {
    /// With the whole series.
    pub fn patched(
        cx: &'a Context,
        wanted: &Wanted,
        name: &str,
        logs: &'a Path,
    ) -> Result<Self, Failure> {
        let recorder = Recorder::new(&cx.terminal);
        let wanted = Wanted {
            kernel: KernelWish::Bench,
            ..wanted.clone()
        };
        let mut guest = guest::prepare(cx, &recorder, &wanted, name, logs)?;
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

    /// Without the series, but for what lets the kernel boot in the same way.
    pub fn unpatched(
        cx: &'a Context,
        wanted: &Wanted,
        name: &str,
        logs: &'a Path,
    ) -> Result<Self, Failure> {
        let series = load::must(name)?;
        let patches = series.manifest.patches.iter();
        let without = patches
            .filter(|patch| patch.class != Class::Enabling)
            .map(|patch| patch.id.clone())
            .collect();
        let wanted = Wanted {
            without,
            ..wanted.clone()
        };
        Self::patched(cx, &wanted, name, logs)
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
        format!(
            "{}, {config}, {}: {clock}; medians of 3 rounds",
            run.base, run.accel
        )
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
            None => report.outcomes.into_iter().map(passed).collect(),
        }
    }

    /// Where the processor is while tests run, and what knows the functions
    /// there; none if nobody can ask the machine.
    pub fn profile(&self, names: &[String]) -> Result<Option<(Samples, Program)>, Failure> {
        let Driver::Qemu(qemu, spec) = &self.guest.driver else {
            return Ok(None);
        };
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::infra("take a profile", "no folder for a socket").source(error)
        })?;
        let socket = folder.path().join("monitor");
        let mut spec = spec.clone();
        let monitor = format!("unix:{},server=on,wait=off", socket.display());
        spec.extra.extend(["-qmp".into(), monitor.into()]);
        let start = |_: usize| {
            QemuMachine::start(qemu, &spec).map(|machine| Box::new(machine) as Box<dyn Machine>)
        };
        let options = Options {
            wish: Wish {
                patterns: names.to_vec(),
                ..Wish::default()
            },
            isolation: Isolation::None,
            ..Options::default()
        };
        let sampler = Sampler::start(&socket);
        let hear = |progress: Progress<'_>| {
            if let Progress::Result(line) = progress {
                sampler.hear(line);
            }
        };
        let report = run_all(Guests::Boot(&start), &options, &self.cx.interrupt, &hear);
        let samples = sampler.stop();
        if let Some(error) = report.error {
            return Err(error.into());
        }
        let code = &self.guest.code;
        let program = Program::open(&code.kernel, &[], code.sources.clone());
        Ok(Some((samples, program)))
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

fn passed(outcome: Outcome) -> Result<(String, String), Failure> {
    match outcome.verdict {
        Verdict::Pass => Ok((outcome.name, outcome.detail)),
        verdict => Err(Failure::tests(format!(
            "{} was {verdict:?}, so there is nothing to judge: {}",
            outcome.name, outcome.detail
        ))
        .help(
            "SF_KQUEUE is in the series' kernel; `cargo xtask vm-test --tests 'sendfile/*'` \
             says whether it works there",
        )),
    }
}

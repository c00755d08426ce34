//! The guest that is measured. Where QEMU emulates the processor, its clock
//! counts instructions, so that the load of the host changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_guest::request::{GuestRequest, TestRequest};
use kdk_guest::run_tests::TestEnv;
use kdk_report::recorder::Recorder;
use kdk_vm::plan::Isolation;
use kdk_vm::qemu::{Boot, Engine, QemuPool};
use kdk_vm::verdict::Outcome;

use crate::clock::Clock;

/// The memory in MiB: enough for a thousand sockets with their buffers, and
/// for a quarter of a million flows.
const MEMORY: u32 = 1024;
/// An instruction takes 2 to the power of this, in nanoseconds: a machine of
/// 125 million instructions a second, about the speed of the emulator.
const SHIFT: u32 = 3;

/// With one-shot timers and a counted clock, FreeBSD 15.1 with several busy
/// processes was seen to handle timer interrupts only (QEMU 7.2). See
/// eventtimers(4).
const PERIODIC: &str = " kern.eventtimer.periodic=1";

/// A guest that is ready to be measured.
pub struct Fixture<'a> {
    pub(crate) cx: &'a Context,
    base: String,
    pub(crate) env: TestEnv<'a>,
    /// What its clock counts.
    pub clock: Clock,
}

impl<'a> Fixture<'a> {
    /// Prepares the guest that `request` asks for, of the base `base`.
    ///
    /// # Errors
    /// Fails when a phase up to the image fails.
    pub fn prepare(
        cx: &'a Context,
        request: &GuestRequest,
        base: &str,
        logs: &Path,
    ) -> Result<Self, Failure> {
        let recorder = Recorder::new(&cx.terminal);
        let mut env = TestEnv::prepare(cx, &recorder, request, base, logs)?;
        let mut clock = Clock::Time;
        if let Some(QemuPool { spec, .. }) = env.guest.pool.qemu_mut() {
            spec.size.mem_mib = MEMORY;
            if spec.engine == Engine::Tcg {
                // An idle machine skips ahead to its next event.
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
            base: base.to_owned(),
            env,
            clock,
        })
    }

    /// Returns a description of the kernel's patches.
    pub fn patches(&self) -> String {
        match self.env.guest.info.patches.as_slice() {
            [] => "no patch".into(),
            patches => format!("only {}", patches.join(", ")),
        }
    }

    /// Returns a line about the machine and its clock.
    pub fn about(&self) -> String {
        let info = &self.env.guest.info;
        let config = info.kernel_config.as_deref().unwrap_or("its kernel");
        let clock = match self.clock {
            Clock::Time => "time by the guest's clock".into(),
            Clock::Instructions(each) => {
                format!("instructions are counted, {each} ns of guest time each")
            }
        };
        format!("{}, {config}, {}: {clock}", self.base, info.accel)
    }

    /// Runs tests, all in one guest. It boots: a loaded guest whose clock
    /// counts instructions does not find the right time.
    ///
    /// # Errors
    /// Fails when the host fails or the guest does not come up.
    pub fn run(&self, patterns: &[String]) -> Result<Vec<Outcome>, Failure> {
        let recorder = Recorder::new(&self.cx.terminal);
        let tests = TestRequest {
            patterns: patterns.to_vec(),
            cpus: vec![self.env.guest.pool.size().cpus],
            isolation: Isolation::None,
            cold: true,
            ..TestRequest::default()
        };
        let report = self.env.run(&recorder, &tests, BTreeMap::new())?;
        match report.error {
            Some(error) => Err(error.into()),
            None => Ok(report.outcomes),
        }
    }
}

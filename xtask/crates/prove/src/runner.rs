//! Runs tests on one kernel of a proof.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::evaluate::RunResult;
use crate::trees::effective_cpus;
use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;
use kdk_core::store::RESULTS_KEPT;
use kdk_guest::request::{BootChoice, GuestRequest, TestRequest};
use kdk_guest::run_tests::TestEnv;
use kdk_report::recorder::Recorder;

/// Runs tests on the kernels of a series.
pub struct Runner<'a> {
    /// The cache, the store and the terminal.
    pub cx: &'a Context,
    /// The name of the base.
    pub base: &'a str,
    /// How guests are made. Each [`KernelVariant`] selects the patches.
    pub request: &'a GuestRequest,
    /// How tests are run. Each [`KernelVariant`] selects the tests.
    pub tests: &'a TestRequest,
    /// The folder of `results.json`.
    pub results: &'a Path,
}

/// One kernel and the tests to run on it.
#[derive(Debug, Clone, Default)]
pub struct KernelVariant {
    /// Patches to exclude, together with the patches that need them.
    pub exclude: Vec<String>,
    /// Whether to boot it directly, whatever its patches are.
    pub pvh: bool,
    /// A diff to apply after the patches.
    pub patch: Option<PathBuf>,
    /// The number of virtual CPUs, if a manifest sets it.
    pub cpus: Option<u32>,
    /// Patterns of the tests to run.
    pub patterns: Vec<String>,
}

/// Tests to run, and the number of virtual CPUs that they run on.
#[derive(Debug, Clone, Copy)]
pub struct TestSelection<'a> {
    /// The number of virtual CPUs, if a manifest sets it.
    pub cpus: Option<u32>,
    /// Patterns of the tests.
    pub patterns: &'a [String],
}

/// The results on the kernel with the complete series, by the number of
/// virtual CPUs that manifests set.
#[derive(Debug, Default)]
pub struct Baseline(BTreeMap<Option<u32>, RunResult>);

impl Baseline {
    /// Returns the result of the tests for which a manifest sets `cpus`.
    pub fn with(&self, cpus: Option<u32>) -> Result<&RunResult, Failure> {
        self.0.get(&cpus).ok_or_else(|| {
            Failure::infra(
                "compare two kernels",
                "the tests did not run on the kernel with the complete series",
            )
        })
    }

    /// Iterates over the results.
    pub fn results(&self) -> impl Iterator<Item = &RunResult> {
        self.0.values()
    }
}

impl Runner<'_> {
    /// Reports which kernel is next.
    pub fn say(&self, what: &str) {
        self.cx.terminal.line(&format!("{}: {what}", self.base));
    }

    /// Runs all `selections` on the kernel with the complete series.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn baseline(&self, selections: &[TestSelection<'_>]) -> Result<Baseline, Failure> {
        let mut wanted: BTreeMap<Option<u32>, Vec<String>> = BTreeMap::new();
        for selection in selections {
            let patterns = wanted.entry(selection.cpus).or_default();
            for glob in selection.patterns {
                if !patterns.contains(glob) {
                    patterns.push(glob.clone());
                }
            }
        }
        let mut baseline = Baseline::default();
        for (cpus, patterns) in wanted {
            self.say(&format!("with the complete series{}", on(cpus)));
            let result = self.run(&KernelVariant {
                patterns,
                cpus,
                ..KernelVariant::default()
            })?;
            baseline.0.insert(cpus, result);
        }
        Ok(baseline)
    }

    /// Runs tests on a kernel.
    ///
    /// # Errors
    /// The host failed, or a pattern matches no test. Neither is a result of
    /// the kernel.
    pub fn run(&self, kernel: &KernelVariant) -> Result<RunResult, Failure> {
        let mut request = self.request.clone();
        request.exclude.clone_from(&kernel.exclude);
        request.patch.extend(kernel.patch.clone());
        if kernel.pvh && request.boot == BootChoice::Auto {
            request.boot = BootChoice::Pvh;
        }
        let tests = TestRequest {
            patterns: kernel.patterns.clone(),
            cpus: effective_cpus(kernel.cpus, &self.tests.cpus),
            seed: Some(self.tests.seed()),
            ..self.tests.clone()
        };
        match self.run_tests(&request, &tests) {
            Ok(result) => Ok(result),
            Err(failure) => match failure.class() {
                Class::Boot => Ok(RunResult::NoBoot(failure.in_one_line())),
                Class::Build => Ok(RunResult::NoBuild(failure.in_one_line())),
                Class::Tests | Class::Usage | Class::Infra => Err(failure),
            },
        }
    }

    fn run_tests(&self, request: &GuestRequest, tests: &TestRequest) -> Result<RunResult, Failure> {
        let recorder = Recorder::new(&self.cx.terminal);
        let logs = logs::folder(self.cx)?;
        let env = TestEnv::prepare(self.cx, &recorder, request, self.base, &logs)?;
        let report = env.run(&recorder, tests, BTreeMap::new())?;
        // A saved machine of each of a hundred kernels would fill the disk.
        self.cx.store.gc(RESULTS_KEPT)?;
        match report.error {
            Some(error) => Err(error.into()),
            None => Ok(RunResult::Ran(report.outcomes)),
        }
    }
}

/// Returns the words for a kernel for whose tests a manifest sets `cpus`.
pub fn on(cpus: Option<u32>) -> String {
    cpus.map_or_else(String::new, |cpus| format!(" on {cpus} CPUs"))
}

//! Runs tests on one kernel of a proof.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::evaluate::RunResult;
use crate::key;
use crate::trees::{Trees, effective_cpus};
use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;
use kdk_core::store::RESULTS_KEPT;
use kdk_guest::remote::{KernelTask, NamedTask, Remote};
use kdk_guest::request::{BootChoice, GuestRequest, TestRequest};

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
    /// All that results depend on beside the request.
    pub trees: &'a Trees,
    /// What runs kernels as tasks; none to run them here, one by one.
    pub remote: Option<&'a Remote<'a>>,
}

/// One kernel and the tests to run on it.
#[derive(Debug, Clone, Default)]
pub struct KernelVariant {
    /// The name in messages about its task: `without/ID`.
    pub name: String,
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

    /// Returns the kernels with the complete series on which `selections` run:
    /// one for each number of virtual CPUs. As tasks, the tests of each
    /// selection run by themselves, so that they can run side by side.
    pub fn baseline_kernels(&self, selections: &[TestSelection<'_>]) -> Vec<KernelVariant> {
        let mut kernels: Vec<KernelVariant> = Vec::new();
        for selection in selections {
            let same = |kernel: &&mut KernelVariant| {
                kernel.cpus == selection.cpus
                    && (self.remote.is_none() || kernel.patterns == selection.patterns)
            };
            match kernels.iter_mut().find(same) {
                Some(kernel) => {
                    for glob in selection.patterns {
                        if !kernel.patterns.contains(glob) {
                            kernel.patterns.push(glob.clone());
                        }
                    }
                }
                None => kernels.push(KernelVariant {
                    name: format!("series/{}", kernels.len() + 1),
                    cpus: selection.cpus,
                    patterns: selection.patterns.to_vec(),
                    ..KernelVariant::default()
                }),
            }
        }
        kernels.sort_by_key(|kernel| kernel.cpus);
        kernels
    }

    /// Runs all `selections` on the kernel with the complete series.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn baseline(&self, selections: &[TestSelection<'_>]) -> Result<Baseline, Failure> {
        let mut baseline = Baseline::default();
        for kernel in self.baseline_kernels(selections) {
            let cpus = kernel.cpus;
            self.say(&format!("with the complete series{}", on(cpus)));
            let result = self.run(&kernel)?;
            let result = match baseline.0.remove(&cpus) {
                Some(before) => before.and(result),
                None => result,
            };
            baseline.0.insert(cpus, result);
        }
        Ok(baseline)
    }

    /// Runs the kernels that will be asked for as tasks, where tasks are used.
    ///
    /// # Errors
    /// The executor failed.
    pub fn ahead(&self, kernels: &[KernelVariant]) -> Result<(), Failure> {
        let Some(remote) = self.remote else {
            return Ok(());
        };
        let tasks = kernels.iter().map(|kernel| self.named_task(kernel));
        remote.run(&tasks.collect::<Result<Vec<NamedTask>, Failure>>()?)
    }

    fn named_task(&self, kernel: &KernelVariant) -> Result<NamedTask, Failure> {
        let task = self.task(kernel);
        Ok(NamedTask {
            name: format!("{}/{}", self.base, kernel.name),
            key: self.key(kernel, &task)?,
            task,
        })
    }

    /// Returns the kernel and its tests as one request.
    fn task(&self, kernel: &KernelVariant) -> KernelTask {
        let mut guest = self.request.clone();
        guest.exclude.clone_from(&kernel.exclude);
        guest.patch.extend(kernel.patch.clone());
        if kernel.pvh && guest.boot == BootChoice::Auto {
            guest.boot = BootChoice::Pvh;
        }
        KernelTask {
            base: self.base.to_owned(),
            guest,
            tests: TestRequest {
                patterns: kernel.patterns.clone(),
                cpus: effective_cpus(kernel.cpus, &self.tests.cpus),
                ..self.tests.clone()
            },
        }
    }

    /// Returns the key of the result of a kernel's task.
    fn key(&self, kernel: &KernelVariant, task: &KernelTask) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Key<'a> {
            inputs: String,
            task: &'a KernelTask,
            diffs: Vec<Vec<u8>>,
        }
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| Failure::io("read a diff", path, error))
        };
        let mut key = key::digest(&Key {
            inputs: self.trees.inputs(&kernel.patterns)?,
            diffs: task
                .guest
                .patch
                .iter()
                .map(read)
                .collect::<Result<_, _>>()?,
            task,
        })?;
        key.truncate(32);
        Ok(key)
    }

    /// Runs tests on a kernel.
    ///
    /// # Errors
    /// The host failed, or a pattern matches no test. Neither is a result of
    /// the kernel.
    pub fn run(&self, kernel: &KernelVariant) -> Result<RunResult, Failure> {
        let result = match self.remote {
            None => {
                let mut task = self.task(kernel);
                task.tests.seed = Some(task.tests.seed());
                let result = task.run(self.cx, &logs::folder(self.cx)?)?;
                // A saved machine of each of a hundred kernels would fill the disk.
                self.cx.store.gc(RESULTS_KEPT)?;
                result
            }
            Some(remote) => remote.result(&self.named_task(kernel)?)?,
        };
        let failure = match result.outcomes {
            Ok(outcomes) => return Ok(RunResult::Ran(outcomes)),
            Err(saved) => Failure::from(saved),
        };
        match failure.class() {
            Class::Boot => Ok(RunResult::NoBoot(failure.in_one_line())),
            Class::Build => Ok(RunResult::NoBuild(failure.in_one_line())),
            Class::Tests | Class::Usage | Class::Infra => Err(failure),
        }
    }
}

/// Returns the words for a kernel for whose tests a manifest sets `cpus`.
pub fn on(cpus: Option<u32>) -> String {
    cpus.map_or_else(String::new, |cpus| format!(" on {cpus} CPUs"))
}

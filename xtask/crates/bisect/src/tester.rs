//! Tests kernels in guests, and keeps the outcomes for the next bisection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kdk_guest::remote::{KernelTask, NamedTask, Remote};
use kdk_guest::request::{GuestRequest, TestRequest};
use kdk_prove::trees::GuestInputs;
use kdk_vm::verdict::Outcome;

use crate::driver::{Kernel, Tested, Tester};
use crate::line::Line;
use crate::request::BisectRequest;
use crate::signature::{Counts, Signature};
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::event::{Phase, milliseconds};
use kdk_core::failure::{Class, Failure};
use kdk_guest::request::CommitChoice;

/// Tests the kernels of a line.
pub struct GuestTester<'a> {
    /// The cache, the store and the terminal.
    pub cx: &'a Context,
    /// What the user asks for.
    pub request: &'a BisectRequest,
    /// How guests are made.
    pub guest: &'a GuestRequest,
    /// Whether the guest's console is shown.
    pub verbose: bool,
    /// The line of kernels.
    pub line: &'a Line,
    /// What counts as the failure.
    pub signature: &'a Signature,
    /// What outcomes depend on beside the tree.
    pub inputs: &'a GuestInputs,
    /// The folder of the logs, with a folder for each kernel.
    pub logs: &'a Path,
    /// The number of kernels so far.
    pub count: AtomicUsize,
    /// What runs kernels as tasks; none to run them in this process.
    pub remote: Option<&'a Remote<'a>>,
}

impl Tester for GuestTester<'_> {
    fn ahead(&self, kernels: &[Kernel]) -> Result<(), Failure> {
        let Some(remote) = self.remote else {
            return Ok(());
        };
        let mut tasks = Vec::new();
        for kernel in kernels {
            let choice = self.line.kernel(kernel.point, kernel.place)?;
            let key = self.key(&self.line.tree(&choice)?)?;
            if kernel.fresh || self.known(&key, kernel.runs).is_none() {
                tasks.push(self.named_task(&choice, kernel.runs, kernel.fresh, &key));
            }
        }
        remote.run(&tasks)
    }

    fn test(&self, kernel: Kernel) -> Result<Tested, Failure> {
        let began = Instant::now();
        let (mut logs, mut phases) = (None, BTreeMap::new());
        let choice = self.line.kernel(kernel.point, kernel.place)?;
        let outcomes = self.outcomes(&choice, kernel.runs, kernel.fresh, (&mut logs, &mut phases));
        let counts = match (self.judge(outcomes)?, kernel.point) {
            (Ok(counts), _) => counts,
            (Err(failure), point) if self.is_endpoint(point) => return Err(failure),
            (Err(failure), _) => Counts::untested(failure.in_one_line()),
        };
        Ok(Tested {
            counts,
            ms: milliseconds(began.elapsed()),
            logs: logs.map(|path: PathBuf| path.to_string_lossy().into_owned()),
            phases,
        })
    }
}

impl GuestTester<'_> {
    /// Returns what the tests show on a kernel that need not be one of the line.
    ///
    /// # Errors
    /// A test does not exist, or the host failed.
    pub fn counts(&self, choice: &CommitChoice, runs: u32) -> Result<Counts, Failure> {
        let unused = (&mut None, &mut BTreeMap::new());
        self.judge(self.outcomes(choice, runs, false, unused))?
    }

    /// Returns what outcomes show, or the failure that says that a test does not
    /// exist.
    ///
    /// # Errors
    /// The host failed.
    fn judge(
        &self,
        outcomes: Result<Vec<Outcome>, Failure>,
    ) -> Result<Result<Counts, Failure>, Failure> {
        match outcomes {
            Ok(outcomes) => Ok(Ok(self.signature.count(&outcomes))),
            Err(failure) => match self.signature.of_failure(&failure) {
                Some(counts) => Ok(Ok(counts)),
                None if failure.class() == Class::Usage => Ok(Err(failure)),
                None => Err(failure),
            },
        }
    }

    /// Returns the outcomes of the tests on a kernel: those of an earlier
    /// bisection where there are enough and a `fresh` run is not asked for, else
    /// of now. `logs` gets the folder of the logs, and `phases` what took how long.
    ///
    /// # Errors
    /// The kernel does not build or boot, a test does not exist, or the host
    /// failed.
    pub fn outcomes(
        &self,
        choice: &CommitChoice,
        runs: u32,
        fresh: bool,
        (logs, phases): (&mut Option<PathBuf>, &mut BTreeMap<Phase, u64>),
    ) -> Result<Vec<Outcome>, Failure> {
        let key = self.key(&self.line.tree(choice)?)?;
        let path = outcomes_path(&self.cx.cache.bisects(), &key);
        if !fresh && let Some(outcomes) = self.known(&key, runs) {
            return Ok(outcomes);
        }
        if let Some(remote) = self.remote {
            let named = self.named_task(choice, runs, fresh, &key);
            let result = remote.result(&named)?;
            *logs = Some(result.logs);
            *phases = result.phases;
            if let Ok(outcomes) = &result.outcomes {
                write(&path, outcomes)?;
            }
            // Each fresh run is asked for once.
            remote.forget(&named.key);
            return result.outcomes.map_err(Failure::from);
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let folder = self.logs.join(format!("{number:03}-{:.12}", choice.commit));
        std::fs::create_dir_all(&folder)
            .map_err(|error| Failure::io("make a folder for the logs", &folder, error))?;
        *logs = Some(folder.clone());
        let outcomes = self.run(choice, runs, &folder, phases)?;
        write(&path, &outcomes)?;
        Ok(outcomes)
    }

    /// Builds, boots and tests a kernel.
    fn run(
        &self,
        choice: &CommitChoice,
        runs: u32,
        logs: &Path,
        phases: &mut BTreeMap<Phase, u64>,
    ) -> Result<Vec<Outcome>, Failure> {
        let result = self.task(choice, runs).run(self.cx, logs)?;
        *phases = result.phases;
        result.outcomes.map_err(Failure::from)
    }

    /// Returns a kernel and its tests as one request.
    fn task(&self, choice: &CommitChoice, runs: u32) -> KernelTask {
        KernelTask {
            base: self.request.base.clone(),
            guest: GuestRequest {
                commit: Some(choice.clone()),
                programs: self.request.tests.programs(),
                ..self.guest.clone()
            },
            tests: TestRequest {
                patterns: self.request.tests.patterns(),
                cpus: self.request.cpus.clone(),
                repeat: runs,
                verbose: self.verbose,
                ..TestRequest::default()
            },
        }
    }

    /// Returns the same as a task. Results of runs that have to be fresh are
    /// files of their own, and so are those of another number of runs.
    fn named_task(&self, choice: &CommitChoice, runs: u32, fresh: bool, key: &str) -> NamedTask {
        let fresh = if fresh { "-fresh" } else { "" };
        NamedTask {
            name: format!(
                "{}/bisect/{:.12}{fresh}-{runs}",
                self.request.base, choice.commit
            ),
            key: format!("{key}{fresh}-{runs}"),
            task: self.task(choice, runs),
        }
    }

    /// Returns the outcomes of at least `runs` runs of an earlier bisection.
    fn known(&self, key: &str, runs: u32) -> Option<Vec<Outcome>> {
        let outcomes = read(&outcomes_path(&self.cx.cache.bisects(), key))?;
        (runs_of(&outcomes) >= runs as usize).then_some(outcomes)
    }

    /// Returns the key of the outcomes on the tree `tree`.
    fn key(&self, tree: &str) -> Result<String, Failure> {
        let tests = &self.request.tests;
        let (patterns, identity) = (tests.patterns(), tests.identity());
        self.inputs
            .key(tree, (&patterns, &identity), &self.request.cpus)
    }

    fn is_endpoint(&self, point: usize) -> bool {
        point == 0 || point + 1 == self.line.problem.commits()
    }
}

/// Returns how often each of the tests ran, at least.
fn runs_of(outcomes: &[Outcome]) -> usize {
    let mut counts: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry((&outcome.name, outcome.cpus)).or_default() += 1;
    }
    counts.into_values().min().unwrap_or(0)
}

/// Returns the file of outcomes in the folder of bisections.
fn outcomes_path(bisects: &Path, key: &str) -> PathBuf {
    bisects.join("outcomes").join(format!("{key}.json"))
}

/// Reads outcomes; none if there are none, or a kill cut them off.
fn read(path: &Path) -> Option<Vec<Outcome>> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write(path: &Path, outcomes: &[Outcome]) -> Result<(), Failure> {
    let text = serde_json::to_vec(outcomes)
        .map_err(|error| Failure::infra("keep the outcomes", error.to_string()))?;
    write_atomically(path, &text).map_err(|error| Failure::io("keep the outcomes", path, error))
}

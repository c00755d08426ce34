//! Tests kernels in guests, and keeps the outcomes for the next bisection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kdk_guest::request::{GuestRequest, TestRequest};
use kdk_guest::run_tests::TestEnv;
use kdk_prove::trees::GuestInputs;
use kdk_report::recorder::Recorder;
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
}

impl Tester for GuestTester<'_> {
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
        if !fresh
            && let Some(outcomes) = read(&path)
            && runs_of(&outcomes) >= runs as usize
        {
            return Ok(outcomes);
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
        let request = GuestRequest {
            commit: Some(choice.clone()),
            programs: self.request.tests.programs(),
            ..self.guest.clone()
        };
        let tests = TestRequest {
            patterns: self.request.tests.patterns(),
            cpus: self.request.cpus.clone(),
            repeat: runs,
            verbose: self.verbose,
            ..TestRequest::default()
        };
        let recorder = Recorder::new(&self.cx.terminal);
        let report = TestEnv::prepare(self.cx, &recorder, &request, &self.request.base, logs)
            .and_then(|env| env.run(&recorder, &tests, BTreeMap::new()));
        for phase in recorder.phases().into_iter().filter(|phase| !phase.cached) {
            *phases.entry(phase.name).or_default() += phase.ms;
        }
        let report = report?;
        match report.error {
            Some(error) => Err(error.into()),
            None => Ok(report.outcomes),
        }
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

//! Tests kernels in guests, and keeps the outcomes for the next bisection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kdk_guest::build::digest;

use kdk_guest::remote::{KernelResult, KernelTask, NamedTask, Remote};
use kdk_guest::request::{GuestRequest, TestRequest};
use kdk_prove::trees::GuestInputs;
use kdk_vm::verdict::Outcome;

use crate::decide::Counts;
use crate::driver::{Kernel, Tested, Tester};
use crate::line::Line;
use crate::request::BisectRequest;
use crate::signature::{Signature, is_killed, is_no_such_test};
use crate::state::digest_of;
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::event::{Phase, milliseconds};
use kdk_core::failure::{Class, Failure, SavedFailure};
use kdk_core::store::RESULTS_KEPT;
use kdk_core::workspace::workspace;
use kdk_guest::request::CommitChoice;
use kdk_series::base::definition::Definition;
use kdk_series::base::record;

/// The folders of the guest's programs.
const SOURCES: [&str; 2] = ["kmod", "userland-tests"];

/// The number of hexadecimal digits of a key of outcomes.
const KEY_LENGTH: usize = 32;

/// The number of runs of the tests whose outcomes are kept of each kernel.
const MOST_RUNS: usize = 200;

/// What outcomes depend on, beside the tree and the request.
#[derive(Debug)]
pub struct Inputs {
    definition: Definition,
    guest: GuestInputs,
    /// A digest of the sources' text. While it is the same, so is the rest.
    sources: String,
}

impl Inputs {
    /// Returns the inputs of kernels of the base `base`, as they are now.
    ///
    /// # Errors
    /// There is no such base, or the sources cannot be read.
    pub fn of(cx: &Context, base: &str) -> Result<Self, Failure> {
        let definition = record::find(&cx.cache, base)?.definition()?;
        Ok(Self {
            sources: sources()?,
            guest: GuestInputs::of(&definition)?,
            definition,
        })
    }

    /// Returns a digest of the tests of `request`, and of how kernels are built
    /// and booted.
    ///
    /// # Errors
    /// The host failed.
    pub fn digest(&self, request: &BisectRequest) -> Result<String, Failure> {
        of_guest(&self.guest, request, "")
    }

    /// Fails if the tests are other ones than before: a kernel was tested with
    /// neither.
    ///
    /// # Errors
    /// They are, or the sources cannot be read.
    fn check_unchanged(&self, request: &BisectRequest) -> Result<(), Failure> {
        if sources()? == self.sources {
            return Ok(());
        }
        let now = GuestInputs::of(&self.definition)?;
        match of_guest(&now, request, "")? == self.digest(request)? {
            true => Ok(()),
            false => Err(Failure::usage(
                "keep the outcomes of a kernel",
                "the sources of the tests changed while it was built or tested",
            )
            .help("undo the change, or begin again without `--resume`")),
        }
    }
}

/// Returns a digest of the text of the guest's programs.
fn sources() -> Result<String, Failure> {
    digest::folders(workspace(), &SOURCES)
}

/// Returns a digest of what the outcomes of `request` on the tree `tree` depend
/// on, beside the guest.
fn of_guest(guest: &GuestInputs, request: &BisectRequest, tree: &str) -> Result<String, Failure> {
    let (patterns, identity) = (request.tests.patterns(), request.tests.identity());
    guest.key(tree, (&patterns, &identity), &request.cpus)
}

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
    pub inputs: &'a Inputs,
    /// The folder of the logs, with a folder for each kernel.
    pub logs: &'a Path,
    /// The number of kernels so far.
    pub count: AtomicUsize,
    /// What runs kernels as tasks; none to run them in this process.
    pub remote: Option<&'a Remote<'a>>,
    /// Old results are removed by one thread at a time.
    pub gc: Mutex<()>,
}

/// The outcomes of the tests on a kernel.
pub struct Ran {
    /// The outcomes, or why there are none.
    pub outcomes: Result<Vec<Outcome>, Failure>,
    /// The folder of the logs; none for outcomes of an earlier bisection.
    logs: Option<PathBuf>,
    /// How long its phases took that had work to do, in milliseconds.
    phases: BTreeMap<Phase, u64>,
}

impl Tester for GuestTester<'_> {
    fn ahead(&self, kernels: &[Kernel]) -> Result<(), Failure> {
        let Some(remote) = self.remote else {
            return Ok(());
        };
        let mut tasks = Vec::new();
        for kernel in kernels {
            let choice = self.line.kernel(kernel.point, kernel.place)?;
            let key = self.key(&choice)?;
            if kernel.fresh || self.known(&key, kernel.runs).is_none() {
                tasks.push(self.named_task(&choice, kernel.runs, kernel.fresh, &key));
            }
        }
        remote.run(&tasks)
    }

    fn test(&self, kernel: Kernel, decisive: &BTreeSet<String>) -> Result<Tested, Failure> {
        match self.tested(kernel, decisive) {
            Err(failure) if failure.class() == Class::Infra => {
                // Without its commit, no further attempt helps.
                self.line.check_exists(kernel.point)?;
                Err(failure)
            }
            tested => tested,
        }
    }
}

impl GuestTester<'_> {
    fn tested(&self, kernel: Kernel, decisive: &BTreeSet<String>) -> Result<Tested, Failure> {
        let began = Instant::now();
        let choice = self.line.kernel(kernel.point, kernel.place)?;
        let ran = self.outcomes(&choice, kernel.runs, kernel.fresh)?;
        let counts = match self.evaluate(&ran, decisive) {
            Ok(counts) => counts,
            // A test may have been added within the range.
            Err(failure) if is_no_such_test(&failure) && !self.is_endpoint(kernel.point) => {
                Counts::untested(failure.in_one_line())
            }
            Err(failure) => return Err(failure),
        };
        Ok(Tested {
            counts,
            ms: milliseconds(began.elapsed()),
            logs: ran.logs.map(|path| path.to_string_lossy().into_owned()),
            phases: ran.phases,
        })
    }

    /// Returns what the tests show on a kernel that need not be one of the line.
    ///
    /// # Errors
    /// A test does not exist, or the host failed.
    pub fn counts(
        &self,
        choice: &CommitChoice,
        runs: u32,
        decisive: &BTreeSet<String>,
    ) -> Result<Counts, Failure> {
        self.evaluate(&self.outcomes(choice, runs, false)?, decisive)
    }

    /// Returns what outcomes show.
    fn evaluate(&self, ran: &Ran, decisive: &BTreeSet<String>) -> Result<Counts, Failure> {
        let failure = match &ran.outcomes {
            Ok(outcomes) => return Ok(self.signature.count(outcomes, decisive)),
            Err(failure) => failure,
        };
        if is_killed(failure) {
            let why = failure.in_one_line();
            return Err(
                Failure::infra("build the kernel", "the compiler was killed")
                    .source(why)
                    .help("memory may be short: lower --jobs"),
            );
        }
        let console = match (&ran.logs, failure.class()) {
            (Some(logs), Class::Boot) => consoles(logs),
            _ => String::new(),
        };
        self.signature.of_failure(failure, &console).ok_or_else(|| {
            // A failure has a source that cannot be copied.
            SavedFailure::from(failure).into()
        })
    }

    /// Returns the outcomes of the tests on a kernel: those of an earlier
    /// bisection where there are enough and a `fresh` run is not asked for, else
    /// of now.
    ///
    /// # Errors
    /// The host failed, or the tests changed meanwhile.
    pub fn outcomes(&self, choice: &CommitChoice, runs: u32, fresh: bool) -> Result<Ran, Failure> {
        let key = self.key(choice)?;
        if !fresh && let Some(outcomes) = self.known(&key, runs) {
            return Ok(Ran {
                outcomes: Ok(outcomes),
                logs: None,
                phases: BTreeMap::new(),
            });
        }
        let named = self.named_task(choice, runs, fresh, &key);
        let result = self.run(choice, &named)?;
        self.inputs.check_unchanged(self.request)?;
        if let Ok(outcomes) = &result.outcomes {
            self.keep(&key, outcomes)?;
        }
        if let Some(remote) = self.remote {
            // Each fresh run is asked for once.
            remote.forget(&named.key);
        }
        // A saved machine of each of a hundred kernels would fill the disk.
        let _one = self.gc.lock().unwrap_or_else(PoisonError::into_inner);
        self.cx.store.gc(RESULTS_KEPT)?;
        Ok(Ran {
            outcomes: result.outcomes.map_err(Failure::from),
            logs: Some(result.logs),
            phases: result.phases,
        })
    }

    /// Builds, boots and tests a kernel, here or as a task.
    fn run(&self, choice: &CommitChoice, named: &NamedTask) -> Result<KernelResult, Failure> {
        if let Some(remote) = self.remote {
            return remote.result(named);
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let folder = self.logs.join(format!("{number:03}-{:.12}", choice.commit));
        std::fs::create_dir_all(&folder)
            .map_err(|error| Failure::io("make a folder for the logs", &folder, error))?;
        named.task.run(self.cx, &folder)
    }

    /// Adds outcomes to those of earlier runs on the same kernel.
    fn keep(&self, key: &str, outcomes: &[Outcome]) -> Result<(), Failure> {
        let path = outcomes_path(&self.cx.cache.bisects(), key);
        write(&path, &together(read(&path).unwrap_or_default(), outcomes))
    }

    /// Returns a kernel and its tests as one request.
    fn task(&self, choice: &CommitChoice, runs: u32) -> KernelTask {
        KernelTask {
            base: self.request.base.clone(),
            guest: GuestRequest {
                commit: Some(choice.clone()),
                programs: self.request.tests.programs(),
                accel: self.request.accel,
                ..self.guest.clone()
            },
            tests: TestRequest {
                patterns: self.request.tests.patterns(),
                cpus: self.request.cpus.clone(),
                repeat: runs,
                verbose: self.verbose,
                // Of a saved machine the boot would be one and the same.
                cold: self.request.tests.has_the_boot(),
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

    /// Returns the key of the outcomes on a kernel.
    fn key(&self, choice: &CommitChoice) -> Result<String, Failure> {
        let tree = self.line.tree(choice)?;
        let inputs = of_guest(&self.inputs.guest, self.request, &tree)?;
        digest_of(&(inputs, essential(self.task(choice, 1))), KEY_LENGTH)
    }

    fn is_endpoint(&self, point: usize) -> bool {
        point == 0 || point + 1 == self.line.problem.commits()
    }
}

/// Returns a task without what its outcomes do not depend on, or what another
/// part of their key has: the tree and the programs.
fn essential(mut task: KernelTask) -> KernelTask {
    if let Some(choice) = &mut task.guest.commit {
        choice.commit.clear();
        choice.patches.clear();
        choice.place = 0;
    }
    task.guest.programs.clear();
    task.tests.verbose = false;
    task
}

/// Returns the text of all consoles in a folder of logs.
fn consoles(logs: &Path) -> String {
    let files = std::fs::read_dir(logs).into_iter().flatten().flatten();
    files
        .filter(|file| file.file_name().to_string_lossy().starts_with("console."))
        .filter_map(|file| std::fs::read(file.path()).ok())
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .collect()
}

/// Returns the outcomes `before` with those of further runs. Those of many runs
/// are enough for every question.
fn together(mut before: Vec<Outcome>, more: &[Outcome]) -> Vec<Outcome> {
    if runs_of(&before) < MOST_RUNS {
        before.extend_from_slice(more);
    }
    before
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

#[cfg(test)]
mod tests {
    use kdk_report::fixtures;
    use kdk_vm::accel::AccelChoice;
    use kdk_vm::qemu::Engine;
    use kdk_vm::verdict::Verdict;

    use super::*;

    #[test]
    fn further_runs_are_added_to_those_before() {
        let outcome = |name| fixtures::outcome(name, Verdict::Pass, 1);
        let twenty = vec![outcome("a/x"); 20];
        let all = together(twenty.clone(), &[outcome("a/x")]);
        assert_eq!(runs_of(&all), 21);
        assert_eq!(together(Vec::new(), &twenty), twenty);
        let most = vec![outcome("a/x"); MOST_RUNS];
        assert_eq!(together(most.clone(), &twenty), most);
        // A test that ran less often than the others counts.
        assert_eq!(runs_of(&together(twenty, &[outcome("a/y")])), 1);
    }

    #[test]
    fn a_key_has_what_outcomes_depend_on() {
        let task = |patch: &dyn Fn(&mut KernelTask)| {
            let mut task = KernelTask {
                base: "main".into(),
                guest: GuestRequest {
                    commit: Some(CommitChoice {
                        commit: "c".into(),
                        patches: Vec::new(),
                        direct_boot: false,
                        place: 0,
                    }),
                    ..GuestRequest::default()
                },
                tests: TestRequest::default(),
            };
            patch(&mut task);
            essential(task)
        };
        let plain = task(&|_| {});
        let place = task(&|task| {
            task.tests.verbose = true;
            if let Some(choice) = &mut task.guest.commit {
                choice.place = 3;
                choice.commit = "d".into();
            }
        });
        assert_eq!(place, plain);
        let boot = task(&|task| {
            if let Some(choice) = &mut task.guest.commit {
                choice.direct_boot = true;
            }
        });
        assert_ne!(boot, plain);
        let accel = task(&|task| task.guest.accel = AccelChoice::Exactly(Engine::Tcg));
        assert_ne!(accel, plain);
    }

    #[test]
    fn the_whole_console_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("console.boot-1.log", "panic: a\n"),
            ("console.2.log", "b\n"),
            ("result.2.log", "result\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let text = consoles(dir.path());
        assert!(
            text.contains("panic: a\n") && text.contains("b\n"),
            "{text}"
        );
        assert!(!text.contains("result"), "{text}");
    }
}

//! Runs the tests of kernels as tasks, which other hosts may run.
//!
//! A task has a request and a result, two files in the cache folder. Their name
//! is a key of all that the result depends on, so a command that was killed
//! finds the results of its tasks when it runs again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::event::Phase;
use kdk_core::failure::{Class, Failure, SavedFailure};
use kdk_core::logs;
use kdk_executor::{Executor, Task};
use kdk_report::json::worked;
use kdk_report::recorder::Recorder;
use kdk_vm::verdict::Outcome;
use serde::{Deserialize, Serialize};

use crate::request::{GuestRequest, TestRequest};
use crate::run_tests::TestEnv;

/// The command of this program that runs one task.
pub const COMMAND: &str = "task";

/// The age from which on no command reads a result any more.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// One kernel, and the tests to run on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelTask {
    /// The name of the base.
    pub base: String,
    /// The guest with the kernel.
    pub guest: GuestRequest,
    /// The tests to run.
    pub tests: TestRequest,
}

/// What the tests of one kernel gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelResult {
    /// The outcomes of the tests, or why there are none.
    pub outcomes: Result<Vec<Outcome>, SavedFailure>,
    /// How long its phases took that had work to do, in milliseconds.
    pub phases: BTreeMap<Phase, u64>,
    /// The folder of its logs.
    pub logs: PathBuf,
}

impl KernelTask {
    /// Builds, boots and tests the kernel. The logs go to the folder `logs`.
    ///
    /// # Errors
    /// The host failed: that is no result.
    pub fn run(&self, cx: &Context, logs: &Path) -> Result<KernelResult, Failure> {
        let recorder = Recorder::new(&cx.terminal);
        let report = TestEnv::prepare(cx, &recorder, &self.guest, &self.base, logs)
            .and_then(|env| env.run(&recorder, &self.tests, BTreeMap::new()));
        let outcomes = report.and_then(|report| match report.error {
            Some(error) => Err(error.into()),
            None => Ok(report.outcomes),
        });
        let outcomes = match outcomes {
            Ok(outcomes) => Ok(outcomes),
            Err(failure) if failure.class() == Class::Infra => return Err(failure),
            Err(failure) => Err(SavedFailure::from(&failure)),
        };
        Ok(KernelResult {
            outcomes,
            phases: worked(&recorder.phases()),
            logs: logs.to_path_buf(),
        })
    }
}

/// Runs the task whose request is the file `request`, and writes its result to
/// the file `result`.
///
/// # Errors
/// The request cannot be read, or the host failed.
pub fn run_task(cx: &Context, request: &Path, result: &Path) -> Result<(), Failure> {
    let task: KernelTask = read(request)?.ok_or_else(|| {
        let what = format!("{} does not exist", request.display());
        Failure::usage("run a task", what)
            .help("only kdk itself starts this command, with a request that it wrote before")
    })?;
    let found = task.run(cx, &logs::folder(cx)?)?;
    write(result, &found)
}

/// Runs the kernels of one command by an executor.
pub struct Remote<'a> {
    cx: &'a Context,
    executor: &'a Executor<'a>,
    /// Why tasks have no result, by their keys.
    failed: Mutex<BTreeMap<String, SavedFailure>>,
    /// The keys of the results that were read.
    taken: Mutex<Vec<String>>,
}

/// A task of a [`Remote`].
#[derive(Debug, Clone)]
pub struct NamedTask {
    /// The name in messages.
    pub name: String,
    /// A digest of all that the result depends on.
    pub key: String,
    /// The kernel and its tests.
    pub task: KernelTask,
}

impl<'a> Remote<'a> {
    /// Returns what runs kernels by `executor`. Removes the files that earlier
    /// commands left long ago.
    pub fn new(cx: &'a Context, executor: &'a Executor<'a>) -> Self {
        remove_old(&cx.cache.tasks());
        Self {
            cx,
            executor,
            failed: Mutex::default(),
            taken: Mutex::default(),
        }
    }

    /// Runs `tasks`, and keeps their results for [`Remote::result`]. A task that
    /// has a result does not run again.
    ///
    /// # Errors
    /// The executor failed. A task that fails is no error.
    pub fn run(&self, tasks: &[NamedTask]) -> Result<(), Failure> {
        let mut by_result = BTreeMap::new();
        let mut all: Vec<Task> = Vec::new();
        for NamedTask { name, key, task } in tasks {
            let (request, result) = self.paths(key);
            if by_result.insert(result.clone(), key.clone()).is_some() {
                continue;
            }
            // A damaged result is none.
            if !matches!(read::<KernelResult>(&result), Ok(Some(_))) {
                let _ = fs::remove_file(&result);
            }
            write(&request, task)?;
            let args = [
                COMMAND.into(),
                request.clone().into_os_string(),
                result.clone().into(),
            ];
            all.push(Task::of_this_program(self.cx, name, args, result)?);
        }
        self.executor.run(&all, &mut |task, ended| {
            if let (Err(failure), Some(key)) = (ended, by_result.get(&task.result)) {
                self.cx.terminal.line(&failure.in_one_line());
                let mut failed = lock(&self.failed);
                failed.insert(key.clone(), SavedFailure::from(&failure));
            }
            Ok(())
        })
    }

    /// Returns the result of a task. It runs now if it did not run before.
    ///
    /// # Errors
    /// The task or the executor failed, or the result cannot be read.
    pub fn result(&self, task: &NamedTask) -> Result<KernelResult, Failure> {
        if let Some(result) = self.take(&task.key)? {
            return Ok(result);
        }
        self.run(std::slice::from_ref(task))?;
        self.take(&task.key)?.ok_or_else(|| {
            let what = "another process removed it";
            Failure::infra(format!("read the result of {}", task.name), what)
                .help("run the command again")
        })
    }

    /// Returns the result with the key `key`; none if its task did not run.
    fn take(&self, key: &str) -> Result<Option<KernelResult>, Failure> {
        if let Some(failure) = lock(&self.failed).remove(key) {
            return Err(failure.into());
        }
        let found = read(&self.paths(key).1)?;
        if found.is_some() {
            lock(&self.taken).push(key.to_owned());
        }
        Ok(found)
    }

    /// Removes the files of the results that were read: the caller has stored
    /// what they say.
    pub fn forget_all(&self) {
        for key in std::mem::take(&mut *lock(&self.taken)) {
            self.forget(&key);
        }
    }

    /// Removes the files of the task with the key `key`, whose result the caller
    /// has stored.
    pub fn forget(&self, key: &str) {
        let (request, result) = self.paths(key);
        // A file that stays is removed later, by its age.
        let _ = fs::remove_file(result);
        let _ = fs::remove_file(request);
    }

    fn paths(&self, key: &str) -> (PathBuf, PathBuf) {
        let dir = self.cx.cache.tasks();
        let path = |what: &str| dir.join(format!("{key}.{what}.json"));
        (path("request"), path("result"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads a file of a task; none if it does not exist.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read a task", path, error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let what = format!(
            "{} is damaged, or of another version of kdk",
            path.display()
        );
        Failure::infra("read a task", what)
            .source(error)
            .help("remove it, and run the command again")
    })
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_vec(value)
        .map_err(io::Error::other)
        .and_then(|text| write_atomically(path, &text))
        .map_err(|error| Failure::io("write a task", path, error))
}

/// Removes files in `dir` that are older than [`FORGOTTEN`].
fn remove_old(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|found| found.modified());
        let age = age.map(|changed| changed.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > FORGOTTEN) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

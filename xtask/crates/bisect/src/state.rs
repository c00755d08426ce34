//! The states of bisections in the cache folder: `bisects/ID`, with the request,
//! the log, and the reports once there is an answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::decide::{Event, Start};
use crate::log::{self, Log, write_durably};
use crate::request::{BisectRequest, TestSource};
use kdk_core::cache_dir::{CacheDir, Lock, write_atomically};
use kdk_core::failure::Failure;

/// The number of hexadecimal digits of an id.
const ID_LENGTH: usize = 16;

const TRIED: &str = "begin the bisection";

/// A bisection's folder, which no other process uses.
#[derive(Debug)]
pub struct State {
    /// The folder of its files.
    pub dir: PathBuf,
    _lock: Lock,
}

/// Returns the first `length` hexadecimal digits of a digest of `value`.
///
/// # Errors
/// It has no JSON form.
pub fn digest_of(value: &impl Serialize, length: usize) -> Result<String, Failure> {
    let json =
        serde_json::to_vec(value).map_err(|error| Failure::infra(TRIED, error.to_string()))?;
    let mut digest = blake3::hash(&json).to_hex().to_string();
    digest.truncate(length);
    Ok(digest)
}

/// Returns the folder of a request whose revisions are commit ids.
///
/// # Errors
/// The request has no JSON form.
pub fn folder(cache: &CacheDir, request: &BisectRequest) -> Result<PathBuf, Failure> {
    Ok(cache.bisects().join(digest_of(request, ID_LENGTH)?))
}

/// Opens the folder of a request, and changes nothing in it.
///
/// # Errors
/// Another process runs the same bisection, or the disk fails.
pub fn open(cache: &CacheDir, request: &BisectRequest) -> Result<State, Failure> {
    let dir = folder(cache, request)?;
    let id = dir.file_name().unwrap_or_default().to_string_lossy();
    let lock = match cache.try_lock(&format!("bisect-{id}"))? {
        Ok(lock) => lock,
        Err(owner) => {
            let what = format!("{owner} runs the same bisection");
            return Err(Failure::usage(TRIED, what).help("wait for it, or stop it"));
        }
    };
    cache.create(&dir)?;
    Ok(State { dir, _lock: lock })
}

impl State {
    /// Begins the bisection, or continues it with `resume` if it was interrupted.
    /// Returns its log. `start` is what the positions and verdicts of a log
    /// stand for now.
    ///
    /// # Errors
    /// They stood for something else when it began, or the disk fails.
    pub fn begin(
        &self,
        request: &BisectRequest,
        resume: bool,
        start: &Start,
    ) -> Result<Log, Failure> {
        let path = log::path(&self.dir);
        match resume {
            true => check_start(&log::read(&path)?, start)?,
            false => log::remove(&path)?,
        }
        let failed = |error| Failure::io(TRIED, &self.dir, error);
        let _ = fs::remove_file(self.dir.join(REPORT));
        let text = serde_json::to_vec_pretty(request)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        write_durably(&self.dir.join(REQUEST), &text).map_err(failed)?;
        let mut log = Log::open(&path)?;
        if log.events().is_empty() {
            log.append(Event::Start(start.clone()))?;
        }
        Ok(log)
    }

    /// Returns `request` with a copy of the user's program in this folder: what
    /// is tested stays the same while the user builds the program again.
    ///
    /// # Errors
    /// The program is not the one of the request, or the disk fails.
    pub fn with_copy(&self, request: &BisectRequest) -> Result<BisectRequest, Failure> {
        let TestSource::Program {
            path,
            arguments,
            digest,
        } = &request.tests
        else {
            return Ok(request.clone());
        };
        let copy = self
            .dir
            .join("program")
            .join(path.file_name().unwrap_or_default());
        let is_it = |bytes: &[u8]| blake3::hash(bytes).to_hex().as_str() == digest;
        if !fs::read(&copy).is_ok_and(|bytes| is_it(&bytes)) {
            let bytes =
                fs::read(path).map_err(|error| Failure::io("read the program", path, error))?;
            if !is_it(&bytes) {
                let what = format!("{} has changed since the bisection began", path.display());
                return Err(Failure::usage("continue the bisection", what)
                    .help("begin another one with the new program"));
            }
            write_atomically(&copy, &bytes)
                .map_err(|error| Failure::io("copy the program", &copy, error))?;
        }
        Ok(BisectRequest {
            tests: TestSource::Program {
                path: copy,
                arguments: arguments.clone(),
                digest: digest.clone(),
            },
            ..request.clone()
        })
    }
}

/// Fails if the log `events` is not about the kernels and tests `start`.
fn check_start(events: &[Event], start: &Start) -> Result<(), Failure> {
    let what = match events.first() {
        None => return Ok(()),
        Some(Event::Start(known)) if known == start => return Ok(()),
        Some(Event::Start(known)) if known.range == start.range => {
            "the tests, or how kernels are built, have changed since it began"
        }
        Some(Event::Start(_)) => "the commits or the patches have changed since it began",
        Some(_) => "another version of kdk began it",
    };
    Err(Failure::usage("continue the bisection", what)
        .help("begin it again without `--resume`: kernels and outcomes that still hold are cached"))
}

/// The names of files in a state's folder.
pub const REPORT: &str = "report.json";
const REQUEST: &str = "request.json";

/// Fails if a bisection was interrupted that differs from `request` in the range
/// alone: then a branch has moved, and the user continues another bisection than
/// they mean.
///
/// # Errors
/// There is one, or the folder of states cannot be read.
pub fn check_same_range(cache: &CacheDir, request: &BisectRequest) -> Result<(), Failure> {
    for path in interrupted(cache)?.iter().rev() {
        // What cannot be read is none of it.
        let Ok(other) = read(path) else {
            continue;
        };
        let moved = BisectRequest {
            range: request.range.clone(),
            ..other.clone()
        };
        if moved == *request {
            return Err(Failure::usage(
                "continue the bisection",
                "none with this request was interrupted",
            )
            .help(format!(
                "one of {} was: a branch has moved since, or another range is meant. Continue \
                 that one with `--resume` and no other option, or leave `--resume` out",
                other.range_text()
            )));
        }
    }
    Ok(())
}

/// Returns the request of the last bisection that has no answer yet.
///
/// # Errors
/// The folder of states cannot be read.
pub fn unfinished(cache: &CacheDir) -> Result<Option<BisectRequest>, Failure> {
    interrupted(cache)?
        .pop()
        .map(|path| read(&path))
        .transpose()
}

/// Returns the files of the requests that have no answer yet, the last one at the
/// end.
fn interrupted(cache: &CacheDir) -> Result<Vec<PathBuf>, Failure> {
    let dir = cache.bisects();
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Failure::io("list the bisections", &dir, error))?,
    };
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let changed = fs::metadata(log::path(&path)).and_then(|file| file.modified());
        if let (Ok(changed), false) = (changed, path.join(REPORT).exists()) {
            found.push((changed, path.join(REQUEST)));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn read(path: &Path) -> Result<BisectRequest, Failure> {
    let text = fs::read(path).map_err(|error| Failure::io("read a bisection", path, error))?;
    serde_json::from_slice(&text).map_err(|error| {
        let what = format!("{} is not the request of a bisection", path.display());
        Failure::infra("continue the bisection", what)
            .source(error)
            .help("begin it again without `--resume`")
    })
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::request::RangeChoice;

    fn request(bad: &str) -> BisectRequest {
        BisectRequest {
            base: "releng-15.1".into(),
            range: RangeChoice::Commits {
                good: "g".into(),
                bad: bad.into(),
            },
            tests: TestSource::Suites(vec!["a/*".into()]),
            signature: None,
            metric: None,
            with: Vec::new(),
            cpus: Vec::new(),
            accel: Default::default(),
            runs: 20,
        }
    }

    fn start(range: &str, tests: &str) -> Start {
        Start {
            range: range.into(),
            tests: tests.into(),
        }
    }

    #[test]
    fn a_bisection_is_continued_or_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        assert_eq!(unfinished(&cache).unwrap(), None);
        let start = start("r", "t");
        let state = open(&cache, &request("b")).unwrap();
        // A second process with the same request.
        let busy = open(&cache, &request("b")).unwrap_err();
        assert!(
            busy.in_one_line().contains("runs the same bisection"),
            "{busy}"
        );
        // A script may say --resume at once, and in a loop.
        let mut log = state.begin(&request("b"), true, &start).unwrap();
        assert_eq!(log.events(), [Event::Start(start.clone())]);
        log.append(Event::Session { at: 1 }).unwrap();
        drop((log, state));
        assert_eq!(unfinished(&cache).unwrap(), Some(request("b")));
        // A branch has moved from b to c since.
        let moved = check_same_range(&cache, &request("c")).unwrap_err();
        assert!(moved.advice().unwrap().contains("g..b"), "{moved:?}");
        let mut other = request("c");
        other.runs = 3;
        check_same_range(&cache, &other).unwrap();
        let entries = |resume| {
            let state = open(&cache, &request("b")).unwrap();
            let log = state.begin(&request("b"), resume, &start).unwrap();
            log.events().len()
        };
        assert_eq!(entries(true), 2);
        // What fails before a bisection begins again leaves the log.
        drop(open(&cache, &request("b")).unwrap());
        assert_eq!(entries(true), 2);
        assert_eq!(entries(false), 1);
        assert_eq!(unfinished(&cache).unwrap(), Some(request("b")));
        let state = open(&cache, &request("b")).unwrap();
        fs::write(state.dir.join(REPORT), "{}").unwrap();
        assert_eq!(unfinished(&cache).unwrap(), None);
    }

    #[test]
    fn a_log_about_other_kernels_or_tests_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let state = open(&cache, &request("b")).unwrap();
        state.begin(&request("b"), false, &start("r", "t")).unwrap();
        for (other, why) in [
            (start("other", "t"), "the commits or the patches"),
            (start("r", "other"), "the tests"),
        ] {
            let failure = state.begin(&request("b"), true, &other).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.in_one_line().contains(why), "{failure}");
            assert!(failure.advice().unwrap().contains("without `--resume`"));
        }
        // Nothing is lost.
        let log = state.begin(&request("b"), true, &start("r", "t")).unwrap();
        assert_eq!(log.events().len(), 1);
        fs::write(log::path(&state.dir), "{\"event\":\"session\",\"at\":1}\n").unwrap();
        let older = state.begin(&request("b"), true, &start("r", "t"));
        assert!(older.unwrap_err().in_one_line().contains("another version"));
    }

    #[test]
    fn the_program_is_the_one_that_the_bisection_began_with() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let path = dir.path().join("repro");
        fs::write(&path, "1").unwrap();
        let mut request = request("b");
        request.tests = TestSource::Program {
            path: path.clone(),
            arguments: Vec::new(),
            digest: blake3::hash(b"1").to_hex().to_string(),
        };
        let state = open(&cache, &request).unwrap();
        let of = |request: &BisectRequest| match &request.tests {
            TestSource::Program { path, .. } => path.clone(),
            TestSource::Suites(_) => panic!("it is a program"),
        };
        let copy = state.with_copy(&request).unwrap();
        assert_eq!(copy.tests.patterns(), request.tests.patterns());
        assert_eq!(fs::read(of(&copy)).unwrap(), b"1");
        // The user's file does not matter any more.
        fs::write(&path, "2").unwrap();
        assert_eq!(state.with_copy(&request).unwrap(), copy);
        fs::remove_file(of(&copy)).unwrap();
        let failure = state.with_copy(&request).unwrap_err();
        assert!(failure.in_one_line().contains("has changed"), "{failure}");
    }
}

//! The states of bisections in the cache folder: `bisects/ID`, with the request,
//! the log, and the reports once there is an answer.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::log::{self, write_durably};
use crate::request::BisectRequest;
use kdk_core::cache_dir::{CacheDir, Lock};
use kdk_core::failure::Failure;

/// The number of hexadecimal digits of an id.
const ID_LENGTH: usize = 16;

/// A bisection's folder, which no other process uses.
#[derive(Debug)]
pub struct State {
    /// The id of the bisection: a digest of its request.
    pub id: String,
    /// The folder of its files.
    pub dir: PathBuf,
    _lock: Lock,
}

/// Returns the id of a request whose revisions are commit ids.
///
/// # Errors
/// The request has no JSON form.
pub fn id(request: &BisectRequest) -> Result<String, Failure> {
    let json = serde_json::to_vec(request)
        .map_err(|error| Failure::infra("begin the bisection", error.to_string()))?;
    let mut id = blake3::hash(&json).to_hex().to_string();
    id.truncate(ID_LENGTH);
    Ok(id)
}

/// Opens the state of a request: to continue it with `resume`, else to begin
/// again.
///
/// # Errors
/// Another process runs the same bisection, there is nothing to continue, or
/// the disk fails.
pub fn open(cache: &CacheDir, request: &BisectRequest, resume: bool) -> Result<State, Failure> {
    const TRIED: &str = "begin the bisection";
    let id = id(request)?;
    let dir = cache.bisects().join(&id);
    let lock = match cache.try_lock(&format!("bisect-{id}"))? {
        Ok(lock) => lock,
        Err(owner) => {
            let what = format!("{owner} runs the same bisection");
            return Err(Failure::usage(TRIED, what).help("wait for it, or stop it"));
        }
    };
    if resume && !log::path(&dir).exists() {
        let failure = Failure::usage(
            "continue the bisection",
            "none with this request was interrupted",
        );
        return Err(match unfinished(cache)? {
            Some(other) => failure.help(format!(
                "the last interrupted one is on {}, {}: continue it with `--resume` and no other \
                 option, or leave `--resume` out; a branch that has moved since is another request",
                other.base,
                other.range_text()
            )),
            None => failure.help("leave `--resume` out"),
        });
    }
    let failed = |error| Failure::io(TRIED, &dir, error);
    cache.create(&dir)?;
    if !resume {
        log::remove(&log::path(&dir))?;
    }
    let _ = fs::remove_file(dir.join(REPORT));
    let text =
        serde_json::to_vec_pretty(request).map_err(|error| failed(std::io::Error::other(error)))?;
    write_durably(&dir.join(REQUEST), &text).map_err(failed)?;
    Ok(State {
        id,
        dir,
        _lock: lock,
    })
}

/// The names of files in a state's folder.
pub const REPORT: &str = "report.json";
const REQUEST: &str = "request.json";

/// Returns the request of the last bisection that has no answer yet.
///
/// # Errors
/// The folder of states cannot be read.
pub fn unfinished(cache: &CacheDir) -> Result<Option<BisectRequest>, Failure> {
    let dir = cache.bisects();
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
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
    let Some((_, path)) = found.pop() else {
        return Ok(None);
    };
    let text = fs::read(&path).map_err(|error| Failure::io("read a bisection", &path, error))?;
    let request = serde_json::from_slice(&text).map_err(|error| {
        let what = format!("{} is not the request of a bisection", path.display());
        Failure::infra("continue the bisection", what)
            .source(error)
            .help("begin it again without `--resume`")
    })?;
    Ok(Some(request))
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::decide::Event;
    use crate::log::Log;
    use crate::request::{RangeChoice, TestSource};

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
            runs: 20,
        }
    }

    #[test]
    fn a_bisection_is_continued_or_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let none = open(&cache, &request("b"), true).unwrap_err();
        assert_eq!(none.exit_code(), 2);
        assert_eq!(unfinished(&cache).unwrap(), None);
        let state = open(&cache, &request("b"), false).unwrap();
        // A second process with the same request.
        let busy = open(&cache, &request("b"), true).unwrap_err();
        assert!(
            busy.in_one_line().contains("runs the same bisection"),
            "{busy}"
        );
        Log::open(&log::path(&state.dir))
            .unwrap()
            .append(Event::Session { at: 1 })
            .unwrap();
        drop(state);
        assert_eq!(unfinished(&cache).unwrap(), Some(request("b")));
        let other = open(&cache, &request("c"), true).unwrap_err();
        assert!(other.advice().unwrap().contains("g..b"), "{other:?}");
        let entries = |resume| {
            let state = open(&cache, &request("b"), resume).unwrap();
            Log::open(&log::path(&state.dir)).unwrap().events().len()
        };
        assert_eq!(entries(true), 1);
        assert_eq!(entries(false), 0);
        let state = open(&cache, &request("b"), true).unwrap();
        fs::write(state.dir.join(REPORT), "{}").unwrap();
        assert_eq!(unfinished(&cache).unwrap(), None);
    }
}

//! The results and revisions of a series in the cache folder: `ci/SERIES`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::Job;
use crate::result::{JobResult, JobVerdict, SCHEMA};
use crate::revision::{self, Revision};
use crate::versioned::{self, BadFile};
use kdk_core::cache_dir::{CacheDir, Lock, write_atomically};
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};

/// The largest file that is read, in bytes.
pub(crate) const LARGEST: u64 = 64 << 20;

/// The results and revisions of one series.
#[derive(Debug, Clone)]
pub struct CiStore {
    dir: PathBuf,
}

/// A folder of results: `KEY.json` for each, with the artefacts in `KEY/`. The
/// store has one, and each shard of a pipeline writes one.
#[derive(Debug, Clone)]
pub struct Results {
    dir: PathBuf,
    /// Whether a result has a file for each of its keys. A shard has one for
    /// each job.
    has_all_keys: bool,
}

impl CiStore {
    /// Returns the store of the series `series`.
    pub fn open(cache: &CacheDir, series: &str) -> Self {
        Self {
            dir: cache.ci().join(series),
        }
    }

    /// Returns the folder of the results.
    pub fn results(&self) -> Results {
        Results {
            dir: self.dir.join("results"),
            has_all_keys: true,
        }
    }

    /// Returns the folder of the reports, with one folder for each revision.
    pub fn reports(&self) -> PathBuf {
        self.dir.join("reports")
    }

    /// Returns the folder of the tasks of runs.
    pub fn tasks(&self) -> PathBuf {
        self.dir.join("tasks")
    }

    /// Returns the revision `id`, if the store has it.
    ///
    /// # Errors
    /// The file has another schema, or is not a revision.
    pub fn revision(&self, id: &str) -> Result<Option<Revision>, Failure> {
        read(&self.revision_path(id), "a revision", revision::SCHEMA)
    }

    /// Returns all revisions, the first planned one first.
    ///
    /// # Errors
    /// As [`CiStore::revision`].
    pub fn revisions(&self) -> Result<Vec<Revision>, Failure> {
        let dir = self.dir.join("revisions");
        let failed = |error| Failure::io("list the revisions", &dir, error);
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut revisions: Vec<Revision> = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == "json") {
                revisions.extend(read(&path, "a revision", revision::SCHEMA)?);
            }
        }
        revisions.sort_by(|a, b| a.began.cmp(&b.began).then_with(|| a.id.cmp(&b.id)));
        Ok(revisions)
    }

    /// Stores a revision. Jobs of an earlier plan of the same revision stay.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn put_revision(&self, revision: &Revision) -> Result<(), Failure> {
        let mut merged = revision.clone();
        if let Some(known) = self.revision(&revision.id)? {
            merged.began = known.began;
            // The last plan decides about the jobs that it has.
            let others = known.unchanged.into_iter();
            merged
                .unchanged
                .extend(others.filter(|job| !revision.jobs.contains_key(job)));
            for (job, key) in known.jobs {
                merged.jobs.entry(job).or_insert(key);
            }
            for (job, inputs) in known.inputs {
                merged.inputs.entry(job).or_insert(inputs);
            }
        }
        write(&self.revision_path(&revision.id), &merged)
    }

    fn revision_path(&self, id: &str) -> PathBuf {
        self.dir.join("revisions").join(format!("{id}.json"))
    }
}

/// Locks the store of `series`. Waits for the process that has the lock.
///
/// # Errors
/// The user pressed ^C, or the host failed.
pub fn lock(cache: &CacheDir, series: &str, say: &dyn Fn(String)) -> Result<Lock, Failure> {
    cache.lock(&format!("ci-{series}"), say)
}

impl Results {
    /// Returns the folder `dir` as the folder of results of a shard.
    pub fn at(dir: PathBuf) -> Self {
        Self {
            dir,
            has_all_keys: false,
        }
    }

    /// Returns the path of the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns a name for a shard's folder that no other one has; none for the
    /// store.
    pub fn shard_id(&self) -> Option<String> {
        let digest = blake3::hash(self.dir.as_os_str().as_encoded_bytes()).to_hex();
        (!self.has_all_keys).then(|| digest[..16].to_owned())
    }

    /// Returns the folder of the artefacts of `job`.
    pub fn artefacts(&self, job: &Job) -> PathBuf {
        self.dir.join(&job.key)
    }

    /// Returns the result with the key `key`, if there is one.
    ///
    /// # Errors
    /// The file has another schema, or is not a result.
    pub fn get(&self, key: &str) -> Result<Option<JobResult>, Failure> {
        let path = self.dir.join(JobResult::file_name(key));
        read(&path, "a result of CI", SCHEMA)
    }

    /// Stores a result: in the store under each of its keys. An earlier result
    /// with the same key stays as an attempt. A failure of the host does not
    /// replace a result that says something about the patch.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn put(&self, result: &JobResult) -> Result<(), Failure> {
        self.put_as(&result.key, result)?;
        let also = result.also.iter().filter(|_| self.has_all_keys);
        for key in also {
            let other = JobResult {
                key: key.clone(),
                also: Vec::new(),
                ..result.clone()
            };
            self.put_as(key, &other)?;
        }
        Ok(())
    }

    /// Returns whether `result` becomes the verdict of its key when it is stored.
    ///
    /// # Errors
    /// The stored result cannot be read.
    pub fn is_newer(&self, result: &JobResult) -> Result<bool, Failure> {
        let known = self.get(&result.key)?;
        Ok(known.is_none_or(|known| rank(result) > rank(&known)))
    }

    fn put_as(&self, key: &str, result: &JobResult) -> Result<(), Failure> {
        match merge(self.get(key)?, result) {
            Some(merged) => write(&self.dir.join(JobResult::file_name(key)), &merged),
            None => Ok(()),
        }
    }
}

/// Returns the result with the attempts of both, or nothing if `old` stays as it
/// is. The run that began last decides, in whatever order they are stored: a
/// folder of results can be collected again.
fn merge(old: Option<JobResult>, new: &JobResult) -> Option<JobResult> {
    let Some(old) = old else {
        return Some(new.clone());
    };
    let is_new = |began, verdict| (began, verdict) == (new.began, new.verdict);
    if is_new(old.began, old.verdict) || old.attempts.iter().any(|a| is_new(a.began, a.verdict)) {
        return None;
    }
    if !new.is_final() && old.is_final() {
        return None;
    }
    let (mut merged, other) = match rank(new) > rank(&old) {
        true => (new.clone(), &old),
        false => (old.clone(), new),
    };
    merged.attempts.extend(other.attempts.iter().cloned());
    merged.attempts.push(other.attempt());
    merged.attempts.sort_by_key(|attempt| attempt.began);
    merged.attempts.dedup();
    Some(merged)
}

/// Returns what makes one of two results the verdict: that it is about the
/// patch, that it began later, and at the same time that it failed.
fn rank(result: &JobResult) -> (bool, u64, bool) {
    let failed = result.verdict == JobVerdict::Failed;
    (result.is_final(), result.began, failed)
}

/// Reads a JSON file with the schema `schema`. There is none if the file does
/// not exist.
///
/// # Errors
/// It has another schema, or is not `what`.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    what: &str,
    schema: u32,
) -> Result<Option<T>, Failure> {
    let tried = format!("read {}", path.display());
    let text = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => input::read(&tried, path, LARGEST, Links::Refuse)?,
    };
    versioned::parse(&text, schema).map(Some).map_err(|bad| {
        let failure = Failure::usage(&tried, format!("it is {what} that {bad}"))
            .help("move the file away: its job runs again, and other results stay");
        match bad {
            BadFile::Older { .. } | BadFile::Newer { .. } => {
                failure.and_help("or use the kdk that wrote it")
            }
            _ => failure,
        }
    })
}

/// Writes a JSON file atomically.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let tried = format!("write {}", path.display());
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::infra(&tried, error.to_string()))?;
    text.push('\n');
    write_atomically(path, text.as_bytes()).map_err(|error| Failure::io(&tried, path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{job, result, revision};
    use crate::result::JobVerdict::{Failed, HostError, Passed};
    use kdk_core::failure::rendered;

    fn results(dir: &tempfile::TempDir) -> Results {
        let dir = dir.path().to_owned();
        CiStore { dir }.results()
    }

    #[test]
    fn a_result_is_stored_under_each_of_its_keys() {
        let dir = tempfile::tempdir().unwrap();
        let results = results(&dir);
        assert_eq!(results.get("weak").unwrap(), None);
        let mut one = result(&job("lint", "weak"), Passed);
        one.also = vec!["full".into()];
        results.put(&one).unwrap();
        for key in ["weak", "full"] {
            let found = results.get(key).unwrap().unwrap();
            assert_eq!((found.key.as_str(), found.verdict), (key, Passed));
        }
        // The collector stores it under all of them.
        let shard = Results::at(dir.path().join("shard"));
        shard.put(&one).unwrap();
        assert_eq!(shard.get("weak").unwrap(), Some(one));
        assert_eq!(shard.get("full").unwrap(), None);
    }

    #[test]
    fn an_earlier_result_stays_as_an_attempt() {
        let at = |began, verdict| {
            let mut one = result(&job("lint", "k"), verdict);
            one.began = began;
            one
        };
        let table = [
            // old, new, what is stored: verdict and number of attempts
            (None, at(1, Passed), Some((Passed, 0))),
            (Some(at(1, Failed)), at(2, Passed), Some((Passed, 1))),
            (Some(at(1, HostError)), at(2, Failed), Some((Failed, 1))),
            (
                Some(at(1, HostError)),
                at(2, HostError),
                Some((HostError, 1)),
            ),
            (Some(at(1, Failed)), at(2, HostError), None),
            (Some(at(1, Passed)), at(2, HostError), None),
            // The same result, collected twice.
            (Some(at(1, Failed)), at(1, Failed), None),
            // A folder that is collected late: the newest run decides.
            (Some(at(2, Failed)), at(1, Passed), Some((Failed, 1))),
            (Some(at(2, Passed)), at(1, Failed), Some((Passed, 1))),
            (Some(at(2, HostError)), at(1, Failed), Some((Failed, 1))),
            // Two hosts began at once.
            (Some(at(1, Failed)), at(1, Passed), Some((Failed, 1))),
            (Some(at(1, Passed)), at(1, Failed), Some((Failed, 1))),
        ];
        for (old, new, want) in table {
            let got = merge(old.clone(), &new).map(|one| (one.verdict, one.attempts.len()));
            assert_eq!(got, want, "{old:?} {new:?}");
        }
        // An attempt that is known already.
        let both = merge(Some(at(1, Failed)), &at(2, Passed)).unwrap();
        assert_eq!(merge(Some(both.clone()), &at(1, Failed)), None);
        let all = merge(Some(at(4, Passed)), &both).unwrap();
        let began: Vec<u64> = all.attempts.iter().map(|one| one.began).collect();
        assert_eq!((all.verdict, began), (Passed, vec![1, 2]));
    }

    #[test]
    fn a_file_of_another_form_is_one_clear_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let results = results(&dir);
        let mut texts = Vec::new();
        for text in [
            r#"{"schema": 0, "job": "a"}"#,
            r#"{"schema": 1, "job": "a"}"#,
            r#"{"schema": 1, "jo"#,
            "",
        ] {
            let path = results.dir().join("k.json");
            write_atomically(&path, text.as_bytes()).unwrap();
            let failure = results.get("k").unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            let put = results.put(&result(&job("lint", "k"), Passed)).unwrap_err();
            assert_eq!(put.exit_code(), 2);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            texts.push(rendered(&failure).replace(&*dir.path().to_string_lossy(), "TMP"));
        }
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_revision_keeps_the_jobs_of_an_earlier_plan() {
        let dir = tempfile::tempdir().unwrap();
        let store = CiStore {
            dir: dir.path().to_owned(),
        };
        assert!(store.revisions().unwrap().is_empty());
        let mut nightly = revision("b", &["a"]);
        nightly.jobs = [("b/mutants/x".to_owned(), "1".to_owned())].into();
        nightly.began = 5;
        nightly.unchanged = ["b/mutants/x".to_owned(), "b/lint/a".to_owned()].into();
        let mut later = nightly.clone();
        later.unchanged.clear();
        later.jobs = [("b/lint/a".to_owned(), "2".to_owned())].into();
        later.began = 9;
        let mut other = revision("b", &["a", "c"]);
        other.began = 1;
        for one in [&nightly, &later, &other] {
            store.put_revision(one).unwrap();
        }
        let found = store.revision(&nightly.id).unwrap().unwrap();
        assert_eq!((found.jobs.len(), found.began), (2, 5));
        // The later plan needs the other one.
        assert_eq!(found.unchanged, ["b/mutants/x".to_owned()].into());
        let all: Vec<String> = store
            .revisions()
            .unwrap()
            .into_iter()
            .map(|r| r.id)
            .collect();
        assert_eq!(all, [other.id, nightly.id]);
    }
}

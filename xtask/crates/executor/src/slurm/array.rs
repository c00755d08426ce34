//! The record of a job array: a folder in the cache, with the batch script, the
//! job's id, and what its tasks print and how they end.
//!
//! A record is written before its array is submitted, so that no array runs
//! that a later command does not find.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::clock;
use kdk_core::failure::Failure;
use serde::{Deserialize, Serialize};

use super::script;
use crate::task::Task;

/// The name of the record in its folder.
const RECORD: &str = "array.json";
/// The name of the batch script in the folder.
const SCRIPT: &str = "batch.sh";
/// The schema of records that this version reads and writes.
const SCHEMA: u32 = 1;
/// The number of arrays whose logs stay.
pub const KEPT: usize = 20;
/// The time after which an array that no command waits for is forgotten.
const FORGOTTEN_MS: u64 = 30 * 24 * 3600 * 1000;

/// The record of an array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// The job's name, which no other job has.
    pub name: String,
    /// The job's id; none until sbatch(1) has returned it.
    pub job: Option<u64>,
    /// When it was submitted, in milliseconds since 1970.
    submitted: u64,
    /// The digests of the paths of its tasks' results, by index.
    tasks: Vec<String>,
}

/// A job array that was submitted, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// The folder of its files.
    pub dir: PathBuf,
    /// What is known about it.
    pub record: Record,
}

impl Array {
    /// Writes the record and the script of a new array.
    ///
    /// # Errors
    /// The disk's, or a task that cannot be written down.
    pub fn create(cache: &CacheDir, tasks: &[&Task]) -> Result<Self, Failure> {
        let parent = cache.executor();
        cache.create(&parent)?;
        let failed = |error| Failure::io("submit tasks to Slurm", &parent, error);
        let now = clock::now();
        let dir = tempfile::Builder::new()
            .prefix(&format!("{now:012}-"))
            .tempdir_in(&parent)
            .map_err(failed)?
            .keep();
        let suffix = dir.file_name().unwrap_or_default().to_string_lossy();
        let array = Self {
            record: Record {
                schema: SCHEMA,
                name: format!("kdk-{suffix}"),
                job: None,
                submitted: now,
                tasks: tasks.iter().map(|task| id(task)).collect(),
            },
            dir,
        };
        let text = script::text(tasks, &array.dir)?;
        fs::write(array.script(), text).map_err(failed)?;
        array.write()?;
        Ok(array)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self) -> Result<(), Failure> {
        let path = self.dir.join(RECORD);
        serde_json::to_vec_pretty(&self.record)
            .map_err(io::Error::other)
            .and_then(|text| write_atomically(&path, &text))
            .map_err(|error| Failure::io("write the record of a job array", &path, error))
    }

    /// Returns the batch script.
    pub fn script(&self) -> PathBuf {
        self.dir.join(SCRIPT)
    }

    /// Returns the log of the task `index`.
    pub fn log(&self, index: usize) -> PathBuf {
        self.dir.join(format!("{index}.log"))
    }

    /// Returns the index of a task.
    pub fn index(&self, task: &Task) -> Option<usize> {
        let id = id(task);
        self.record.tasks.iter().position(|other| *other == id)
    }
}

/// Returns what identifies a task: its result.
fn id(task: &Task) -> String {
    let mut id = blake3::hash(task.result.as_os_str().as_bytes())
        .to_hex()
        .to_string();
    id.truncate(32);
    id
}

/// Returns all arrays of a cache folder, the newest first.
///
/// # Errors
/// The folder or a record cannot be read.
pub fn all(cache: &CacheDir) -> Result<Vec<Array>, Failure> {
    let mut arrays = Vec::new();
    for dir in folders(&cache.executor())? {
        arrays.extend(read(&dir)?);
    }
    Ok(arrays)
}

/// Reads the record in `dir`; none if a kill came before it was written.
fn read(dir: &Path) -> Result<Option<Array>, Failure> {
    const TRIED: &str = "read the record of a job array";
    let path = dir.join(RECORD);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io(TRIED, &path, error)),
    };
    let help = || {
        format!(
            "`squeue --me` lists your jobs; when none of kdk's runs any more, remove {}",
            dir.display()
        )
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| {
        let what = format!("{} is damaged", path.display());
        Failure::infra(TRIED, what).source(error).help(help())
    })?;
    if record.schema != SCHEMA {
        let what = format!(
            "{} has the schema {}, and this version of kdk reads {SCHEMA}",
            path.display(),
            record.schema
        );
        return Err(Failure::infra(TRIED, what).help(help()));
    }
    Ok(Some(Array {
        dir: dir.to_path_buf(),
        record,
    }))
}

/// Removes the folders of old arrays, except those that `is_active` names. A
/// folder without a record is one that a kill left.
///
/// # Errors
/// The folder cannot be read.
pub fn clean(cache: &CacheDir, is_active: &dyn Fn(&Record) -> bool) -> Result<(), Failure> {
    let now = clock::now();
    for dir in folders(&cache.executor())?.into_iter().skip(KEPT) {
        let keep = match read(&dir) {
            Ok(Some(Array { record, .. })) => {
                is_active(&record) && record.submitted + FORGOTTEN_MS > now
            }
            Ok(None) => false,
            Err(_) => true,
        };
        if !keep {
            // Another command may remove it at the same time.
            let _ = fs::remove_dir_all(dir);
        }
    }
    Ok(())
}

/// Returns the folders in `dir`, the newest first: a name begins with the time.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Failure::io("list the job arrays", dir, error))?,
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::context;
    use crate::task::tests::sh;

    #[test]
    fn arrays_are_found_by_the_results_of_their_tasks() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        assert!(all(&cx.cache).unwrap().is_empty());
        let tasks = ["one", "two", "three"].map(|name| sh(dir.path(), name, ":"));
        let first = Array::create(&cx.cache, &[&tasks[0], &tasks[1]]).unwrap();
        let mut second = Array::create(&cx.cache, &[&tasks[1]]).unwrap();
        second.record.job = Some(7);
        second.write().unwrap();
        // What a kill left.
        fs::create_dir(cx.cache.executor().join("0-x")).unwrap();
        let mut arrays = all(&cx.cache).unwrap();
        arrays.sort_by_key(|array| array.record.job);
        assert_eq!(arrays, [first, second]);
        let places = |task| {
            arrays
                .iter()
                .map(|array| array.index(task))
                .collect::<Vec<_>>()
        };
        assert_eq!(places(&tasks[0]), [Some(0), None]);
        assert_eq!(places(&tasks[1]), [Some(1), Some(0)]);
        assert_eq!(places(&tasks[2]), [None, None]);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        let array = Array::create(&cx.cache, &[&sh(dir.path(), "one", ":")]).unwrap();
        let path = array.dir.join(RECORD);
        let good = fs::read_to_string(&path).unwrap();
        for (text, want) in [
            (&good[..30], "is damaged"),
            (
                &good.replace(r#""schema": 1"#, r#""schema": 9"#),
                "has the schema 9",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let failure = all(&cx.cache).unwrap_err();
            assert_eq!(failure.exit_code(), 5);
            assert!(failure.in_one_line().contains(want), "{failure:?}");
            assert!(failure.advice().unwrap().contains("squeue --me"));
        }
    }

    #[test]
    fn old_arrays_go_unless_they_are_active() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        let task = sh(dir.path(), "one", ":");
        let mut arrays: Vec<Array> = (0..KEPT as u64 + 3)
            .map(|job| {
                let mut array = Array::create(&cx.cache, &[&task]).unwrap();
                array.record.job = Some(job);
                array.write().unwrap();
                array
            })
            .collect();
        arrays.sort_by(|a, b| a.dir.cmp(&b.dir));
        let active = arrays[1].record.job;
        clean(&cx.cache, &|record| record.job == active).unwrap();
        let left: Vec<bool> = arrays.iter().map(|array| array.dir.exists()).collect();
        assert_eq!(left[..4], [false, true, false, true]);
        assert_eq!(left.iter().filter(|left| **left).count(), KEPT + 1);
    }
}

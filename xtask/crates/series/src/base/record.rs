//! The records of added bases: `bases/NAME.json` in the cache folder.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::definition::{self, Definition};
use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::failure::Failure;

/// The record of an added base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The name of the base.
    pub name: String,
    /// The user's repository; `None` if kdk cloned the base.
    pub src: Option<PathBuf>,
    /// The commit when it was added.
    pub commit: String,
    /// `__FreeBSD_version` when it was added.
    pub osreldate: u32,
    /// When it was added, milliseconds since 1970.
    pub added: u64,
}

impl Record {
    /// Returns the definition of the base.
    pub fn definition(&self) -> Result<Definition, Failure> {
        definition::find(&self.name)
    }

    /// Writes the record.
    pub fn save(&self, cache: &CacheDir) -> Result<(), Failure> {
        cache.create(&cache.bases())?;
        let path = path(cache, &self.name);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::infra("record the base", error.to_string()))?;
        write_atomically(&path, &text).map_err(|error| Failure::io("record the base", &path, error))
    }
}

/// Returns the path of the record of `name`.
pub fn path(cache: &CacheDir, name: &str) -> PathBuf {
    cache.bases().join(format!("{name}.json"))
}

/// Sets the time of last use of the base `name`: the modification time of its
/// record.
pub fn touch(cache: &CacheDir, name: &str) {
    // Only `base list` shows it, so an error does not matter.
    let _ = fs::File::options()
        .append(true)
        .open(path(cache, name))
        .and_then(|file| file.set_modified(SystemTime::now()));
}

/// Returns when the base `name` was last used, in seconds since 1970.
pub fn last_used(cache: &CacheDir, name: &str) -> u64 {
    fs::metadata(path(cache, name))
        .and_then(|file| file.modified())
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_secs())
}

/// Returns all added bases, the last added one first.
pub fn all(cache: &CacheDir) -> Result<Vec<Record>, Failure> {
    let dir = cache.bases();
    let mut records = Vec::new();
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(records),
        other => other.map_err(|error| Failure::io("list the bases", &dir, error))?,
    };
    for entry in entries {
        let path = entry
            .map_err(|error| Failure::io("list the bases", &dir, error))?
            .path();
        if path.extension().is_some_and(|end| end == "json") {
            records.push(read(&path)?);
        }
    }
    records.sort_by(|a, b| b.added.cmp(&a.added).then(a.name.cmp(&b.name)));
    Ok(records)
}

fn read(path: &std::path::Path) -> Result<Record, Failure> {
    let text = fs::read(path).map_err(|error| Failure::io("read a base's record", path, error))?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::infra(
            format!("read {}", path.display()),
            "it is not the record of a base",
        )
        .source(error)
        .help("remove the file and add the base again")
    })
}

/// Returns the record of the base `name`.
pub fn find(cache: &CacheDir, name: &str) -> Result<Record, Failure> {
    let all = all(cache)?;
    let names: Vec<&str> = all.iter().map(|record| record.name.as_str()).collect();
    if let Some(record) = all.iter().find(|record| record.name == name) {
        return Ok(record.clone());
    }
    // A name without a definition is another error.
    definition::find(name)?;
    let have = if names.is_empty() {
        "no base has been added".to_owned()
    } else {
        format!("only these bases have been added: {}", names.join(", "))
    };
    Err(
        Failure::usage(format!("use the base `{name}`"), have).help(format!(
            "run `cargo xtask base add {name}`, with `--src DIR` for a tree of yours"
        )),
    )
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;

    fn record(name: &str, added: u64) -> Record {
        Record {
            name: name.into(),
            src: None,
            commit: "c".into(),
            osreldate: 1,
            added,
        }
    }

    #[test]
    fn the_last_added_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        assert!(all(&cache).unwrap().is_empty());
        record("releng-15.1", 5).save(&cache).unwrap();
        record("main", 9).save(&cache).unwrap();
        let names: Vec<String> = all(&cache).unwrap().into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["main", "releng-15.1"]);
    }

    #[test]
    fn a_base_that_was_never_added_names_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let failure = find(&cache, "main").unwrap_err();
        let text = format!("{:?}", miette::Report::new(failure));
        assert!(text.contains("cargo xtask base add main"), "{text}");
        assert_eq!(find(&cache, "mian").unwrap_err().exit_code(), 2);
    }
}

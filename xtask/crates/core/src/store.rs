//! The artefact store: results by their inputs, and why a result must be
//! rebuilt.
//!
//! `store/KIND/BASE/KEY/` has one result. Its `inputs.json` has the digest of
//! every named input, and `KEY` is the digest of those. A rename publishes an
//! entry, so that it exists completely or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::libc;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::cache_dir::{CacheDir, Lock};
use crate::failure::Failure;
use crate::integrity;

/// The number of results of each kind and base that commands leave in the
/// store: enough for a series with and without each of its patches.
pub const RESULTS_KEPT: usize = 24;

const RECORD: &str = "inputs.json";
/// The folder of unfinished entries; no kind has this name.
const UNFINISHED: &str = ".unfinished";

/// The inputs of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The kind of the result, such as "kernel".
    pub kind: String,
    /// The base; results of different bases are not compared.
    pub base: String,
    /// The digests by name. People read the names: "config KDK".
    pub digests: BTreeMap<String, String>,
}

impl Inputs {
    /// Returns empty inputs.
    pub fn new(kind: impl Into<String>, base: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            base: base.into(),
            digests: BTreeMap::new(),
        }
    }

    /// Adds an input by its content.
    pub fn bytes(&mut self, name: impl Into<String>, content: impl AsRef<[u8]>) -> &mut Self {
        let digest = blake3::hash(content.as_ref()).to_hex().to_string();
        self.digest(name, digest)
    }

    /// Adds an input by a digest of it (a git object id, another entry's key).
    pub fn digest(&mut self, name: impl Into<String>, digest: impl Into<String>) -> &mut Self {
        self.digests.insert(name.into(), digest.into());
        self
    }

    /// Adds a file by its content.
    pub fn file(&mut self, name: impl Into<String>, path: &Path) -> Result<&mut Self, Failure> {
        let name = name.into();
        let digest = File::open(path)
            .and_then(|file| Ok(blake3::Hasher::new().update_reader(file)?.finalize()))
            .map_err(|error| Failure::io(format!("read {name}"), path, error))?;
        Ok(self.digest(name, digest.to_hex().to_string()))
    }

    /// Adds the inputs that only `recorded` has, with their current digests.
    fn with_names_of(&self, recorded: &Self, digest: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut all = self.clone();
        for name in recorded.digests.keys() {
            if let (false, Some(now)) = (all.digests.contains_key(name), digest(name)) {
                all.digest(name, now);
            }
        }
        all
    }

    /// Returns the digest of all inputs, which names the entry.
    pub fn key(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let fields = self
            .digests
            .iter()
            .flat_map(|(name, digest)| [name, digest]);
        for field in [&self.kind, &self.base].into_iter().chain(fields) {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        let mut key = hasher.finalize().to_hex().to_string();
        key.truncate(32);
        key
    }
}

/// The result of a lookup in the store.
#[derive(Debug)]
pub enum Lookup {
    /// The store has the result.
    Hit(Entry),
    /// The result must be built.
    Miss {
        /// The reason, such as "sys/kern/kern_sendfile.c changed".
        why: String,
    },
}

/// A result in the store. [`Store::gc`] does not remove it while this value
/// exists.
#[derive(Debug)]
pub struct Entry {
    /// The folder of the result.
    pub path: PathBuf,
    /// The key of the result. It serves as the digest of this result in the
    /// inputs of another.
    pub key: String,
    _record: Lock,
}

impl Entry {
    /// Returns the path of the artefact `name`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns how its files are damaged, if they are: a crash of the host may
    /// have left them incomplete.
    pub fn damage(&self) -> Option<String> {
        integrity::damage(&self.path)
    }

    /// Returns the inputs that it was made from.
    pub fn inputs(&self) -> Result<Inputs, Failure> {
        recorded(&self.path).map_err(|error| Failure::io("read the store", &self.path, error))
    }
}

/// A result that is being built. It is removed if it is dropped before
/// [`Pending::publish`].
#[derive(Debug)]
pub struct Pending {
    dir: TempDir,
    inputs: Inputs,
    family: PathBuf,
    _alive: Lock,
}

/// The store of one cache folder.
#[derive(Debug, Clone)]
pub struct Store {
    cache: CacheDir,
}

impl Store {
    /// Returns the store of `cache`.
    pub fn new(cache: &CacheDir) -> Self {
        Self {
            cache: cache.clone(),
        }
    }

    /// Looks up the result of `inputs`. `detail` can explain a changed input
    /// better than by its name: it gets the name, the old digest and the new
    /// one, and returns the changed paths, if it knows them.
    pub fn lookup(
        &self,
        inputs: &Inputs,
        detail: &dyn Fn(&str, &str, &str) -> Vec<String>,
    ) -> Result<Lookup, Failure> {
        let path = self.target(inputs);
        if let Some(entry) = open_entry(&path, &inputs.key())? {
            return Ok(Lookup::Hit(entry));
        }
        let last = records(&self.family(&inputs.kind, &inputs.base)).next();
        Ok(Lookup::Miss {
            why: why_stale(last.as_ref(), inputs, detail),
        })
    }

    /// Adds to `inputs` the files that earlier results of the same kind depend
    /// on ([`Pending::depends_on`]). `digest` returns the current digest of a
    /// file by its name, or none if the file does not exist.
    ///
    /// Returns the inputs of the result that is up to date, or else the current
    /// dependencies of the result that was used last. [`Store::lookup`] then
    /// finds the result, or the file that changed.
    pub fn with_dependencies(
        &self,
        inputs: &Inputs,
        digest: &dyn Fn(&str) -> Option<String>,
    ) -> Inputs {
        let mut last_used = None;
        for recorded in records(&self.family(&inputs.kind, &inputs.base)) {
            let now = inputs.with_names_of(&recorded, digest);
            if now == recorded {
                return now;
            }
            last_used.get_or_insert(now);
        }
        last_used.unwrap_or_else(|| inputs.clone())
    }

    /// Returns the result of `kind` for `base` that was used last.
    pub fn latest(&self, kind: &str, base: &str) -> Result<Option<Entry>, Failure> {
        let Some(path) = by_last_use(&self.family(kind, base)).into_iter().next() else {
            return Ok(None);
        };
        let key = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        open_entry(&path, &key)
    }

    /// Begins a result. The caller writes the artefacts to [`Pending::path`].
    pub fn begin(&self, inputs: &Inputs) -> Result<Pending, Failure> {
        let failed = |error| Failure::io("store a result", &self.cache.store(), error);
        // The lock makes a new folder and its lock file appear together for
        // other processes that sweep.
        let _sweeping = self.cache.lock("store", &|_| {})?;
        let unfinished = self.cache.store().join(UNFINISHED);
        fs::create_dir_all(&unfinished).map_err(failed)?;
        sweep(&unfinished).map_err(failed)?;
        let dir = TempDir::new_in(&unfinished).map_err(failed)?;
        let alive = File::create(alive_file(dir.path())).map_err(failed)?;
        alive.lock().map_err(failed)?;
        Ok(Pending {
            dir,
            inputs: inputs.clone(),
            family: self.family(&inputs.kind, &inputs.base),
            _alive: Lock::new(alive),
        })
    }

    /// Removes a result that turned out to be damaged.
    ///
    /// # Errors
    /// Fails when another process uses the result, or on an I/O error.
    pub fn discard(&self, entry: Entry) -> Result<(), Failure> {
        let path = entry.path.clone();
        drop(entry);
        let tried = format!("remove the damaged {}", path.display());
        match remove_unused(&path) {
            Ok(true) => Ok(()),
            // Another process removed it first.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(false) => Err(Failure::infra(tried, "another process uses it")
                .help("try again when that process has ended")),
            Err(error) => Err(Failure::io(tried, &path, error)),
        }
    }

    /// Removes all but the `keep` most recently used results of each kind and
    /// base. Returns the number of removed results. Results in use stay.
    pub fn gc(&self, keep: usize) -> Result<usize, Failure> {
        let failed =
            |error| Failure::io("collect garbage in the store", &self.cache.store(), error);
        let mut removed = 0;
        for kind in folders(&self.cache.store()) {
            for base in folders(&kind) {
                for old in by_last_use(&base).into_iter().skip(keep) {
                    removed += usize::from(remove_unused(&old).map_err(failed)?);
                }
            }
        }
        Ok(removed)
    }

    /// Removes every result, or every one of `base`. Results in use stay.
    pub fn clear(&self, base: Option<&str>) -> Result<(), Failure> {
        let failed = |error| Failure::io("clear the store", &self.cache.store(), error);
        for kind in folders(&self.cache.store()) {
            for family in folders(&kind) {
                if base.is_some_and(|base| !family.ends_with(base)) {
                    continue;
                }
                for entry in folders(&family) {
                    remove_unused(&entry).map_err(failed)?;
                }
                // The folder is not empty if a result in it is in use.
                let _ = fs::remove_dir(&family);
            }
            let _ = fs::remove_dir(&kind);
        }
        Ok(())
    }

    fn family(&self, kind: &str, base: &str) -> PathBuf {
        self.cache.store().join(kind).join(base)
    }

    fn target(&self, inputs: &Inputs) -> PathBuf {
        self.family(&inputs.kind, &inputs.base).join(inputs.key())
    }
}

impl Pending {
    /// Returns the folder for the artefacts.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces the inputs of the result by `inputs`, which are known once it
    /// is built.
    pub fn depends_on(&mut self, inputs: Inputs) {
        self.inputs = inputs;
    }

    /// Publishes the result in the store.
    pub fn publish(self) -> Result<Entry, Failure> {
        let key = self.inputs.key();
        let target = self.family.join(&key);
        let failed = |error| Failure::io("store a result", &target, error);
        let record = serde_json::to_vec_pretty(&self.inputs)
            .map_err(|error| failed(io::Error::other(error)))?;
        integrity::record(self.dir.path()).map_err(failed)?;
        fs::write(self.dir.path().join(RECORD), record).map_err(failed)?;
        fs::create_dir_all(&self.family).map_err(failed)?;
        if fs::rename(self.dir.path(), &target).is_err() && recorded(&target).is_err() {
            // What is there is no entry: a crash or a kill left it.
            remove_any(&target).map_err(failed)?;
            fs::rename(self.dir.path(), &target).map_err(failed)?;
        }
        // Else another process published first; its result has the same inputs.
        open_entry(&target, &key)?
            .ok_or_else(|| failed(io::Error::other("another process removed it")))
            .map_err(|failure| failure.and_help("run the command again"))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Removes the folder first: without its lock file, any process may
        // sweep it. The next sweep removes what cannot be removed now.
        let _ = fs::remove_dir_all(self.dir.path());
        let _ = fs::remove_file(alive_file(self.dir.path()));
    }
}

/// Returns why there is no result for `now`, given the inputs of the result
/// that was used last.
fn why_stale(
    last: Option<&Inputs>,
    now: &Inputs,
    detail: &dyn Fn(&str, &str, &str) -> Vec<String>,
) -> String {
    let Some(last) = last else {
        return "never built".into();
    };
    let names: BTreeSet<&String> = last.digests.keys().chain(now.digests.keys()).collect();
    let mut reasons = Vec::new();
    for name in names {
        match (last.digests.get(name), now.digests.get(name)) {
            (Some(old), Some(new)) if old != new => {
                let parts = detail(name, old, new);
                if parts.is_empty() {
                    reasons.push(format!("{name} changed"));
                }
                reasons.extend(parts.iter().map(|part| format!("{part} changed")));
            }
            (Some(_), None) => reasons.push(format!("{name} is gone")),
            (None, Some(_)) => reasons.push(format!("{name} is new")),
            _ => {}
        }
    }
    summary(&reasons)
}

/// Joins at most three reasons, and the number of the others.
fn summary(reasons: &[String]) -> String {
    const SHOWN: usize = 3;
    match reasons {
        [] => "its result was removed".into(),
        some if some.len() <= SHOWN => some.join(", "),
        many => format!(
            "{} and {} more",
            many[..SHOWN].join(", "),
            many.len() - SHOWN
        ),
    }
}

/// Opens the entry at `path` and marks it as used now.
fn open_entry(path: &Path, key: &str) -> Result<Option<Entry>, Failure> {
    let failed = |error| Failure::io("read the store", path, error);
    let record = match File::open(path.join(RECORD)) {
        Ok(record) => record,
        // Without a record it is no entry; a crash or a kill may leave anything
        // in its place.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    record.lock_shared().map_err(failed)?;
    // Another process may have removed it between the two calls.
    if !path.join(RECORD).exists() {
        return Ok(None);
    }
    let now = FileTimes::new().set_modified(SystemTime::now());
    record.set_times(now).map_err(failed)?;
    Ok(Some(Entry {
        path: path.to_path_buf(),
        key: key.to_owned(),
        _record: Lock::new(record),
    }))
}

/// Returns the inputs of each entry of a family, the most recently used first.
fn records(family: &Path) -> impl Iterator<Item = Inputs> {
    by_last_use(family)
        .into_iter()
        .filter_map(|entry| recorded(&entry).ok())
}

/// Returns the inputs that the entry at `path` was made from.
fn recorded(path: &Path) -> io::Result<Inputs> {
    serde_json::from_slice(&fs::read(path.join(RECORD))?).map_err(io::Error::other)
}

/// Returns the entries of a family, the most recently used first.
fn by_last_use(family: &Path) -> Vec<PathBuf> {
    let used = |entry: &PathBuf| {
        fs::metadata(entry.join(RECORD))
            .and_then(|record| record.modified())
            .unwrap_or(UNIX_EPOCH)
    };
    let mut entries = folders(family);
    entries.sort_by_key(|entry| std::cmp::Reverse(used(entry)));
    entries
}

/// Returns the visible folders in `dir`; none if it does not exist.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// Removes an entry unless a process uses it.
fn remove_unused(entry: &Path) -> io::Result<bool> {
    if let Ok(record) = open_to_lock(&entry.join(RECORD)) {
        if record.try_lock().is_err() {
            return Ok(false);
        }
        // Without its record it is no longer an entry.
        fs::remove_file(entry.join(RECORD))?;
    }
    fs::remove_dir_all(entry)?;
    Ok(true)
}

/// Opens a file for an exclusive lock. An NFS client allows that only on a file
/// that is open for writing (flock(2)).
fn open_to_lock(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// Removes whatever is at `path`.
fn remove_any(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns the file beside an unfinished entry that the process building it
/// keeps locked.
fn alive_file(dir: &Path) -> PathBuf {
    dir.with_extension("alive")
}

/// Removes unfinished entries whose processes have ended.
fn sweep(unfinished: &Path) -> io::Result<()> {
    for entry in fs::read_dir(unfinished)? {
        let dir = entry?.path();
        if !dir.is_dir() {
            continue;
        }
        let alive = alive_file(&dir);
        let locked = open_to_lock(&alive).is_ok_and(|file| file.try_lock().is_err());
        if !locked {
            fs::remove_dir_all(&dir)?;
            let _ = fs::remove_file(alive);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::new("kernel", "main");
        for (name, digest) in pairs {
            inputs.digest(*name, *digest);
        }
        inputs
    }

    fn no_detail(_: &str, _: &str, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn why(lookup: Lookup) -> String {
        match lookup {
            Lookup::Hit(entry) => panic!("unexpected {entry:?}"),
            Lookup::Miss { why } => why,
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        (dir, Store::new(&cache))
    }

    #[test]
    fn says_why() {
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let table: [(Option<Pairs>, Pairs, &str); 7] = [
            (None, &[("tree", "1")], "never built"),
            (
                Some(&[("tree", "1")]),
                &[("tree", "1")],
                "its result was removed",
            ),
            (
                Some(&[("config KDK", "1")]),
                &[("config KDK", "2")],
                "config KDK changed",
            ),
            (Some(&[("a", "1")]), &[("a", "1"), ("b", "1")], "b is new"),
            (Some(&[("a", "1"), ("b", "1")]), &[("a", "1")], "b is gone"),
            (
                Some(&[("tree", "1"), ("clang", "1")]),
                &[("tree", "2"), ("clang", "2")],
                "clang changed, sys/kern/kern_sendfile.c changed",
            ),
            (
                Some(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")]),
                &[("a", "2"), ("b", "2"), ("c", "2"), ("d", "2"), ("e", "2")],
                "a changed, b changed, c changed and 2 more",
            ),
        ];
        let detail = |name: &str, old: &str, new: &str| match (name, old, new) {
            ("tree", "1", "2") => vec!["sys/kern/kern_sendfile.c".to_owned()],
            _ => Vec::new(),
        };
        for (last, now, want) in table {
            let last = last.map(inputs);
            assert_eq!(why_stale(last.as_ref(), &inputs(now), &detail), want);
        }
    }

    #[test]
    fn the_key_separates_names_from_digests() {
        let table = [
            inputs(&[("ab", "c")]),
            inputs(&[("a", "bc")]),
            inputs(&[("a", "b"), ("c", "")]),
            inputs(&[]),
            Inputs::new("kmod", "main"),
            Inputs::new("kernel", "head-2014"),
        ];
        let keys: BTreeSet<String> = table.iter().map(Inputs::key).collect();
        assert_eq!(keys.len(), table.len());
    }

    #[test]
    fn a_result_is_found_again_by_its_inputs() {
        let (_dir, store) = store();
        let (one, two) = (inputs(&[("config", "1")]), inputs(&[("config", "2")]));
        assert_eq!(why(store.lookup(&one, &no_detail).unwrap()), "never built");
        let pending = store.begin(&one).unwrap();
        fs::write(pending.path().join("kernel"), "ELF").unwrap();
        let entry = pending.publish().unwrap();
        assert_eq!(fs::read(entry.file("kernel")).unwrap(), b"ELF");
        assert!(matches!(
            store.lookup(&one, &no_detail).unwrap(),
            Lookup::Hit(_)
        ));
        let latest = store.latest("kernel", "main").unwrap().unwrap();
        assert_eq!((latest.path, latest.key), (entry.path, entry.key));
        assert!(store.latest("kernel", "head-2014").unwrap().is_none());
        assert_eq!(
            why(store.lookup(&two, &no_detail).unwrap()),
            "config changed"
        );
    }

    #[test]
    fn it_compares_with_the_entry_used_last() {
        let (_dir, store) = store();
        let (a, b) = (
            inputs(&[("x", "1"), ("y", "1")]),
            inputs(&[("x", "2"), ("y", "1")]),
        );
        store.begin(&a).unwrap().publish().unwrap();
        store.begin(&b).unwrap().publish().unwrap();
        // Back to `a`, then one step from there.
        assert!(matches!(
            store.lookup(&a, &no_detail).unwrap(),
            Lookup::Hit(_)
        ));
        let c = inputs(&[("x", "1"), ("y", "2")]);
        assert_eq!(why(store.lookup(&c, &no_detail).unwrap()), "y changed");
    }

    #[test]
    fn dependencies_that_were_found_decide_and_explain() {
        type Files<'a> = &'a [(&'a str, &'a str)];
        let (_dir, store) = store();
        let now = |declared: Files, files: Files| {
            let digest = |name: &str| {
                let found = files.iter().find(|(file, _)| *file == name);
                found.map(|(_, digest)| (*digest).to_owned())
            };
            store.with_dependencies(&inputs(declared), &digest)
        };
        let publish = |all: Files| {
            let mut pending = store.begin(&inputs(&[("flags", "-O2")])).unwrap();
            pending.depends_on(inputs(all));
            pending.publish().unwrap();
        };
        let flags = [("flags", "-O2")];
        assert_eq!(now(&flags, &[("a.c", "1")]), inputs(&flags));
        // Two results that read different files.
        publish(&[("flags", "-O2"), ("a.c", "1")]);
        publish(&[("flags", "-O2"), ("a.c", "2"), ("a.h", "1")]);
        for (declared, files, want) in [
            (&flags[..], &[("a.c", "1"), ("a.h", "1")][..], None),
            (&flags, &[("a.c", "1"), ("a.h", "9")], None),
            (&flags, &[("a.c", "2"), ("a.h", "1"), ("b.h", "1")], None),
            (&flags, &[("a.c", "2"), ("a.h", "2")], Some("a.h changed")),
            (&flags, &[("a.c", "2")], Some("a.h is gone")),
            (&flags, &[("a.c", "3"), ("a.h", "1")], Some("a.c changed")),
            (
                &[("flags", "-O0")],
                &[("a.c", "2"), ("a.h", "1")],
                Some("flags changed"),
            ),
            (
                &[("flags", "-O2"), ("rustc", "1")],
                &[("a.c", "2"), ("a.h", "1")],
                Some("rustc is new"),
            ),
        ] {
            let found = store.lookup(&now(declared, files), &no_detail).unwrap();
            let why = match found {
                Lookup::Hit(_) => None,
                Lookup::Miss { why } => Some(why),
            };
            assert_eq!(why.as_deref(), want, "{files:?}");
        }
    }

    #[test]
    fn two_makers_of_one_result_agree() {
        let (_dir, store) = store();
        let inputs = inputs(&[("a", "1")]);
        let (first, second) = (store.begin(&inputs).unwrap(), store.begin(&inputs).unwrap());
        let (first, second) = (first.publish().unwrap(), second.publish().unwrap());
        assert_eq!(first.path, second.path);
    }

    #[test]
    fn what_a_crash_left_in_place_of_a_result_is_replaced() {
        type Leave = fn(&Path);
        let table: [Leave; 6] = [
            |target| fs::write(target, "").unwrap(),
            |target| std::os::unix::fs::symlink("nothing", target).unwrap(),
            |target| std::os::unix::fs::symlink(target, target).unwrap(),
            |target| fs::create_dir(target).unwrap(),
            |target| {
                fs::create_dir(target).unwrap();
                fs::write(target.join("kernel"), "half").unwrap();
            },
            |target| {
                fs::create_dir(target).unwrap();
                fs::write(target.join(RECORD), [0; 9]).unwrap();
            },
        ];
        for leave in table {
            let (_dir, store) = store();
            let inputs = inputs(&[("a", "1")]);
            let target = store.target(&inputs);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            leave(&target);
            let found = store.lookup(&inputs, &no_detail);
            assert!(found.is_ok());
            drop(found);
            let pending = store.begin(&inputs).unwrap();
            fs::write(pending.path().join("kernel"), "whole").unwrap();
            let entry = pending.publish().unwrap();
            assert_eq!(fs::read_to_string(entry.file("kernel")).unwrap(), "whole");
            assert_eq!(entry.inputs().unwrap(), inputs);
            assert_eq!(entry.damage(), None);
        }
    }

    #[test]
    fn unfinished_results_do_not_stay() {
        let (_dir, store) = store();
        let unfinished = store.cache.store().join(UNFINISHED);
        let live = store.begin(&inputs(&[("a", "1")])).unwrap();
        // What a killed process leaves: a folder, and a lock file that no
        // process has locked.
        let dead = unfinished.join("dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("kernel"), "half").unwrap();
        fs::write(alive_file(&dead), "").unwrap();
        drop(store.begin(&inputs(&[("b", "1")])).unwrap());
        assert!(!dead.exists());
        assert!(live.path().exists());
        drop(live);
        assert_eq!(fs::read_dir(unfinished).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_result_goes_unless_it_is_in_use() {
        let (_dir, store) = store();
        let inputs = inputs(&[("a", "1")]);
        let entry = store.begin(&inputs).unwrap().publish().unwrap();
        let found = || match store.lookup(&inputs, &no_detail).unwrap() {
            Lookup::Hit(entry) => Some(entry),
            Lookup::Miss { .. } => None,
        };
        let other = found().unwrap();
        let failure = store.discard(entry).unwrap_err();
        assert_eq!(failure.class(), crate::failure::Class::Infra);
        assert!(failure.in_one_line().ends_with("another process uses it"));
        store.discard(other).unwrap();
        assert!(found().is_none());
    }

    #[test]
    fn clearing_leaves_what_is_in_use_and_other_bases() {
        let (_dir, store) = store();
        let other = store
            .begin(&Inputs::new("kernel", "head-2014"))
            .unwrap()
            .publish()
            .unwrap()
            .path;
        let publish = |n: &str| {
            store
                .begin(&inputs(&[("a", n)]))
                .unwrap()
                .publish()
                .unwrap()
        };
        let in_use = publish("1");
        let free = publish("2").path;
        store.clear(Some("main")).unwrap();
        assert!(in_use.path.exists() && !free.exists() && other.exists());
        store.clear(None).unwrap();
        assert!(in_use.path.exists() && !other.exists());
    }

    #[test]
    fn gc_keeps_what_is_recent_and_what_is_in_use() {
        let (_dir, store) = store();
        let publish = |n: &str| {
            store
                .begin(&inputs(&[("a", n)]))
                .unwrap()
                .publish()
                .unwrap()
        };
        let in_use = publish("1");
        let old = publish("2").path;
        let recent = publish("3").path;
        assert_eq!(store.gc(1).unwrap(), 1);
        assert!(in_use.path.exists() && recent.exists() && !old.exists());
    }
}

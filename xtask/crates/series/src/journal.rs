//! Transactions on the files of a series: all files are written, or none. The
//! new contents and a list go to the cache first; then the list is committed.
//! If the process is killed in between, the next run recovers it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{files, lock_name};
use crate::operation;
use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::failure::Failure;

/// A set of changes to the folder of a series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The folder of the series.
    pub dir: PathBuf,
    /// The new content of files, by name.
    pub put: Vec<(String, Vec<u8>)>,
    /// The names of the files to remove.
    pub remove: Vec<String>,
    /// The operation that this completes: the series, and its name there.
    pub ends: Option<(String, String)>,
}

/// The list of changes, as saved in the cache.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    dir: PathBuf,
    files: Vec<Entry>,
    ends: Option<(String, String)>,
}

/// A file, with digests of its old and new content; `None` where it does not
/// exist.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    before: Option<String>,
    after: Option<String>,
}

const TRIED: &str = "write the series";
const LIST: &str = "list.json";

/// Returns the folder of the transaction. No id of a patch has an `@`.
fn folder(cache: &CacheDir, series: &str) -> PathBuf {
    cache.edits().join(series).join("@transaction")
}

/// Applies `transaction` to the folder of `series`. Returns the names of the
/// files that were written or removed. The caller has locked the series' base
/// and called [`recover`].
pub fn write(
    cache: &CacheDir,
    series: &str,
    transaction: &Transaction,
) -> Result<Vec<String>, Failure> {
    let list = prepare(cache, series, transaction)?;
    let names = list.files.iter().map(|file| file.name.clone()).collect();
    commit(cache, series, &list)?;
    Ok(names)
}

/// Saves the list of changes. Once this returns, they will be applied.
fn prepare(cache: &CacheDir, series: &str, transaction: &Transaction) -> Result<List, Failure> {
    let folder = folder(cache, series);
    if folder.join(LIST).exists() {
        return Err(
            Failure::infra(TRIED, "another process that was writing it has been killed")
                .help("run this again, which recovers the other transaction first"),
        );
    }
    files::remove(&folder).map_err(|error| Failure::io(TRIED, &folder, error))?;
    cache.create(&folder)?;
    let mut files = Vec::new();
    for (name, content) in &transaction.put {
        let before = digest(&transaction.dir.join(name))?;
        let after = Some(digest_of(content));
        if before != after {
            let path = folder.join(name);
            write_through(&path, content).map_err(|error| Failure::io(TRIED, &path, error))?;
            let name = name.clone();
            files.push(Entry {
                name,
                before,
                after,
            });
        }
    }
    for name in &transaction.remove {
        files.push(Entry {
            name: name.clone(),
            before: digest(&transaction.dir.join(name))?,
            after: None,
        });
    }
    let list = List {
        dir: transaction.dir.clone(),
        files,
        ends: transaction.ends.clone(),
    };
    let text = serde_json::to_vec_pretty(&list)
        .map_err(|error| Failure::infra(TRIED, error.to_string()))?;
    let path = folder.join(LIST);
    write_atomically(&path, &text).map_err(|error| Failure::io(TRIED, &path, error))?;
    Ok(list)
}

/// Completes the transaction that a killed run left for `series`, if there is
/// one. Returns the operation that it completes.
pub fn recover(
    cache: &CacheDir,
    series: &str,
    say: &dyn Fn(String),
) -> Result<Option<(String, String)>, Failure> {
    let path = folder(cache, series).join(LIST);
    if !path.exists() {
        return Ok(None);
    }
    let _lock = cache.lock(&lock_name(series), say)?;
    recover_locked(cache, series, say)
}

/// Does the same for a caller that has locked the series' base.
pub fn recover_locked(
    cache: &CacheDir,
    series: &str,
    say: &dyn Fn(String),
) -> Result<Option<(String, String)>, Failure> {
    let path = folder(cache, series).join(LIST);
    let text = match fs::read(&path) {
        // Another process may have recovered it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| Failure::io(TRIED, &path, error))?,
    };
    let list: List = serde_json::from_slice(&text).map_err(|error| {
        Failure::infra(
            format!("read {}", path.display()),
            "it is not a file that kdk wrote",
        )
        .source(error)
        .help(format!(
            "the new contents are beside it; remove {}",
            path.display()
        ))
    })?;
    commit(cache, series, &list)?;
    say(format!(
        "completed the interrupted write to {}",
        list.dir.display()
    ));
    Ok(list.ends)
}

fn commit(cache: &CacheDir, series: &str, list: &List) -> Result<(), Failure> {
    let folder = folder(cache, series);
    for file in &list.files {
        let path = list.dir.join(&file.name);
        let is = digest(&path)?;
        if is == file.after {
            continue;
        }
        if is != file.before {
            return Err(Failure::usage(
                format!("finish writing {}", list.dir.display()),
                format!(
                    "{} was changed after the process that wrote it was killed",
                    path.display()
                ),
            )
            .help(format!(
                "its new content is in {}: copy what you need, then remove {}",
                folder.join(&file.name).display(),
                folder.display()
            )));
        }
        let failed = |error| Failure::io(TRIED, &path, error);
        match file.after {
            None => files::remove(&path).map_err(failed)?,
            Some(_) => {
                let new = folder.join(&file.name);
                let content = fs::read(&new).map_err(|error| Failure::io(TRIED, &new, error))?;
                write_atomically(&path, &content).map_err(failed)?;
            }
        }
    }
    if let Some((series, name)) = &list.ends
        && let Some(operation) = operation::find(cache, series, name)?
    {
        operation.close(cache)?;
    }
    let path = folder.join(LIST);
    files::remove(&path).map_err(|error| Failure::io(TRIED, &path, error))?;
    files::remove(&folder).map_err(|error| Failure::io(TRIED, &folder, error))
}

/// Writes a file and flushes it to disk.
fn write_through(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(path, content)?;
    fs::File::open(path)?.sync_all()
}

fn digest_of(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

fn digest(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read(path) {
        Ok(content) => Ok(Some(digest_of(&content))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(TRIED, path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sandbox {
        dir: tempfile::TempDir,
        cache: CacheDir,
    }

    impl Sandbox {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let cache = CacheDir::at(
                dir.path().join("home"),
                &kdk_vm::interrupt::Interrupt::new(),
            )
            .unwrap();
            let sandbox = Self { dir, cache };
            fs::create_dir(sandbox.series()).unwrap();
            for name in ["a.patch", "b.patch", "c.patch"] {
                fs::write(sandbox.series().join(name), "old").unwrap();
            }
            sandbox
        }

        fn series(&self) -> PathBuf {
            self.dir.path().join("x")
        }

        fn transaction(&self) -> Transaction {
            Transaction {
                dir: self.series(),
                put: ["a.patch", "b.patch", "d.patch"]
                    .map(|name| (name.to_owned(), b"new".to_vec()))
                    .to_vec(),
                remove: vec!["c.patch".into()],
                ends: None,
            }
        }

        fn files(&self) -> Vec<(String, String)> {
            let mut files: Vec<_> = fs::read_dir(self.series())
                .unwrap()
                .flatten()
                .map(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    (name, fs::read_to_string(entry.path()).unwrap())
                })
                .collect();
            files.sort();
            files
        }
    }

    const NEW: [(&str, &str); 3] = [("a.patch", "new"), ("b.patch", "new"), ("d.patch", "new")];

    fn new() -> Vec<(String, String)> {
        NEW.map(|(name, text)| (name.to_owned(), text.to_owned()))
            .to_vec()
    }

    #[test]
    fn all_is_written_and_the_same_again_is_nothing() {
        let sandbox = Sandbox::new();
        let mut transaction = sandbox.transaction();
        let names = write(&sandbox.cache, "x", &transaction).unwrap();
        assert_eq!(names, ["a.patch", "b.patch", "d.patch", "c.patch"]);
        assert_eq!(sandbox.files(), new());
        transaction.remove.clear();
        assert!(write(&sandbox.cache, "x", &transaction).unwrap().is_empty());
        assert!(!folder(&sandbox.cache, "x").exists());
    }

    #[test]
    fn a_kill_at_any_point_leaves_all_or_none_in_the_end() {
        // Before the list is written, after it, and after each file.
        for done in 0..=5 {
            let sandbox = Sandbox::new();
            let old = sandbox.files();
            prepare(&sandbox.cache, "x", &sandbox.transaction()).unwrap();
            let list = folder(&sandbox.cache, "x").join(LIST);
            match done {
                0 => fs::remove_file(&list).unwrap(),
                n => {
                    for (name, _) in &NEW[..(n - 1).min(3)] {
                        fs::write(sandbox.series().join(name), "new").unwrap();
                    }
                    if n == 5 {
                        fs::remove_file(sandbox.series().join("c.patch")).unwrap();
                    }
                }
            }
            recover(&sandbox.cache, "x", &|_| ()).unwrap();
            let want = if done == 0 { old } else { new() };
            assert_eq!(sandbox.files(), want, "{done}");
            assert!(!list.exists());
        }
    }

    #[test]
    fn a_file_that_was_changed_after_the_kill_is_kept() {
        let sandbox = Sandbox::new();
        prepare(&sandbox.cache, "x", &sandbox.transaction()).unwrap();
        fs::write(sandbox.series().join("b.patch"), "mine").unwrap();
        let failure = recover(&sandbox.cache, "x", &|_| ()).unwrap_err();
        let line = failure.in_one_line();
        assert!(line.contains("b.patch was changed after"), "{line}");
        assert_eq!(sandbox.files()[1].1, "mine");
        // The new content is at the path in the message.
        let new = folder(&sandbox.cache, "x").join("b.patch");
        assert_eq!(fs::read_to_string(new).unwrap(), "new");
    }
}

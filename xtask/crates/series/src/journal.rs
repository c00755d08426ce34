//! Files of a series, written all or none: first their new content goes to
//! the cache with a list of what is to be done, then it is done. What a kill
//! leaves undone is done by the next run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{files, lock_name};
use crate::operation;
use kdk_core::cache_dir::{Home, write_atomically};
use kdk_core::failure::Failure;

/// What is to be done to the folder of a series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The folder.
    pub dir: PathBuf,
    /// Files by name, with their new content.
    pub put: Vec<(String, Vec<u8>)>,
    /// Files to remove.
    pub remove: Vec<String>,
    /// The change to a series that ends with this: the series, and its name
    /// there.
    pub ends: Option<(String, String)>,
}

/// The list, as it lies in the cache.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    dir: PathBuf,
    files: Vec<Entry>,
    ends: Option<(String, String)>,
}

/// A file, and digests of what it was and will be; none where there is none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    before: Option<String>,
    after: Option<String>,
}

const TRIED: &str = "write the series";
const LIST: &str = "list.json";

/// No id of a patch is like it.
fn folder(home: &Home, series: &str) -> PathBuf {
    home.edits().join(series).join("@transaction")
}

/// Does what `transaction` says to the folder of `series`. Gives the names of the files that were written or removed. The caller holds
/// the lock of the series' base, and has called [`recover`].
pub fn write(home: &Home, series: &str, transaction: &Transaction) -> Result<Vec<String>, Failure> {
    let list = prepare(home, series, transaction)?;
    let names = list.files.iter().map(|file| file.name.clone()).collect();
    commit(home, series, &list)?;
    Ok(names)
}

/// Writes down what will be done; from the last moment of this on, it will be.
fn prepare(home: &Home, series: &str, transaction: &Transaction) -> Result<List, Failure> {
    let folder = folder(home, series);
    if folder.join(LIST).exists() {
        return Err(
            Failure::infra(TRIED, "another run that was writing it was killed just now")
                .help("do this again: what that one began is finished first"),
        );
    }
    files::remove(&folder).map_err(|error| Failure::io(TRIED, &folder, error))?;
    home.create(&folder)?;
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

/// Finishes what a killed run has begun to write of `series`, if there is
/// anything; gives the name of the change that ended with it.
pub fn recover(
    home: &Home,
    series: &str,
    say: &dyn Fn(String),
) -> Result<Option<(String, String)>, Failure> {
    let path = folder(home, series).join(LIST);
    if !path.exists() {
        return Ok(None);
    }
    let _lock = home.lock(&lock_name(series), say)?;
    recover_locked(home, series, say)
}

/// The same for a caller that holds the lock of the series' base.
pub fn recover_locked(
    home: &Home,
    series: &str,
    say: &dyn Fn(String),
) -> Result<Option<(String, String)>, Failure> {
    let path = folder(home, series).join(LIST);
    let text = match fs::read(&path) {
        // Another process may have finished it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| Failure::io(TRIED, &path, error))?,
    };
    let list: List = serde_json::from_slice(&text).map_err(|error| {
        Failure::infra(
            format!("read {}", path.display()),
            "it is not what this kit writes",
        )
        .source(error)
        .help(format!(
            "what was to be written lies beside it; remove {}",
            path.display()
        ))
    })?;
    commit(home, series, &list)?;
    say(format!(
        "finished what an interrupted run had begun to write to {}",
        list.dir.display()
    ));
    Ok(list.ends)
}

fn commit(home: &Home, series: &str, list: &List) -> Result<(), Failure> {
    let folder = folder(home, series);
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
                    "{} was changed after the run that wrote it was killed",
                    path.display()
                ),
            )
            .help(format!(
                "what it was to become is {}: take from it what you need, then remove {}",
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
        && let Some(operation) = operation::find(home, series, name)?
    {
        operation.close(home)?;
    }
    let path = folder.join(LIST);
    files::remove(&path).map_err(|error| Failure::io(TRIED, &path, error))?;
    files::remove(&folder).map_err(|error| Failure::io(TRIED, &folder, error))
}

/// Writes a file and waits until it is on the disk.
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

    struct Place {
        dir: tempfile::TempDir,
        home: Home,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let home = Home::at(
                dir.path().join("home"),
                &kdk_vm::interrupt::Interrupt::new(),
            )
            .unwrap();
            let place = Self { dir, home };
            fs::create_dir(place.series()).unwrap();
            for name in ["a.patch", "b.patch", "c.patch"] {
                fs::write(place.series().join(name), "old").unwrap();
            }
            place
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
        let place = Place::new();
        let mut transaction = place.transaction();
        let names = write(&place.home, "x", &transaction).unwrap();
        assert_eq!(names, ["a.patch", "b.patch", "d.patch", "c.patch"]);
        assert_eq!(place.files(), new());
        transaction.remove.clear();
        assert!(write(&place.home, "x", &transaction).unwrap().is_empty());
        assert!(!folder(&place.home, "x").exists());
    }

    #[test]
    fn a_kill_at_any_point_leaves_all_or_none_in_the_end() {
        // The moments: before the list is there, after it, and after each file.
        for done in 0..=5 {
            let place = Place::new();
            let old = place.files();
            prepare(&place.home, "x", &place.transaction()).unwrap();
            let list = folder(&place.home, "x").join(LIST);
            match done {
                0 => fs::remove_file(&list).unwrap(),
                n => {
                    for (name, _) in &NEW[..(n - 1).min(3)] {
                        fs::write(place.series().join(name), "new").unwrap();
                    }
                    if n == 5 {
                        fs::remove_file(place.series().join("c.patch")).unwrap();
                    }
                }
            }
            recover(&place.home, "x", &|_| ()).unwrap();
            let want = if done == 0 { old } else { new() };
            assert_eq!(place.files(), want, "{done}");
            assert!(!list.exists());
        }
    }

    #[test]
    fn a_file_that_was_changed_after_the_kill_is_kept() {
        let place = Place::new();
        prepare(&place.home, "x", &place.transaction()).unwrap();
        fs::write(place.series().join("b.patch"), "mine").unwrap();
        let failure = recover(&place.home, "x", &|_| ()).unwrap_err();
        let line = failure.in_one_line();
        assert!(line.contains("b.patch was changed after"), "{line}");
        assert_eq!(place.files()[1].1, "mine");
        // Its new content is where the message says.
        let new = folder(&place.home, "x").join("b.patch");
        assert_eq!(fs::read_to_string(new).unwrap(), "new");
    }
}

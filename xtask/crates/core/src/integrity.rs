//! Finds out whether the files of a store entry are what was stored: a crash of
//! the host can leave zeros or old blocks in them.
//!
//! [`DIGESTS`] has the digest of every file. Comparing them takes as long as
//! reading the files, so [`SEEN`] notes which files were compared since the host
//! was started: as long as these are not written to, they are not read again.
//! Only Linux says whether the host was started meanwhile. On another host they
//! are read each time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache_dir::write_atomically;

/// The file with the digests of the other files of an entry.
const DIGESTS: &str = "files.json";
/// The file that notes which files were compared.
const SEEN: &str = "files-seen.json";

/// The files of an entry by their paths in it.
type Files<T> = BTreeMap<PathBuf, T>;

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    bytes: u64,
    blake3: String,
}

/// The files that were compared.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// What identifies the time since the host was started, if that is known.
    boot: Option<String>,
    files: Files<Stamp>,
}

/// What changes when a file is written to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// Records the content of the entry in `dir`, which is complete. The digests are
/// on the disk when this returns.
pub fn record(dir: &Path) -> io::Result<()> {
    let mut files = Files::new();
    for path in paths(dir)? {
        files.insert(path.clone(), content(&dir.join(&path))?);
    }
    let digests = dir.join(DIGESTS);
    write(&digests, &files)?;
    File::open(digests)?.sync_all()?;
    // Its name too, where the file system can do this.
    let _ = File::open(dir)?.sync_all();
    match boot() {
        Some(boot) => write(&dir.join(SEEN), &seen(dir, &files, Some(boot))?),
        None => Ok(()),
    }
}

/// Returns how the entry in `dir` is damaged, if it is. An entry of an older kdk
/// has no digests, and is taken as it is.
pub fn damage(dir: &Path) -> Option<String> {
    damage_since(dir, boot())
}

/// Returns what identifies the time since the host was started, if that is known.
fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned()).filter(|boot| !boot.is_empty())
}

fn damage_since(dir: &Path, boot: Option<String>) -> Option<String> {
    let text = match fs::read(dir.join(DIGESTS)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("{DIGESTS} cannot be read: {error}")),
    };
    let Ok(files) = serde_json::from_slice::<Files<Content>>(&text) else {
        return Some(format!("{DIGESTS} is not what was stored"));
    };
    let now = match seen(dir, &files, boot) {
        Ok(now) => now,
        Err(error) => return Some(format!("a file cannot be read: {error}")),
    };
    let before = fs::read(dir.join(SEEN)).ok();
    let before = before.and_then(|text| serde_json::from_slice::<Seen>(&text).ok());
    if now.boot.is_some() && before.is_some_and(|before| before == now) {
        return None;
    }
    for (path, stored) in &files {
        let name = path.display();
        match content(&dir.join(path)) {
            Ok(found) if found == *stored => {}
            Ok(found) if found.bytes != stored.bytes => {
                let (found, stored) = (found.bytes, stored.bytes);
                return Some(format!("{name} has {found} bytes instead of {stored}"));
            }
            Ok(_) => return Some(format!("{name} is not what was stored")),
            Err(error) => return Some(format!("{name} cannot be read: {error}")),
        }
    }
    if now.boot.is_some() {
        // Without it the files are compared again.
        let _ = write(&dir.join(SEEN), &now);
    }
    None
}

fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(content).map_err(io::Error::other)?;
    write_atomically(path, &text)
}

/// Returns the paths of all regular files below `dir`, relative to it. Links
/// are no content of their own.
fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn content(path: &Path) -> io::Result<Content> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let digest = blake3::Hasher::new().update_reader(file)?.finalize();
    Ok(Content {
        bytes,
        blake3: digest.to_hex().to_string(),
    })
}

fn seen(dir: &Path, files: &Files<Content>, boot: Option<String>) -> io::Result<Seen> {
    let stamp = |path: &PathBuf| -> io::Result<(PathBuf, Stamp)> {
        let file = dir.join(path);
        let found = fs::metadata(&file).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        })?;
        let stamp = Stamp {
            inode: found.ino(),
            bytes: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        };
        Ok((path.clone(), stamp))
    };
    Ok(Seen {
        boot,
        files: files.keys().map(stamp).collect::<io::Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_found_and_named() {
        type Damage = fn(&Path) -> io::Result<()>;
        let table: [(Damage, Option<&str>); 7] = [
            (|_| Ok(()), None),
            // After the host was started again, or on another file system.
            (|dir| fs::remove_file(dir.join(SEEN)), None),
            (
                |dir| fs::write(dir.join("sub/memory"), [0; 4]),
                Some("sub/memory is not what was stored"),
            ),
            (
                |dir| fs::write(dir.join("kernel"), "1"),
                Some("kernel has 1 bytes instead of 3"),
            ),
            (
                |dir| fs::remove_file(dir.join("kernel")),
                Some("a file cannot be read: "),
            ),
            (
                |dir| fs::write(dir.join(DIGESTS), [0; 40]),
                Some("files.json is not what was stored"),
            ),
            (|dir| fs::remove_file(dir.join(DIGESTS)), None),
        ];
        for (damage_it, want) in table {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("sub")).unwrap();
            fs::write(dir.path().join("sub/memory"), "1234").unwrap();
            fs::write(dir.path().join("kernel"), "elf").unwrap();
            record(dir.path()).unwrap();
            damage_it(dir.path()).unwrap();
            let found = damage(dir.path());
            match want {
                None => assert_eq!(found, None),
                Some(want) => assert!(
                    found.as_ref().is_some_and(|it| it.contains(want)),
                    "{found:?}"
                ),
            }
        }
    }

    #[test]
    fn what_was_compared_counts_only_until_the_host_is_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::write(dir.join("kernel"), "elf").unwrap();
        record(dir).unwrap();
        let digests = fs::read(dir.join(DIGESTS)).unwrap();
        let files: Files<Content> = serde_json::from_slice(&digests).unwrap();
        // Lost without a change of the file's time.
        fs::write(dir.join("kernel"), [0; 3]).unwrap();
        let boot = |name: &str| Some(name.to_owned());
        for (seen_in, now, is_found) in [
            (boot("1"), boot("1"), false),
            (boot("1"), boot("2"), true),
            (boot("1"), None, true),
            (None, boot("1"), true),
            (None, None, true),
        ] {
            let seen = seen(dir, &files, seen_in.clone()).unwrap();
            write(&dir.join(SEEN), &seen).unwrap();
            let found = damage_since(dir, now.clone());
            assert_eq!(found.is_some(), is_found, "{seen_in:?} {now:?}");
        }
    }
}

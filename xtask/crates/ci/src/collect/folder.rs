//! The folders of results that shards leave.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;

use crate::plan_file::MOST_SHARDS;
use crate::result::{self, JobResult};
use crate::shard_report::{self, ShardReport};
use crate::versioned::{self, BadFile};

/// The most files of a folder of results that are looked at.
const MOST_FILES: usize = 10_000;

/// A folder of results, as it was found.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The path of the folder.
    pub path: PathBuf,
    /// What the shard says of itself.
    pub report: Result<ShardReport, BadFile>,
    /// The results, by key.
    pub results: BTreeMap<String, Result<JobResult, BadFile>>,
}

/// Finds and reads the folders of results in `dirs`: each is one itself, or its
/// subfolders are.
///
/// # Errors
/// A folder cannot be read, or none has results.
pub fn find(dirs: &[PathBuf]) -> Result<Vec<Folder>, Failure> {
    let mut paths = Vec::new();
    for dir in dirs {
        if is_of_a_shard(dir)? {
            paths.push(dir.clone());
            continue;
        }
        for path in entries(dir)? {
            if has_type(&path, FileType::is_dir) && is_of_a_shard(&path)? {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        let places: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        return Err(Failure::usage(
            "collect the results",
            format!("no shard left results in {}", places.join(", ")),
        )
        .help(
            "name the folders that `cargo xtask ci run --shard K/N --results DIR` wrote, or the \
             folder that has all of them",
        ));
    }
    paths.into_iter().map(read).collect()
}

/// Returns whether a folder is the folder of results of a shard.
fn is_of_a_shard(dir: &Path) -> Result<bool, Failure> {
    Ok(entries(dir)?
        .iter()
        .any(|path| is_file(path) && (is_report(path) || key_of(path).is_some())))
}

/// Returns whether there is a file, and not a link to one. A shard's folder has
/// no links: they could lead out of it.
fn is_file(path: &Path) -> bool {
    has_type(path, FileType::is_file)
}

fn has_type(path: &Path, is: fn(&FileType) -> bool) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| is(&found.file_type()))
}

fn is_report(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == shard_report::FILE)
}

/// Returns the key that the name of a result's file consists of.
fn key_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let key = name.strip_suffix(".json")?;
    is_key(key).then(|| key.to_owned())
}

/// Returns whether a text can be the key of a result.
pub fn is_key(text: &str) -> bool {
    (16..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the paths in a folder, in their order.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| {
        Failure::io("collect the results", dir, error)
            .help("name the folders of the shards' results")
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
        if paths.len() > MOST_FILES {
            let what = format!("{} has more than {MOST_FILES} files", dir.display());
            return Err(Failure::usage("collect the results", what)
                .help("name the folders of the shards' results"));
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: PathBuf) -> Result<Folder, Failure> {
    let mut results = BTreeMap::new();
    for file in entries(&path)? {
        if let Some(key) = key_of(&file) {
            results.insert(key, versioned::read(&file, result::SCHEMA));
        }
    }
    Ok(Folder {
        report: versioned::read(&shard_report::path(&path), shard_report::SCHEMA)
            .and_then(with_possible_count),
        results,
        path,
    })
}

/// Refuses a report of a shard that no plan has.
fn with_possible_count(report: ShardReport) -> Result<ShardReport, BadFile> {
    match report.count {
        1..=MOST_SHARDS => Ok(report),
        count => Err(BadFile::Malformed(format!(
            "{count} is no number of shards from 1 to {MOST_SHARDS}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_core::failure::rendered;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn no_folder_of_results_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(&at("other/sub/report.json"), "{}");
        let mut texts = Vec::new();
        for name in ["missing", "other"] {
            let failure = find(&[at(name)]).unwrap_err();
            texts.push(rendered(&failure).replace(&*dir.path().to_string_lossy(), "DIR"));
        }
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn only_plain_files_of_a_shard_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(&at("secret/shard.json"), "{");
        let shard = at("shards/a");
        write(&shard.join("shard.json"), "{");
        std::os::unix::fs::symlink(at("secret"), at("shards/b")).unwrap();
        nix::unistd::mkfifo(
            &shard.join(format!("{KEY}.json")),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
        let other = KEY.replace('0', "f");
        std::os::unix::fs::symlink("/dev/zero", shard.join(format!("{other}.json"))).unwrap();
        let found = find(&[at("shards")]).unwrap();
        assert_eq!(found.len(), 1);
        for key in [KEY, &other] {
            let bad = found[0].results[key].clone().unwrap_err();
            assert!(matches!(bad, BadFile::Unreadable(_)), "{bad}");
        }
    }

    #[test]
    fn a_number_of_shards_that_no_plan_has_is_refused() {
        let report = |count| ShardReport {
            schema: shard_report::SCHEMA,
            shard: 1,
            count,
            revisions: Default::default(),
            jobs: Vec::new(),
            began: 0,
            ms: 0,
            host: "h".into(),
            error: None,
        };
        for (count, is_possible) in [
            (0, false),
            (1, true),
            (MOST_SHARDS, true),
            (MOST_SHARDS + 1, false),
            (usize::MAX, false),
        ] {
            let got = with_possible_count(report(count));
            assert_eq!(got.is_ok(), is_possible, "{count}");
        }
    }

    #[test]
    fn folders_are_found_by_themselves_or_in_their_parent() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(&at("a/shard.json"), "{");
        write(&at("a/main/lint/x/report.json"), "{}");
        write(&at("b").join(format!("{KEY}.json")), "{");
        write(&at("c/report.json"), "{}");
        write(&at("plan.json"), "{}");
        let names = |dirs: &[PathBuf]| -> Vec<String> {
            let found = find(dirs).unwrap();
            let name = |folder: Folder| {
                folder
                    .path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            };
            found.into_iter().map(name).collect()
        };
        assert_eq!(names(&[dir.path().to_owned()]), ["a", "b"]);
        assert_eq!(names(&[at("b"), at("a"), at("b")]), ["a", "b"]);
        let found = find(&[at("a"), at("b")]).unwrap();
        assert_eq!(found[0].report, Err(BadFile::Truncated));
        assert_eq!(found[1].report, Err(BadFile::Missing));
        assert_eq!(found[1].results[KEY], Err(BadFile::Truncated));
    }
}

//! Adds the results of shards to the store of this host, so that the next plan
//! knows them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path};

use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};

use super::folder::{Folder, is_key};
use crate::plan_file::PlanFile;
use crate::result::JobResult;
use crate::store::{self, CiStore, LARGEST};

/// The most artefacts of one result that are stored.
const MOST_ARTEFACTS: usize = 1000;

/// Stores every result that can be read, also of a shard that did not end: a
/// result is named by what it depends on. One that cannot be stored prevents no
/// other.
///
/// # Errors
/// The first error of the store.
pub fn import(cx: &Context, plan: Option<&PlanFile>, folders: &[Folder]) -> Result<(), Failure> {
    let mut by_base: BTreeMap<&str, Vec<(&Folder, &JobResult)>> = BTreeMap::new();
    for folder in folders {
        for (key, result) in &folder.results {
            let Ok(result) = result else { continue };
            let base = result.job.split('/').next().unwrap_or_default();
            if result.key == *key && is_plain(Path::new(base)) {
                by_base.entry(base).or_default().push((folder, result));
            }
        }
    }
    let mut stored = Vec::new();
    for (base, results) in by_base {
        let _lock = store::lock(&cx.cache, base, &|text| cx.terminal.line(&text))?;
        let of_base = CiStore::open(&cx.cache, base);
        let revisions = plan.map(|plan| plan.revisions.as_slice());
        for revision in revisions.unwrap_or_default() {
            if revision.base == base {
                stored.push(of_base.put_revision(revision));
            }
        }
        for (folder, result) in results {
            let also = plan.and_then(|plan| also_of(plan, result));
            stored.push(one(&of_base, folder, result, also));
        }
    }
    stored.into_iter().collect()
}

/// Returns the other keys of a result by the plan, if the plan has its job.
fn also_of<'a>(plan: &'a PlanFile, result: &JobResult) -> Option<&'a [String]> {
    let mut jobs = plan.shards.iter().flat_map(|shard| &shard.jobs);
    let job = jobs.find(|job| job.id == result.job && job.key == result.key)?;
    Some(&job.also)
}

/// Stores one result, after its artefacts. `also` are the other keys that it
/// can be valid for, if a plan says so.
fn one(
    store: &CiStore,
    folder: &Folder,
    result: &JobResult,
    also: Option<&[String]>,
) -> Result<(), Failure> {
    let results = store.results();
    let mut result = result.clone();
    let is_planned = |key: &String| also.is_none_or(|also| also.contains(key));
    result.also.retain(|key| is_key(key) && is_planned(key));
    let own = |name: &&String| is_of_result(&result.key, name);
    let artefacts = result.artefacts.iter().filter(own).take(MOST_ARTEFACTS);
    let mut artefacts: Vec<String> = artefacts.cloned().collect();
    if results.is_newer(&result)? {
        let mut there = Vec::new();
        for name in artefacts {
            if let Some(content) = artefact(&folder.path, &name)? {
                let to = results.dir().join(&name);
                write_atomically(&to, &content)
                    .map_err(|error| Failure::io("store an artefact", &to, error))?;
                there.push(name);
            }
        }
        artefacts = there;
    }
    result.artefacts = artefacts;
    results.put(&result)
}

/// Returns the content of an artefact in a shard's folder; none if it is no
/// plain file, or if a link on the way to it leads elsewhere.
fn artefact(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error| Failure::io("read the results of a shard", folder, error);
    let path = fs::canonicalize(folder).map_err(failed)?.join(name);
    if !fs::canonicalize(&path).is_ok_and(|real| real == path) {
        return Ok(None);
    }
    let tried = "read an artefact";
    Ok(input::read(tried, &path, LARGEST, Links::Refuse).ok())
}

/// Returns whether `name` is the name of an artefact of the result with the key
/// `key`: a path in the folder `key`, which cannot lead out of it.
fn is_of_result(key: &str, name: &str) -> bool {
    let path = Path::new(name);
    let mut parts = path.components();
    parts.next() == Some(Component::Normal(OsStr::new(key)))
        && parts.as_path().components().next().is_some()
        && is_plain(path)
}

/// Returns whether a path only goes down.
pub(crate) fn is_plain(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn names_of_artefacts() {
        for (name, want) in [
            (format!("{KEY}/report.json"), true),
            (format!("{KEY}/a/b"), true),
            (KEY.to_owned(), false),
            (format!("{KEY}/"), false),
            (format!("{KEY}.json"), false),
            (format!("other/{KEY}.json"), false),
            (format!("{KEY}/../x"), false),
            (format!("./{KEY}/x"), false),
            (format!("/{KEY}/x"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_of_result(KEY, &name), want, "{name}");
        }
    }

    #[test]
    fn an_artefact_is_a_plain_file_in_its_own_folder() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("home/.ssh")).unwrap();
        fs::create_dir_all(at("shard/k/sub")).unwrap();
        fs::write(at("home/.ssh/id"), "PRIVATE").unwrap();
        fs::write(at("shard/k/sub/file"), "public").unwrap();
        symlink("../../home", at("shard/k/evil")).unwrap();
        symlink("sub/file", at("shard/k/link")).unwrap();
        nix::unistd::mkfifo(&at("shard/k/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let of = |folder: &str, name: &str| artefact(&at(folder), name).unwrap();
        assert_eq!(of("shard", "k/sub/file").unwrap(), b"public");
        for name in ["k/evil/.ssh/id", "k/link", "k/pipe", "k/sub", "k/none"] {
            assert_eq!(of("shard", name), None, "{name}");
        }
        // The user may name the shard's folder by a link.
        symlink("shard", at("named")).unwrap();
        assert_eq!(of("named", "k/sub/file").unwrap(), b"public");
    }
}

//! Adds the results of shards to the store of this host, so that the next plan
//! knows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use kdk_core::context::Context;
use kdk_core::failure::Failure;

use super::folder::Folder;
use crate::plan_file::PlanFile;
use crate::result::JobResult;
use crate::store::{self, CiStore};

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
            stored.push(one(&of_base, folder, result));
        }
    }
    stored.into_iter().collect()
}

/// Stores one result, after its artefacts.
fn one(store: &CiStore, folder: &Folder, result: &JobResult) -> Result<(), Failure> {
    let results = store.results();
    for name in &result.artefacts {
        let (from, to) = (folder.path.join(name), results.dir().join(name));
        // The file of a shard must not lead out of the store.
        if !is_plain(Path::new(name)) || !is_file(&from) || to.exists() {
            continue;
        }
        let copied = to.parent().map_or(Ok(()), fs::create_dir_all);
        copied
            .and_then(|()| fs::copy(&from, &to))
            .map_err(|error| Failure::io("store an artefact", &to, error))?;
    }
    results.put(result)
}

/// Returns whether a path only goes down.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Returns whether there is a file, and not a link to one.
fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

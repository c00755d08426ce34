//! A series applied to its base: one commit for each patch.

use crate::base::definition::Definition;
use crate::base::record::{self, Record};
use crate::base::resolve::{self, ResolvedBase};
use crate::base::{self, apply};
use crate::load::Loaded;
use crate::manifest::Patch;
use kdk_core::cache_dir::{CacheDir, Lock};
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// A base that no other process changes until this is dropped.
#[derive(Debug)]
pub struct LockedBase {
    /// The record of the base.
    pub record: Record,
    /// The definition of the base: how its kernel is built.
    pub definition: Definition,
    /// The commit that the base resolves to now.
    pub resolved: ResolvedBase,
    _lock: Lock,
}

/// Locks and resolves the base `name`. Waits for other processes that use it.
pub fn lock_base(
    cache: &CacheDir,
    name: &str,
    say: &dyn Fn(String),
) -> Result<LockedBase, Failure> {
    let record = record::find(cache, name)?;
    let definition = record.definition()?;
    let lock = cache.lock(&base::lock_name(name), say)?;
    let resolved = resolve::resolve(cache, &record, &definition, &mut |text| say(text))?;
    Ok(LockedBase {
        record,
        definition,
        resolved,
        _lock: lock,
    })
}

/// A series applied to its base.
#[derive(Debug)]
pub struct AppliedSeries<'a> {
    /// The series that is applied.
    pub series: &'a Loaded,
    /// The base, which stays locked.
    pub base: LockedBase,
    /// The commit of each patch, in apply order.
    pub commits: Vec<String>,
}

/// Applies `series` to its base, with fuzz 0.
///
/// # Errors
/// The base was not added, the series is for another base, or a patch does not
/// apply.
pub fn apply_series<'a>(
    cache: &CacheDir,
    series: &'a Loaded,
    say: &dyn Fn(String),
) -> Result<AppliedSeries<'a>, Failure> {
    let base = lock_base(cache, series.name(), say)?;
    series.check_base(base.resolved.osreldate)?;
    let changes = series.changes()?;
    let commits = apply::chain(&base.resolved.git, &base.resolved.commit, &changes)?;
    Ok(AppliedSeries {
        series,
        base,
        commits,
    })
}

impl AppliedSeries<'_> {
    /// Returns kdk's repository of the base.
    pub fn git(&self) -> &Git {
        &self.base.resolved.git
    }

    /// Returns the commit of the base, below the first patch.
    pub fn start(&self) -> &str {
        &self.base.resolved.commit
    }

    /// Returns the commit of the last patch.
    pub fn tip(&self) -> &str {
        self.commits.last().map_or(self.start(), String::as_str)
    }

    /// Returns the commit that patch `n` is applied to.
    pub fn parent(&self, n: usize) -> &str {
        match n.checked_sub(1) {
            Some(before) => &self.commits[before],
            None => self.start(),
        }
    }

    /// Returns each patch with its commit.
    pub fn patches(&self) -> impl Iterator<Item = (&Patch, &str)> {
        let patches = self.series.manifest.patches.iter();
        patches.zip(self.commits.iter().map(String::as_str))
    }
}

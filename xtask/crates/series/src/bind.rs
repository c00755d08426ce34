//! A series on its base: each patch a commit.

use crate::base::definition::Definition;
use crate::base::open::{self, Opened};
use crate::base::record::{self, Record};
use crate::base::{self, apply};
use crate::load::Loaded;
use crate::manifest::Patch;
use kdk_core::cache_dir::{Home, Lock};
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// A base that nobody else changes while this is held.
#[derive(Debug)]
pub struct Held {
    /// What was added.
    pub record: Record,
    /// How it is built.
    pub definition: Definition,
    /// What it is now.
    pub opened: Opened,
    _lock: Lock,
}

/// Opens the base `name`, waiting for those who use it.
pub fn hold(home: &Home, name: &str, say: &dyn Fn(String)) -> Result<Held, Failure> {
    let record = record::find(home, name)?;
    let definition = record.definition()?;
    let lock = home.lock(&base::lock_name(name), say)?;
    let opened = open::open(home, &record, &definition, &mut |text| say(text))?;
    Ok(Held {
        record,
        definition,
        opened,
        _lock: lock,
    })
}

/// A series on its base.
#[derive(Debug)]
pub struct Bound<'a> {
    /// The series.
    pub series: &'a Loaded,
    /// Its base.
    pub base: Held,
    /// A commit for each patch, in apply order.
    pub commits: Vec<String>,
}

/// Applies `series` to its base, exactly.
///
/// # Errors
/// The base was not added, is another one, or a patch does not apply.
pub fn bind<'a>(
    home: &Home,
    series: &'a Loaded,
    say: &dyn Fn(String),
) -> Result<Bound<'a>, Failure> {
    let base = hold(home, series.name(), say)?;
    series.check_base(base.opened.osreldate)?;
    let changes = series.changes()?;
    let commits = apply::chain(&base.opened.git, &base.opened.commit, &changes)?;
    Ok(Bound {
        series,
        base,
        commits,
    })
}

impl Bound<'_> {
    /// The kit's repository of the base.
    pub fn git(&self) -> &Git {
        &self.base.opened.git
    }

    /// The commit before the first patch.
    pub fn start(&self) -> &str {
        &self.base.opened.commit
    }

    /// The last commit.
    pub fn tip(&self) -> &str {
        self.commits.last().map_or(self.start(), String::as_str)
    }

    /// The commit that patch `n` is applied to.
    pub fn parent(&self, n: usize) -> &str {
        match n.checked_sub(1) {
            Some(before) => &self.commits[before],
            None => self.start(),
        }
    }

    /// Each patch with its commit.
    pub fn patches(&self) -> impl Iterator<Item = (&Patch, &str)> {
        let patches = self.series.manifest.patches.iter();
        patches.zip(self.commits.iter().map(String::as_str))
    }
}

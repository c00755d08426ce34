//! Resolves a base to the commit that series are applied to.

use std::path::Path;

use crate::base::definition::Definition;
use crate::base::record::Record;
use crate::base::source::Source;
use crate::base::uncommitted::{self, Snapshot};
use crate::base::{add, repo};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// A base, resolved to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedBase {
    /// The repository that kdk has of the base.
    pub git: Git,
    /// The commit to apply patches to.
    pub commit: String,
    /// The `__FreeBSD_version` of the commit.
    pub osreldate: u32,
    /// The files with uncommitted changes of the user's checkout, which are in
    /// the commit.
    pub uncommitted: Vec<String>,
}

/// Resolves the base without checking anything out. The caller has locked the
/// base.
pub fn resolve(
    cache: &CacheDir,
    record: &Record,
    definition: &Definition,
    say: &mut dyn FnMut(String),
) -> Result<ResolvedBase, Failure> {
    let git = repo::git(cache, &record.name);
    if !git.git_dir().exists() {
        return Err(gone(record, git.git_dir()));
    }
    repo::remove_stale_locks(git.git_dir());
    let snapshot = snapshot(&git, record)?;
    if !snapshot.changed.is_empty() {
        say(uncommitted_line(record, &snapshot.changed));
    }
    let from = record.src.as_deref().unwrap_or(git.git_dir());
    let osreldate =
        add::check_osreldate(&git, definition, &snapshot.commit, &from.to_string_lossy())?;
    Ok(ResolvedBase {
        git,
        commit: snapshot.commit,
        osreldate,
        uncommitted: snapshot.changed,
    })
}

/// Returns the commit of the source now, with its uncommitted changes.
fn snapshot(git: &Git, record: &Record) -> Result<Snapshot, Failure> {
    let Some(src) = &record.src else {
        return Ok(Snapshot {
            commit: record.commit.clone(),
            changed: Vec::new(),
        });
    };
    if !src.exists() {
        return Err(gone(record, src));
    }
    let source = Source::open(src)?;
    repo::add_alternate(git, &source)?;
    uncommitted::snapshot(git, &source)
}

fn gone(record: &Record, what: &Path) -> Failure {
    let name = &record.name;
    Failure::infra(
        format!("use the base `{name}`"),
        format!("{} does not exist", what.display()),
    )
    .help(format!(
        "restore it, or add the base again: cargo xtask base remove {name}, then cargo xtask base add \
            {name} [--src DIR]"
    ))
}

fn uncommitted_line(record: &Record, changed: &[String]) -> String {
    let src = record.src.as_deref().unwrap_or(Path::new("")).display();
    match changed {
        [one] => format!("includes the uncommitted change of {src}: {one}"),
        many => format!(
            "includes {} uncommitted changes of {src} under sys/",
            many.len()
        ),
    }
}

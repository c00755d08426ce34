//! Operations on a series: an edit, a new patch or a rebase that is in progress.
//! The folder `edits/SERIES/NAME` in the cache has the saved state in
//! `state.json` and the worktree in `src`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{files, repo};
use crate::load::{self, Loaded};
use crate::manifest::Class;
use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// The name of a rebase, where other operations have a patch's id. No id has an
/// `@`.
const REBASE: &str = "@rebase";

/// A change of a series that is in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// The kind of the operation.
    pub kind: Kind,
    /// The name of the series.
    pub series: String,
    /// The folder of the series' files.
    pub dir: PathBuf,
    /// The digest of its patches when the operation began.
    pub digest: String,
    /// The base to apply it to, whose repository has all commits named here.
    pub base: String,
    /// The commit of that base, below the first patch.
    pub start: String,
    /// `__FreeBSD_version` of that commit.
    pub osreldate: u32,
    /// The patches as they were, in apply order.
    pub steps: Vec<Step>,
    /// The new commits of the first of them.
    pub done: Vec<Done>,
    /// The state of the worktree.
    #[serde(alias = "desk")]
    pub worktree: WorktreeState,
}

/// The kind of the operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An existing patch is changed.
    Edit {
        /// The id of the patch.
        id: String,
    },
    /// A new patch is written.
    New {
        /// The id of the patch.
        id: String,
        /// The class of the patch.
        class: Class,
        /// Whether a generative AI wrote any part of it.
        ai_assisted: bool,
    },
    /// All patches are applied to another commit.
    Rebase,
}

/// A patch before the operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The id of the patch.
    pub id: String,
    /// The commits before and after it; `None` for a new patch.
    pub change: Option<(String, String)>,
}

/// A patch that the operation has dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// The id of the patch.
    pub id: String,
    /// Its new commit; `None` if it became empty.
    pub commit: Option<String>,
}

/// The state of the worktree, which always has the first patch that is not
/// done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorktreeState {
    /// Nothing of the user's.
    #[serde(alias = "free")]
    Idle,
    /// The patch, which the user edits.
    #[serde(alias = "open")]
    Editing,
    /// A conflict is being checked out.
    #[serde(alias = "laying")]
    CheckingOut,
    /// The patch with conflicts, which the user resolves.
    #[serde(alias = "conflict")]
    Conflicted {
        /// The files with conflict markers.
        marked: Vec<String>,
        /// The files that cannot have markers: removed on one side, or binary.
        others: Vec<String>,
    },
}

impl Operation {
    /// Returns its name among the operations of the series.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Edit { id } | Kind::New { id, .. } => id,
            Kind::Rebase => REBASE,
        }
    }

    /// Returns whether it is a rebase.
    pub fn is_rebase(&self) -> bool {
        self.kind == Kind::Rebase
    }

    /// Describes it in messages: "edit of `x`".
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Edit { id } => format!("edit of `{id}`"),
            Kind::New { id, .. } => format!("new patch `{id}`"),
            Kind::Rebase if self.base != self.series => format!("rebase onto {}", self.base),
            Kind::Rebase => "rebase".into(),
        }
    }

    /// Returns the command that continues it.
    pub fn continue_command(&self) -> String {
        self.command(match self.kind {
            Kind::Rebase => "--continue",
            _ => "--done",
        })
    }

    /// Returns the command that aborts it.
    pub fn abort_command(&self) -> String {
        self.command("--abort")
    }

    fn command(&self, flag: &str) -> String {
        let command = match &self.kind {
            Kind::Edit { id } | Kind::New { id, .. } => format!("edit {id}"),
            Kind::Rebase => "rebase".into(),
        };
        format!(
            "cargo xtask patches {command} {flag} --series {}",
            self.series
        )
    }

    /// Returns its folder in the cache.
    pub fn folder(&self, cache: &CacheDir) -> PathBuf {
        folder(cache, &self.series, self.name())
    }

    /// Returns the path of its worktree.
    pub fn worktree_path(&self, cache: &CacheDir) -> PathBuf {
        self.folder(cache).join("src")
    }

    /// Returns kdk's repository that has its commits.
    pub fn git(&self, cache: &CacheDir) -> Git {
        repo::git(cache, &self.base)
    }

    /// Returns the first patch that is not done.
    pub fn next(&self) -> Option<&Step> {
        self.steps.get(self.done.len())
    }

    /// Returns the commit that the next patch is applied to.
    pub fn tip(&self) -> &str {
        let mut commits = self.done.iter().rev();
        commits
            .find_map(|done| done.commit.as_deref())
            .unwrap_or(&self.start)
    }

    /// Returns the commits of the patches that are done, by id. Patches that
    /// became empty have none.
    pub fn commits(&self) -> Vec<(String, String)> {
        let commit = |done: &Done| Some((done.id.clone(), done.commit.clone()?));
        self.done.iter().filter_map(commit).collect()
    }

    /// Saves it, with references that keep its commits.
    pub fn save(&self, cache: &CacheDir) -> Result<(), Failure> {
        let git = self.git(cache);
        // The commits of each list are one chain, so its last one is enough.
        let mut old = self.steps.iter().rev();
        let old = old.find_map(|step| Some(step.change.as_ref()?.1.as_str()));
        for (name, commit) in [("old", old.unwrap_or(&self.start)), ("new", self.tip())] {
            repo::pin(&git, &self.reference(name), commit)?;
        }
        let path = self.folder(cache).join(STATE);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::infra(RECORD, error.to_string()))?;
        write_atomically(&path, &text).map_err(|error| Failure::io(RECORD, &path, error))
    }

    fn reference(&self, name: &str) -> String {
        format!("refs/kdk/edits/{}/{}/{name}", self.series, self.name())
    }

    /// Removes it, with its worktree.
    pub fn close(&self, cache: &CacheDir) -> Result<(), Failure> {
        let folder = self.folder(cache);
        remove_folder(&folder)?;
        let git = self.git(cache);
        if git.git_dir().exists() {
            git.text(RECORD, &["worktree", "prune"])?;
            for name in ["old", "new"] {
                git.text(RECORD, &["update-ref", "-d", &self.reference(name)])?;
            }
        }
        Ok(())
    }
}

const STATE: &str = "state.json";
const RECORD: &str = "save the operation";

fn folder(cache: &CacheDir, series: &str, name: &str) -> PathBuf {
    cache.edits().join(series).join(name)
}

/// Removes a folder, and its state first: what a killed run leaves is no
/// operation then.
fn remove_folder(folder: &Path) -> Result<(), Failure> {
    let state = folder.join(STATE);
    files::remove(&state).map_err(|error| Failure::io(RECORD, &state, error))?;
    files::remove(folder).map_err(|error| Failure::io(RECORD, folder, error))
}

/// Returns the operation `name` of `series`.
pub fn find(cache: &CacheDir, series: &str, name: &str) -> Result<Option<Operation>, Failure> {
    read(&folder(cache, series, name))
}

/// Returns the rebase of `series` that is in progress.
pub fn rebase(cache: &CacheDir, series: &str) -> Result<Option<Operation>, Failure> {
    find(cache, series, REBASE)
}

fn read(folder: &Path) -> Result<Option<Operation>, Failure> {
    let path = folder.join(STATE);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| Failure::io(RECORD, &path, error))?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        Failure::infra(
            format!("read {}", path.display()),
            "it is damaged, or another version of kdk wrote it",
        )
        .source(error)
        .help(format!(
            "copy what you need from {}, then remove {}",
            folder.join("src").display(),
            folder.display()
        ))
    })
}

/// Returns all operations of all series.
pub fn all(cache: &CacheDir) -> Result<Vec<Operation>, Failure> {
    let mut found = Vec::new();
    for series in subfolders(&cache.edits())? {
        for folder in subfolders(&series)? {
            found.extend(read(&folder)?);
        }
    }
    Ok(found)
}

fn subfolders(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Failure::io(RECORD, dir, error))?,
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    Ok(found)
}

/// Fails while an operation of `series` is in progress: the one that ends first
/// would make the other one stale.
pub fn ensure_none_in_progress(cache: &CacheDir, series: &str, tried: &str) -> Result<(), Failure> {
    let open = all(cache)?
        .into_iter()
        .find(|operation| operation.series == series);
    open.map_or(Ok(()), |operation| {
        Err(in_progress(&operation, cache, tried))
    })
}

/// Fails while an operation is in progress whose commits are in the repository
/// of `base`, or of any base if none is given.
pub fn ensure_none_on_base(
    cache: &CacheDir,
    base: Option<&str>,
    tried: &str,
) -> Result<(), Failure> {
    let mut open = all(cache)?.into_iter();
    let open = open.find(|operation| base.is_none_or(|base| operation.base == base));
    open.map_or(Ok(()), |operation| {
        Err(in_progress(&operation, cache, tried))
    })
}

/// Fails unless the saved state still equals `operation`. The caller has locked
/// the base, so that it stays equal.
pub fn ensure_current(cache: &CacheDir, operation: &Operation) -> Result<(), Failure> {
    if find(cache, &operation.series, operation.name())?.as_ref() == Some(operation) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("finish the {}", operation.describe()),
        "another kdk process has continued it meanwhile",
    )
    .help("`cargo xtask patches edit --list` lists the operations in progress"))
}

fn in_progress(operation: &Operation, cache: &CacheDir, tried: &str) -> Failure {
    Failure::usage(
        tried,
        format!(
            "the {} of {} is in progress, in {}",
            operation.describe(),
            operation.series,
            operation.worktree_path(cache).display()
        ),
    )
    .help(format!(
        "finish it: {}\nor abort it: {}",
        operation.continue_command(),
        operation.abort_command()
    ))
}

/// Prepares the folder of `operation`, which is about to begin. Removes what a
/// killed run left there.
pub fn reset_folder(cache: &CacheDir, operation: &Operation) -> Result<(), Failure> {
    let folder = operation.folder(cache);
    remove_folder(&folder)?;
    cache.create(&folder)
}

/// Returns a digest of the patches of a series, to detect later changes.
pub fn digest(series: Option<&Loaded>) -> Result<String, Failure> {
    let Some(series) = series else {
        return Ok("none".into());
    };
    let mut hasher = blake3::Hasher::new();
    for (patch, change) in series.manifest.patches.iter().zip(series.changes()?) {
        for part in [
            change.id.as_bytes(),
            patch.file.as_bytes(),
            change.diff.as_slice(),
        ] {
            hasher.update(blake3::hash(part).as_bytes());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Fails unless `series` is as it was when `operation` began.
pub fn ensure_series_unchanged(
    operation: &Operation,
    cache: &CacheDir,
    series: Option<&Loaded>,
) -> Result<(), Failure> {
    let tried = format!("finish the {}", operation.describe());
    let dir = load::series_dir(&operation.series);
    if dir != operation.dir {
        return Err(Failure::usage(
            tried,
            format!(
                "it began from the series in {}, and this one is in {}",
                operation.dir.display(),
                dir.display()
            ),
        )
        .help(format!(
            "set KDK_PATCHES to {}",
            operation.dir.parent().unwrap_or(&operation.dir).display()
        )));
    }
    if digest(series)? == operation.digest {
        return Ok(());
    }
    Err(Failure::usage(
        tried,
        format!(
            "the patches in {} have changed since it began",
            dir.display()
        ),
    )
    .help(format!(
        "nothing was written. Restore them and run this again\nor keep your change: git -C {} diff {} > \
            FILE\nthen abort and start again: {}",
        operation.worktree_path(cache).display(),
        operation.tip(),
        operation.abort_command()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_the_first_version_is_read() {
        for (old, want) in [
            (r#""free""#, WorktreeState::Idle),
            (r#""open""#, WorktreeState::Editing),
            (r#""laying""#, WorktreeState::CheckingOut),
            (
                r#"{"conflict": {"marked": ["a"], "others": []}}"#,
                WorktreeState::Conflicted {
                    marked: vec!["a".into()],
                    others: Vec::new(),
                },
            ),
        ] {
            let text = format!(
                r#"{{"kind": "rebase", "series": "s", "dir": "/d", "digest": "d", "base": "b",
                     "start": "c", "osreldate": 1, "steps": [], "done": [], "desk": {old}}}"#
            );
            let read: Operation = serde_json::from_str(&text).unwrap();
            assert_eq!(read.worktree, want, "{old}");
        }
    }
}

//! A change to a series that is on the way, between two runs of the kit:
//! `edits/SERIES/NAME` in the cache, with what is known of it in `state.json`
//! and a worktree in `src`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{files, repo};
use crate::load::{self, Loaded};
use crate::manifest::Class;
use kdk_core::cache_dir::{Home, write_atomically};
use kdk_core::failure::Failure;
use kdk_core::git::Git;

/// What a rebase is called where a patch's id stands otherwise; no id is like it.
const REBASE: &str = "@rebase";

/// A change to a series that is on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What is being done.
    pub kind: Kind,
    /// The series that was read.
    pub series: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Digest of its patches at the beginning.
    pub digest: String,
    /// The base it is put on, whose repository has all commits named here.
    pub base: String,
    /// The commit of that base.
    pub start: String,
    /// `__FreeBSD_version` of that commit.
    pub osreldate: u32,
    /// The patches as they were, in apply order.
    pub steps: Vec<Step>,
    /// What the first of them have become.
    pub done: Vec<Done>,
    /// What the worktree holds.
    pub worktree: WorktreeState,
}

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A patch is changed.
    Edit {
        /// Which.
        id: String,
    },
    /// A patch is made.
    New {
        /// Its id.
        id: String,
        /// What it is for.
        class: Class,
        /// Whether a generative AI writes any of it.
        ai_assisted: bool,
    },
    /// All patches are taken to another commit.
    Rebase,
}

/// A patch as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// The commits before and after it; none for a patch that is being made.
    pub change: Option<(String, String)>,
}

/// What a patch has become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Its id.
    pub id: String,
    /// Its commit; none where it changes nothing any more.
    pub commit: Option<String>,
}

/// What the worktree holds: always the first patch that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorktreeState {
    /// Nothing that counts.
    Idle,
    /// The patch, for the user to change.
    Editing,
    /// The patch is being put there with its conflicts.
    CheckingOut,
    /// The patch, with conflicts for the user to resolve.
    Conflicted {
        /// Files that got markers.
        marked: Vec<String>,
        /// Files that cannot have any: gone on one side, or no text.
        others: Vec<String>,
    },
}

impl Operation {
    /// Its name among the changes to the series.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Edit { id } | Kind::New { id, .. } => id,
            Kind::Rebase => REBASE,
        }
    }

    /// Whether it takes all patches to another commit.
    pub fn is_rebase(&self) -> bool {
        self.kind == Kind::Rebase
    }

    /// For people: "edit of `x`".
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Edit { id } => format!("edit of `{id}`"),
            Kind::New { id, .. } => format!("new patch `{id}`"),
            Kind::Rebase if self.base != self.series => format!("rebase onto {}", self.base),
            Kind::Rebase => "rebase".into(),
        }
    }

    /// The command that goes on with it.
    pub fn continue_command(&self) -> String {
        self.command(match self.kind {
            Kind::Rebase => "--continue",
            _ => "--done",
        })
    }

    /// The command that gives it up.
    pub fn abort_command(&self) -> String {
        self.command("--abort")
    }

    fn command(&self, flag: &str) -> String {
        let verb = match &self.kind {
            Kind::Edit { id } | Kind::New { id, .. } => format!("edit {id}"),
            Kind::Rebase => "rebase".into(),
        };
        format!("cargo xtask patches {verb} {flag} --series {}", self.series)
    }

    /// Its folder.
    pub fn folder(&self, home: &Home) -> PathBuf {
        folder(home, &self.series, self.name())
    }

    /// Its worktree.
    pub fn worktree_path(&self, home: &Home) -> PathBuf {
        self.folder(home).join("src")
    }

    /// The kit's repository that has its commits.
    pub fn git(&self, home: &Home) -> Git {
        repo::git(home, &self.base)
    }

    /// The first patch that is not done.
    pub fn next(&self) -> Option<&Step> {
        self.steps.get(self.done.len())
    }

    /// The commit that the next patch comes on.
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

    /// Writes it down, and has git keep its commits.
    pub fn save(&self, home: &Home) -> Result<(), Failure> {
        let git = self.git(home);
        // Each list of commits is one chain.
        let mut old = self.steps.iter().rev();
        let old = old.find_map(|step| Some(step.change.as_ref()?.1.as_str()));
        for (name, commit) in [("old", old.unwrap_or(&self.start)), ("new", self.tip())] {
            repo::pin(&git, &self.reference(name), commit)?;
        }
        let path = self.folder(home).join(STATE);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::infra(RECORD, error.to_string()))?;
        write_atomically(&path, &text).map_err(|error| Failure::io(RECORD, &path, error))
    }

    fn reference(&self, name: &str) -> String {
        format!("refs/kdk/edits/{}/{}/{name}", self.series, self.name())
    }

    /// Forgets it, with its worktree.
    pub fn close(&self, home: &Home) -> Result<(), Failure> {
        let folder = self.folder(home);
        remove_folder(&folder)?;
        let git = self.git(home);
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
const RECORD: &str = "keep account of the change to the series";

fn folder(home: &Home, series: &str, name: &str) -> PathBuf {
    home.edits().join(series).join(name)
}

/// Removes a folder; its state first, so that what a kill leaves is no work.
fn remove_folder(folder: &Path) -> Result<(), Failure> {
    let state = folder.join(STATE);
    files::remove(&state).map_err(|error| Failure::io(RECORD, &state, error))?;
    files::remove(folder).map_err(|error| Failure::io(RECORD, folder, error))
}

/// The work `name` on `series`.
pub fn find(home: &Home, series: &str, name: &str) -> Result<Option<Operation>, Failure> {
    read(&folder(home, series, name))
}

/// The rebase of `series`.
pub fn rebase(home: &Home, series: &str) -> Result<Option<Operation>, Failure> {
    find(home, series, REBASE)
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
            "it is not what this kit writes",
        )
        .source(error)
        .help(format!(
            "take what you need from {}, then remove {}",
            folder.join("src").display(),
            folder.display()
        ))
    })
}

/// All changes to all series.
pub fn all(home: &Home) -> Result<Vec<Operation>, Failure> {
    let mut found = Vec::new();
    for series in subfolders(&home.edits())? {
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

/// Fails while a change to `series` is on the way: the one that ends first
/// would make the other one stale.
pub fn ensure_none_in_progress(home: &Home, series: &str, tried: &str) -> Result<(), Failure> {
    let open = all(home)?
        .into_iter()
        .find(|operation| operation.series == series);
    open.map_or(Ok(()), |operation| {
        Err(in_progress(&operation, home, tried))
    })
}

/// Fails while a change is on the way whose commits are in the repository of
/// `base`, or of any base if none is named.
pub fn ensure_none_on_base(home: &Home, base: Option<&str>, tried: &str) -> Result<(), Failure> {
    let mut open = all(home)?.into_iter();
    let open = open.find(|operation| base.is_none_or(|base| operation.base == base));
    open.map_or(Ok(()), |operation| {
        Err(in_progress(&operation, home, tried))
    })
}

/// Fails unless `operation` is on the way as it was read. The caller holds the lock
/// of its base, so that it stays so.
pub fn ensure_current(home: &Home, operation: &Operation) -> Result<(), Failure> {
    if find(home, &operation.series, operation.name())?.as_ref() == Some(operation) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("finish the {}", operation.describe()),
        "another run of the kit has gone on with it meanwhile",
    )
    .help("`cargo xtask patches edit --list` lists what is on the way"))
}

fn in_progress(operation: &Operation, home: &Home, tried: &str) -> Failure {
    Failure::usage(
        tried,
        format!(
            "the {} of {} is not finished: it lies in {}",
            operation.describe(),
            operation.series,
            operation.worktree_path(home).display()
        ),
    )
    .help(format!(
        "finish it: {}\nor give it up: {}",
        operation.continue_command(),
        operation.abort_command()
    ))
}

/// Prepares the folder of `operation`, which is about to begin: what a killed run
/// left of one is removed.
pub fn reset_folder(home: &Home, operation: &Operation) -> Result<(), Failure> {
    let folder = operation.folder(home);
    remove_folder(&folder)?;
    home.create(&folder)
}

/// A digest of the patches of a series: of what a change builds on.
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

/// Fails unless `series` is what `operation` began from.
pub fn ensure_series_unchanged(
    operation: &Operation,
    home: &Home,
    series: Option<&Loaded>,
) -> Result<(), Failure> {
    let tried = format!("finish the {}", operation.describe());
    let dir = load::place(&operation.series);
    if dir != operation.dir {
        return Err(Failure::usage(
            tried,
            format!(
                "it is of the series in {}, and this is {}",
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
        "nothing was written. Put them back as they were and do this again\nor keep your change: git -C {} \
         diff {} > FILE\nthen give this up and begin anew: {}",
        operation.worktree_path(home).display(),
        operation.tip(),
        operation.abort_command()
    )))
}

//! The edit worktree: kdk checks a patch out in it, the user changes it, and
//! kdk captures the result.

mod validate;

use std::fs;
use std::path::Path;

use crate::base::definition::SparsePaths;
use crate::base::repo::{self, changed_paths};
use crate::base::uncommitted::copy_index;
use crate::base::worktree::Checkout;
use crate::commit_meta::{self, CommitMeta};
use crate::merge::Merged;
use crate::operation::{Operation, WorktreeState};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

pub use validate::validate;

/// Folders with vendors' code, which take more space than the rest of the tree.
const VENDOR: [&str; 3] = ["contrib", "crypto", "sys/contrib/device-tree"];

const CHECK_OUT: &str = "check the patch out";

/// Checks `commit` out for the current patch of `operation`. The files `with`
/// are checked out even where their folder is not.
pub fn checkout(
    cache: &CacheDir,
    operation: &Operation,
    commit: &str,
    with: Vec<String>,
    say: &mut dyn FnMut(String),
) -> Result<Checkout, Failure> {
    let path = operation.worktree_path(cache);
    if Checkout::find(&path).is_none() {
        say("checking out the tree".into());
    }
    let worktree = Checkout::open(&operation.git(cache), cache, &path, commit)?;
    // The stamp describes what kdk wrote last, and not what the user changed
    // since.
    let _ = fs::remove_file(worktree.admin.join("kdk-at"));
    for name in ["MERGE_MSG", "SQUASH_MSG"] {
        let _ = fs::remove_file(worktree.admin.join(name));
    }
    let parts = SparsePaths {
        only: Vec::new(),
        without: VENDOR.map(str::to_owned).to_vec(),
        with,
    };
    // A branch that the user made in the worktree does not move.
    let args = ["update-ref", "--no-deref", "HEAD", commit];
    worktree.git.text(CHECK_OUT, &args)?;
    worktree.move_to(&parts, commit, say)?;
    Ok(worktree)
}

/// Checks out the result of a merge with conflicts: the merged files with
/// markers, and the three stages of each in the index, so that git's own tools
/// for conflicts work.
pub fn checkout_conflict(
    cache: &CacheDir,
    operation: &Operation,
    (before, after): (&str, &str),
    merged: &Merged,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let repo = operation.git(cache);
    let tip = operation.tip();
    let mut with = changed_paths(&repo, before, after)?;
    with.extend(
        merged
            .conflicts
            .iter()
            .map(|conflict| conflict.file.clone()),
    );
    let worktree = checkout(cache, operation, tip, with, say)?;
    worktree
        .git
        .text(CHECK_OUT, &["read-tree", "-m", "-u", tip, &merged.tree])?;
    let mut list = Vec::new();
    for conflict in &merged.conflicts {
        let file = conflict.file.as_str();
        list.extend(format!("0 {:040}\t{file}\0", 0).into_bytes());
        for (stage, side) in [before, tip, after].iter().enumerate() {
            for entry in repo::entries(&repo, CHECK_OUT, &[side, "--", file])? {
                let repo::Entry { mode, id, .. } = entry;
                list.extend(format!("{mode} {id} {}\t{file}\0", stage + 1).into_bytes());
            }
        }
    }
    repo::set_entries(&worktree.git, CHECK_OUT, &list)?;
    let message = commit_meta::read(&repo, after)?.message;
    let path = worktree.admin.join("MERGE_MSG");
    fs::write(&path, message).map_err(|error| Failure::io(CHECK_OUT, &path, error))
}

/// The content of the edit worktree, read as one patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedPatch {
    /// The id of the tree, with the changes that are not committed.
    pub tree: String,
    /// The author and message of the user's own commit, if there is one.
    pub meta: Option<CommitMeta>,
}

/// Reads the worktree as the current patch of `operation`. Nothing in the
/// worktree changes.
///
/// # Errors
/// The worktree cannot be read as one patch. The help says how to fix that.
pub fn read(cache: &CacheDir, operation: &Operation) -> Result<EditedPatch, Failure> {
    let worktree = validate(cache, operation)?;
    let head = worktree.git.text(READ, &["rev-parse", "HEAD"])?;
    let tree = tree(&worktree)?;
    let own = match operation.next().and_then(|step| step.change.as_ref()) {
        // The commit that kdk checked out is not the user's.
        Some((_, after)) if operation.worktree == WorktreeState::Editing && *after == head => None,
        _ if head == operation.tip() => None,
        _ => Some(commit_meta::read(&worktree.git, &head)?),
    };
    Ok(EditedPatch { tree, meta: own })
}

const READ: &str = "read the worktree";

/// Returns the tree of everything in the worktree, with new files.
fn tree(worktree: &Checkout) -> Result<String, Failure> {
    let (index, scratch) = (
        worktree.admin.join("index"),
        worktree.admin.join("kdk.index"),
    );
    let _ = fs::remove_file(worktree.admin.join("kdk.stamp"));
    copy_index(&index, &scratch).map_err(|error| Failure::io(READ, &index, error))?;
    let mut git = worktree.git.clone().index(&scratch);
    if let Some(ignored) = ignored()? {
        git = git.setting(format!("core.excludesFile={ignored}"));
    }
    git.text(READ, &["add", "--all", "--sparse", "--", "."])?;
    git.text(READ, &["write-tree", "--missing-ok"])
}

/// Returns the path of the user's own ignore file, which lists an editor's
/// files, for example.
fn ignored() -> Result<Option<String>, Failure> {
    let args = ["config", "--global", "--type=path", "core.excludesFile"];
    let ran = Git::nowhere().network().run(READ, &args)?;
    Ok(ran.ok.then(|| ran.text()))
}

/// Commits the content of the worktree of `operation`, which is aborted, so
/// that no work is lost. Returns the commit, if anything had changed.
pub fn back_up(cache: &CacheDir, operation: &Operation) -> Result<Option<String>, Failure> {
    let repo = operation.git(cache);
    let checked_out = operation.next().and_then(|step| step.change.as_ref());
    let is_checked_out =
        |head: &str| head == operation.tip() || checked_out.is_some_and(|(_, after)| after == head);
    let commit = match Checkout::find(&operation.worktree_path(cache)) {
        Some(worktree) => {
            let head = worktree.git.text(READ, &["rev-parse", "HEAD"])?;
            let tree = tree(&worktree)?;
            match tree == repo::tree_of(&repo, &head)? {
                true => Some(head),
                false => {
                    let meta = commit_meta::read(&repo, &head)?;
                    Some(commit_meta::commit(&repo, &tree, &head, &meta)?)
                }
            }
        }
        // The files are gone, but git may still have the last commit.
        None => head_of(&repo, &operation.worktree_path(cache))?,
    };
    let Some(commit) = commit.filter(|commit| !is_checked_out(commit)) else {
        return Ok(None);
    };
    let name = format!("refs/kdk/aborted/{}/{}", operation.series, operation.name());
    repo::pin(&repo, &name, &commit)?;
    Ok(Some(commit))
}

/// Returns HEAD of the worktree at `path`, as its repository records it.
fn head_of(repo: &Git, path: &Path) -> Result<Option<String>, Failure> {
    if !repo.git_dir().exists() {
        return Ok(None);
    }
    let list = repo.text(READ, &["worktree", "list", "--porcelain"])?;
    let mut lines = list.lines();
    let wanted = format!("worktree {}", path.display());
    if !lines.any(|line| line == wanted) {
        return Ok(None);
    }
    let head = lines.next().and_then(|line| line.strip_prefix("HEAD "));
    Ok(head.map(str::to_owned))
}

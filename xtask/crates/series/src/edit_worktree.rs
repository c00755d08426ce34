//! The worktree in which a patch is changed: laid out by the kit, left to the
//! user, and read again.

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
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

pub use validate::validate;

/// Folders with other people's code, which take more room than all the rest.
const VENDOR: [&str; 3] = ["contrib", "crypto", "sys/contrib/device-tree"];

const CHECK_OUT: &str = "lay the patch out";

/// Lays `commit` out for the patch that `operation` is at, with the files `with` in
/// any case.
pub fn checkout(
    home: &Home,
    operation: &Operation,
    commit: &str,
    with: Vec<String>,
    say: &mut dyn FnMut(String),
) -> Result<Checkout, Failure> {
    let path = operation.worktree_path(home);
    if Checkout::find(&path).is_none() {
        say("checking the tree out".into());
    }
    let worktree = Checkout::open(&operation.git(home), home, &path, commit)?;
    // The checkout knows what it wrote last, not what was done to it since.
    let _ = fs::remove_file(worktree.admin.join("kdk-at"));
    for name in ["MERGE_MSG", "SQUASH_MSG"] {
        let _ = fs::remove_file(worktree.admin.join(name));
    }
    let parts = SparsePaths {
        only: Vec::new(),
        without: VENDOR.map(str::to_owned).to_vec(),
        with,
    };
    // A branch that the user has made there stays where it is.
    let args = ["update-ref", "--no-deref", "HEAD", commit];
    worktree.git.text(CHECK_OUT, &args)?;
    worktree.move_to(&parts, commit, say)?;
    Ok(worktree)
}

/// Lays out what a merge has left: the last commit, the merged files with
/// their markers, and all sides of those in the index, so that git's own tools
/// for conflicts can be used.
pub fn checkout_conflict(
    home: &Home,
    operation: &Operation,
    (before, after): (&str, &str),
    merged: &Merged,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let repo = operation.git(home);
    let tip = operation.tip();
    let mut with = changed_paths(&repo, before, after)?;
    with.extend(
        merged
            .conflicts
            .iter()
            .map(|conflict| conflict.file.clone()),
    );
    let worktree = checkout(home, operation, tip, with, say)?;
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

/// A patch as the worktree has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedPatch {
    /// The tree, with all that is not committed.
    pub tree: String,
    /// Author and message of the user's own commit, if there is one.
    pub meta: Option<CommitMeta>,
}

/// Reads the patch that `operation` is at. Nothing of the worktree is changed.
///
/// # Errors
/// The worktree is in a state that cannot be read as one patch: each with its
/// remedy.
pub fn read(home: &Home, operation: &Operation) -> Result<EditedPatch, Failure> {
    let worktree = validate(home, operation)?;
    let head = worktree.git.text(READ, &["rev-parse", "HEAD"])?;
    let tree = tree(&worktree)?;
    let own = match operation.next().and_then(|step| step.change.as_ref()) {
        // The commit that was laid out is not the user's.
        Some((_, after)) if operation.worktree == WorktreeState::Editing && *after == head => None,
        _ if head == operation.tip() => None,
        _ => Some(commit_meta::read(&worktree.git, &head)?),
    };
    Ok(EditedPatch { tree, meta: own })
}

const READ: &str = "read the worktree";

/// The tree of all that is in the worktree, new files too.
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

/// The user's own list of files that are no work of theirs (an editor's).
fn ignored() -> Result<Option<String>, Failure> {
    let args = ["config", "--global", "--type=path", "core.excludesFile"];
    let ran = Git::nowhere().network().run(READ, &args)?;
    Ok(ran.ok.then(|| ran.text()))
}

/// Keeps what is in the worktree of `operation`, which is given up, as a commit;
/// gives it, if there was anything.
pub fn back_up(home: &Home, operation: &Operation) -> Result<Option<String>, Failure> {
    let repo = operation.git(home);
    let checked_out = operation.next().and_then(|step| step.change.as_ref());
    let is_checked_out =
        |head: &str| head == operation.tip() || checked_out.is_some_and(|(_, after)| after == head);
    let commit = match Checkout::find(&operation.worktree_path(home)) {
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
        // The files are gone; git may still know the last commit.
        None => head_of(&repo, &operation.worktree_path(home))?,
    };
    let Some(commit) = commit.filter(|commit| !is_checked_out(commit)) else {
        return Ok(None);
    };
    let name = format!(
        "refs/kdk/given-up/{}/{}",
        operation.series,
        operation.name()
    );
    repo::pin(&repo, &name, &commit)?;
    Ok(Some(commit))
}

/// HEAD of the worktree at `path`, as its repository remembers it.
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

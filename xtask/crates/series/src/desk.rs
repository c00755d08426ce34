//! The worktree in which a patch is changed: laid out by the kit, left to the
//! user, and read again.

mod look;

use std::fs;
use std::path::Path;

use crate::base::definition::Parts;
use crate::base::repo;
use crate::base::uncommitted::copy_index;
use crate::base::worktree::Checkout;
use crate::merge::Merged;
use crate::note::{self, Note};
use crate::replay::touched;
use crate::work::{Desk, Work};
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

pub use look::look;

/// Folders with other people's code, which take more room than all the rest.
const VENDOR: [&str; 3] = ["contrib", "crypto", "sys/contrib/device-tree"];

const LAY: &str = "lay the patch out";

/// Lays `commit` out for the patch that `work` is at, with the files `with` in
/// any case.
pub fn lay(
    home: &Home,
    work: &Work,
    commit: &str,
    with: Vec<String>,
    say: &mut dyn FnMut(String),
) -> Result<Checkout, Failure> {
    let path = work.tree(home);
    if Checkout::find(&path).is_none() {
        say("checking the tree out".into());
    }
    let desk = Checkout::open(&work.git(home), home, &path, commit)?;
    // The checkout knows what it wrote last, not what was done to it since.
    let _ = fs::remove_file(desk.admin.join("kdk-at"));
    for name in ["MERGE_MSG", "SQUASH_MSG"] {
        let _ = fs::remove_file(desk.admin.join(name));
    }
    let parts = Parts {
        only: Vec::new(),
        without: VENDOR.map(str::to_owned).to_vec(),
        with,
    };
    // A branch that the user has made there stays where it is.
    let args = ["update-ref", "--no-deref", "HEAD", commit];
    desk.git.text(LAY, &args)?;
    desk.move_to(&parts, commit, say)?;
    Ok(desk)
}

/// Lays out what a merge has left: the last commit, the merged files with
/// their markers, and all sides of those in the index, so that git's own tools
/// for conflicts can be used.
pub fn lay_conflict(
    home: &Home,
    work: &Work,
    (before, after): (&str, &str),
    merged: &Merged,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let repo = work.git(home);
    let tip = work.tip();
    let mut with = touched(&repo, before, after)?;
    with.extend(
        merged
            .conflicts
            .iter()
            .map(|conflict| conflict.file.clone()),
    );
    let desk = lay(home, work, tip, with, say)?;
    desk.git
        .text(LAY, &["read-tree", "-m", "-u", tip, &merged.tree])?;
    let mut list = Vec::new();
    for conflict in &merged.conflicts {
        let file = conflict.file.as_str();
        list.extend(format!("0 {:040}\t{file}\0", 0).into_bytes());
        for (stage, side) in [before, tip, after].iter().enumerate() {
            for entry in repo::entries(&repo, LAY, &[side, "--", file])? {
                let repo::Entry { mode, id, .. } = entry;
                list.extend(format!("{mode} {id} {}\t{file}\0", stage + 1).into_bytes());
            }
        }
    }
    repo::set_entries(&desk.git, LAY, &list)?;
    let message = note::read(&repo, after)?.message;
    let path = desk.admin.join("MERGE_MSG");
    fs::write(&path, message).map_err(|error| Failure::io(LAY, &path, error))
}

/// A patch as the worktree has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The tree, with all that is not committed.
    pub tree: String,
    /// Author and message of the user's own commit, if there is one.
    pub note: Option<Note>,
}

/// Reads the patch that `work` is at. Nothing of the worktree is changed.
///
/// # Errors
/// The worktree is in a state that cannot be read as one patch: each with its
/// remedy.
pub fn read(home: &Home, work: &Work) -> Result<Found, Failure> {
    let desk = look(home, work)?;
    let head = desk.git.text(READ, &["rev-parse", "HEAD"])?;
    let tree = tree(&desk)?;
    let own = match work.next().and_then(|step| step.change.as_ref()) {
        // The commit that was laid out is not the user's.
        Some((_, after)) if work.desk == Desk::Open && *after == head => None,
        _ if head == work.tip() => None,
        _ => Some(note::read(&desk.git, &head)?),
    };
    Ok(Found { tree, note: own })
}

const READ: &str = "read the worktree";

/// The tree of all that is in the worktree, new files too.
fn tree(desk: &Checkout) -> Result<String, Failure> {
    let (index, scratch) = (desk.admin.join("index"), desk.admin.join("kdk.index"));
    let _ = fs::remove_file(desk.admin.join("kdk.stamp"));
    copy_index(&index, &scratch).map_err(|error| Failure::io(READ, &index, error))?;
    let mut git = desk.git.clone().index(&scratch);
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

/// Keeps what is in the worktree of `work`, which is given up, as a commit;
/// gives it, if there was anything.
pub fn keep(home: &Home, work: &Work) -> Result<Option<String>, Failure> {
    let repo = work.git(home);
    let laid = work.next().and_then(|step| step.change.as_ref());
    let is_laid = |head: &str| head == work.tip() || laid.is_some_and(|(_, after)| after == head);
    let commit = match Checkout::find(&work.tree(home)) {
        Some(desk) => {
            let head = desk.git.text(READ, &["rev-parse", "HEAD"])?;
            let tree = tree(&desk)?;
            match tree == repo::tree_of(&repo, &head)? {
                true => Some(head),
                false => {
                    let note = note::read(&repo, &head)?;
                    Some(note::commit(&repo, &tree, &head, &note)?)
                }
            }
        }
        // The files are gone; git may still know the last commit.
        None => head_of(&repo, &work.tree(home))?,
    };
    let Some(commit) = commit.filter(|commit| !is_laid(commit)) else {
        return Ok(None);
    };
    let name = format!("refs/kdk/given-up/{}/{}", work.series, work.name());
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

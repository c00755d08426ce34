//! Applies the exported mails as a reviewer would.

use std::fs;
use std::path::{Path, PathBuf};

use super::TRIED;
use crate::base::definition::literal;
use crate::base::repo;
use crate::base::worktree::Checkout;
use kdk_core::failure::Failure;
use kdk_core::git::{self, Git};

/// Returns the id of the tree that `git am` makes of `mails` in a clean
/// worktree of the commit `start`. Only `files`, which the mails change, are
/// checked out.
pub fn applied_tree(
    repo: &Git,
    start: &str,
    mails: &[PathBuf],
    files: &[String],
) -> Result<String, Failure> {
    let dir =
        tempfile::tempdir().map_err(|error| Failure::io(TRIED, &std::env::temp_dir(), error))?;
    let place = dir.path().join("clean");
    let text = place.to_string_lossy().into_owned();
    let args = [
        "worktree",
        "add",
        "--quiet",
        "--no-checkout",
        "--detach",
        &text,
        start,
    ];
    repo.text(TRIED, &args)?;
    let tree = applied(&place, mails, files);
    repo.text(TRIED, &["worktree", "remove", "--force", &text])?;
    tree
}

fn applied(place: &Path, mails: &[PathBuf], files: &[String]) -> Result<String, Failure> {
    let failed = |error| Failure::io(TRIED, place, error);
    let checkout =
        Checkout::find(place).ok_or_else(|| Failure::infra(TRIED, "git made no worktree"))?;
    let info = checkout.admin.join("info");
    let pattern = |file: &String| format!("/{}\n", literal(file));
    let patterns: String = files.iter().map(pattern).collect();
    fs::create_dir_all(&info)
        .and_then(|()| fs::write(info.join("sparse-checkout"), patterns))
        .map_err(failed)?;
    let git = checkout.git.setting("core.hooksPath=/dev/null");
    git.text(TRIED, &["reset", "--hard", "--quiet", "HEAD"])?;
    let mut args = vec!["am".into(), "--quiet".into(), "--empty=drop".into()];
    args.extend(mails.iter().map(|mail| mail.as_os_str().to_owned()));
    let ran = git.run(TRIED, &args)?;
    if !ran.ok {
        return Err(git::failed("apply the exported mails with git am", &ran));
    }
    repo::tree_of(&git, "HEAD")
}

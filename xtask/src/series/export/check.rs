//! What a reviewer gets when they apply the mails.

use std::fs;
use std::path::{Path, PathBuf};

use super::TRIED;
use crate::base::git::{self, Git};
use crate::failure::Failure;

/// Id of the tree that `git am` makes of `mails` on a clean worktree of the
/// commit `start`. Only `files`, which the mails change, are checked out.
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
    let link = fs::read_to_string(place.join(".git")).map_err(failed)?;
    let admin = PathBuf::from(link.trim().trim_start_matches("gitdir: "));
    let info = admin.join("info");
    let patterns: String = files.iter().map(|file| format!("/{file}\n")).collect();
    fs::create_dir_all(&info)
        .and_then(|()| fs::write(info.join("sparse-checkout"), patterns))
        .map_err(failed)?;
    let git = Git::new(&admin)
        .work_tree(place)
        .setting("core.hooksPath=/dev/null");
    git.text(TRIED, &["reset", "--hard", "--quiet", "HEAD"])?;
    let mut args = vec!["am".into(), "--quiet".into(), "--empty=drop".into()];
    args.extend(mails.iter().map(|mail| mail.as_os_str().to_owned()));
    let ran = git.run(TRIED, &args)?;
    if !ran.ok {
        return Err(git::failed("apply the exported mails with git am", &ran));
    }
    git.text(TRIED, &["rev-parse", "HEAD^{tree}"])
}
